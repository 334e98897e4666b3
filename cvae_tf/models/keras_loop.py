"""What Keras' own loop runs: steps that refuse batches which do not fit the model.

Our trainer calls `train_step` itself, with images that are known to fit, and pays for no checks.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.models.signature_parts import (
    OTHER_NUMBER_OF_LABELS,
    class_checks,
    image_check,
    no_classes,
)

_NO_PIXELS = "images must lie in [0, 1], without NaN, as 8-bit ones divided by 255 do."


class CheckedModel(keras.Model):
    """A model of images whose `fit`, `evaluate` and the like raise a UserError of one line."""

    image_shape: tuple[int, int, int]  # height, width, channels
    num_classes: int  # Y of a conditional model; 0 if it knows no labels

    def make_train_function(self, force: bool = False) -> None:
        """Makes what `fit` and `train_on_batch` call."""
        if self.train_function is None or force:
            self.train_function = self._make_checked(self.train_step)

    def make_test_function(self, force: bool = False) -> None:
        """Makes what `evaluate` and `test_on_batch` call."""
        if self.test_function is None or force:
            self.test_function = self._make_checked(self.test_step)

    def make_predict_function(self, force: bool = False) -> None:
        """Makes what `predict` calls, without XLA; a family may check in its `predict_step`."""
        if self.predict_function is None or force:
            with self._without_xla():
                super().make_predict_function(force)
            self.predict_function = self._refusing(self.predict_function)

    def _make_checked(self, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        if self.jit_compile:
            step = tf.function(step, jit_compile=True, reduce_retracing=True)
        with self._without_xla():
            return self._refusing(self._make_function(lambda batch: self.checked(step, batch)))

    @contextlib.contextmanager
    def _without_xla(self) -> Iterator[None]:
        """Within it Keras does not compile what it makes; XLA would leave assertions out."""
        is_compiled, self.jit_compile = self.jit_compile, False
        try:
            yield
        finally:
            self.jit_compile = is_compiled

    def _refusing(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A function that raises a UserError where an assertion of `checked` fails in it."""

        def refuse(batches: Any) -> Any:
            try:
                return function(batches)
            except tf.errors.InvalidArgumentError as error:
                raise self._said_by(error) from None

        return refuse

    def checked(self, step: Callable[[Any], Any], batch: Any) -> Any:
        """Takes a step with what Keras gives it, once it is asserted that this fits.

        Args:
            step: of images, labels and weights, [B, ...], some of them None.
            batch: the same, or without what is None.

        Returns:
            What the step returns.

        Raises:
            UserError: at once, if images or labels are of a wrong type, or images of another shape.
        """
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
        images = tf.convert_to_tensor(images)
        if not (images.dtype.is_floating or images.dtype.is_bool):
            raise UserError(f"images are {images.dtype.name}; {_NO_PIXELS}")
        images = tf.cast(images, tf.float32)
        if not images.shape[1:].is_compatible_with(self.image_shape):
            raise UserError(
                f"images of shape {tuple(images.shape)} do not fit this model; it takes "
                f"[B, {', '.join(map(str, self.image_shape))}]."
            )
        checks = [image_check(images, _NO_PIXELS)]
        if self.num_classes and labels is not None:
            labels = tf.convert_to_tensor(labels)
            if not (labels.dtype.is_floating or labels.dtype.is_integer):
                raise UserError(no_classes(self.num_classes))
            if labels.shape[1:].num_elements() not in (1, None):  # such as vectors, one-hot
                raise UserError(OTHER_NUMBER_OF_LABELS)
            checks += class_checks(labels, tf.shape(images)[0], self.num_classes)
        with tf.control_dependencies(checks):
            return step((images, labels, weights))

    def _said_by(self, error: tf.errors.InvalidArgumentError) -> Exception:
        """What an assertion of `checked` says, as a UserError; any other error as it is."""
        known = (_NO_PIXELS, OTHER_NUMBER_OF_LABELS, no_classes(self.num_classes))
        said = next((each for each in known if each in str(error)), None)
        return UserError(said) if said else error
