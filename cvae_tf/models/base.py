"""What training needs of a model: networks that draw images from latents, and their step.

Its family (`family.py`) knows how a model is shown, described and exported. Where there are
`labels`, they are those of a conditional model, int32 [B]; else None.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cvae_tf import models
from cvae_tf.core import replicas
from cvae_tf.models import saved_model
from cvae_tf.models.arrays import batch_checks, refusing, traced_signature
from cvae_tf.models.figures import FigureMethods
from cvae_tf.models.networks.layer_maker import ImageShape

_NOT_COMPILED_IN = ("loss", "loss_weights", "metrics", "weighted_metrics")


class Measure(NamedTuple):
    """One number that a family measures on images: its name, its title, its unit."""

    name: str  # what its column in metrics.csv is called, after "train_" or "test_"
    title: str  # for people
    unit: str
    higher_is_better: bool = True


class GenerativeModel(FigureMethods, keras.Model):
    """A Keras model that draws images from latents.

    Each kind of model defines what raises `NotImplementedError` here.
    """

    image_shape: ImageShape
    latent_dim: int  # Z
    num_classes: int = 0  # Y of a conditional model; 0 if it knows no labels

    def __init__(self, seed: int, **kwargs: Any):
        """Takes the seed that decides all noise, and other arguments of `keras.Model`."""
        super().__init__(**{"dtype": "float32", **kwargs})
        self.seed = seed
        self.means: dict[str, keras.metrics.Mean] = {}  # what `train_step` returns, by name
        self.built = True  # its networks are built, so Keras need not call it first

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The networks that learn, by their names in checkpoints."""
        raise NotImplementedError

    def decode(self, latents: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Draws the image of latents [B, Z]: [B, H, W, C] in [0, 1]."""
        raise NotImplementedError

    @property
    def samples_from(self) -> str:
        """What `sample_latents` draws from, for titles."""
        return "prior"

    def sample_latents(self, num: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws latents [num, Z] for new images: by default from the prior."""
        return tf.random.stateless_normal([num, self.latent_dim], seed)

    def sample(
        self, num: int | tf.Tensor, seed: tf.Tensor | int | None = None, labels: Any = None
    ) -> tf.Tensor | np.ndarray:
        """Draws images [num, H, W, C] in [0, 1]: latents, decoded.

        Args:
            num: number of images; they are all in memory at once, unlike in `sample_in_parts`.
            seed: int32 [2], or a pair of numbers, for a tensor; a whole number for an array. None
                draws other images each time, by Python's `random`.
            labels: one for each image, if it wants them; of an array by default all in turn.
        """
        if not tf.is_tensor(seed) and np.shape(seed) != (2,):
            none = np.empty((0, *self.image_shape), np.float32)
            return np.concatenate([none, *self.sample_in_parts(num, seed, labels)])
        return self.decode(self.sample_latents(num, seed), labels)

    # How it learns.

    def training_batch(self, grey: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor) -> Any:
        """Turns grey levels [B, H, W, C] in [0, 1] into what `train_step` takes."""
        return grey if labels is None else (grey, labels)

    def train_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Takes one gradient step; returns means since the last `reset_metrics()`, by name.

        One of them is `loss`, which is to be small, for callbacks of Keras.
        """
        raise NotImplementedError

    def measure(
        self, grey: tf.Tensor, labels: tf.Tensor | None, first: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Measures test images [B, H, W, C] in [0, 1]; `first` is the number of the first one.

        Returns:
            By the names of its family's `test_measures`, a number for each image, [B].
        """
        raise NotImplementedError

    def compile(
        self,
        optimizer: str | keras.Optimizer = "rmsprop",
        *,
        jit_compile: bool | str = False,
        **options: Any,
    ) -> None:
        """Prepares `fit` and our own trainer.

        The optimizer makes its variables at once, so that it is saved and loaded whole. Set what
        must come before, such as `exclude_from_weight_decay`, before this call.

        Args:
            optimizer: its name, or itself.
            jit_compile: whether XLA compiles steps; the default of Keras is yes on a GPU.
            **options: `run_eagerly`, `steps_per_execution`, as `keras.Model.compile` knows them.

        Raises:
            ValueError: if there is a loss or a metric: the model has its own.
        """
        refused = [name for name in _NOT_COMPILED_IN if options.get(name) is not None]
        if refused:
            raise ValueError(
                f"The model has its own objective and measures; compile it without {refused[0]}."
            )
        super().compile(optimizer, jit_compile=jit_compile, **options)
        self.optimizer.build(self.optimized_variables)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a model that Keras loads."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @property
    def optimized_variables(self) -> list[keras.Variable]:
        """The variables that the optimizer trains, and averages if asked to."""
        return self.trainable_variables

    @property
    def steps(self) -> Any:
        """The variable that counts the gradient steps, int64 []."""
        return self.optimizer.iterations

    @property
    def checkpoint_parts(self) -> dict[str, Any]:
        """All that training changes, by names that never change: objects with `variables`."""
        return {**self.networks, "optimizer": self.optimizer, **self.means}

    @property
    def fitted_parts(self) -> dict[str, Any]:
        """Parts that are fitted after training; kept beside the checkpoints.

        `effect_if_missing` of each part says what follows if it could not be fitted.
        """
        return {}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What Keras resets after an epoch, and shows."""
        return list(self.means.values())

    # How it is used.

    @property
    def main_score(self) -> Measure:
        """The score to sort images by; usual images have high scores."""
        names = [each.name for each in traced_signature(self, "score").results]
        known = [each for each in models.family_of(self).test_measures(self) if each.name in names]
        return known[0] if known else Measure(names[0], names[0].replace("_", " "), "")

    @property
    def smallest_p_value(self) -> float | None:
        """The smallest p-value of `anomaly`; None if the model knows no usual images."""
        return None

    def update_batchnorm_statistics(self) -> None:
        """Updates statistics that depend on the weights, before the model is used."""

    def for_inference(self) -> "GenerativeModel":
        """A model that does the same, faster if it need not learn any more."""
        return self

    def export(
        self, filepath: str, format: str = "tf_saved_model", verbose: Any = None, **options: Any
    ) -> None:
        """Writes the SavedModel that export.py writes, with its signatures, card and `model.json`.

        Another format is written as `keras.Model.export` does it.

        Raises:
            UserError: if there is something at that path, or it cannot be written.
            ValueError: if the SavedModel is to have an `input_signature`; it has its own.
        """
        if format != "tf_saved_model":
            super().export(filepath, format, verbose, **options)
            return
        if options:
            raise ValueError(f"A SavedModel has signatures of its own: leave out {min(options)}.")
        saved_model.export(self, filepath)

    def summary(self, *arguments: Any, **options: Any) -> None:
        """Prints its networks, layer by layer; takes what `keras.Model.summary` takes."""
        for network in self.networks.values():
            network.summary(*arguments, **options)

    # What Keras' own loop runs: it refuses batches that do not fit, with a UserError of one line.
    # Our trainer calls `train_step` directly, with images that are known to fit, without these
    # checks.

    def _make_function(self, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Makes the function that `fit` and `evaluate` call."""
        if self.jit_compile:
            step = tf.function(step, jit_compile=True, reduce_retracing=True, autograph=False)
        with self._without_xla():
            function = super()._make_function(lambda batch: self.checked(step, batch))
        return refusing(function, self.num_classes)

    def make_predict_function(self, force: bool = False) -> None:
        """Makes the function that `predict` calls; `predict_step` may check its input."""
        if self.predict_function is None or force:
            with self._without_xla():
                super().make_predict_function(force)
            self.predict_function = refusing(self.predict_function, self.num_classes)

    @contextlib.contextmanager
    def _without_xla(self) -> Iterator[None]:
        """Within it Keras does not compile what it makes; XLA would drop assertions."""
        is_compiled, self.jit_compile = self.jit_compile, False
        try:
            yield
        finally:
            self.jit_compile = is_compiled

    def checked(self, step: Callable[[Any], Any], batch: Any) -> Any:
        """Takes a step with a batch from Keras, after checking that it fits.

        Args:
            step: of images, labels and weights, [B, ...], some of them None.
            batch: the same; what is None may be missing.

        Raises:
            UserError: at once, if images or labels are of a wrong type, or images of another shape.
        """
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
        images = tf.convert_to_tensor(images)
        with tf.control_dependencies(batch_checks(self, images, labels)):
            return step((tf.cast(images, tf.float32), labels, weights))


def images_and_labels(batch: Any, num_classes: int) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Takes images, and of a conditional model the labels beside them, as `fit` gives them.

    Args:
        batch: images [B, H, W, C], or images and labels [B].
        num_classes: of the model; 0 if it takes no labels, which are then ignored.

    Raises:
        ValueError: if labels are missing, or there are sample weights.
    """
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
    if weights is not None:
        raise ValueError("Every image has the same weight; sample weights are not known here.")
    images = tf.cast(images, tf.float32)  # Keras may be set to another precision
    if not num_classes:
        return images, None
    if labels is None:
        raise ValueError("A conditional model needs labels: fit(images, labels).")
    return images, tf.cast(tf.reshape(labels, [-1]), tf.int32)


def inputs_of(batch: tf.Tensor, labels: tf.Tensor | None) -> Any:
    """The inputs of a network: images or latents, and labels if the model is conditional."""
    return batch if labels is None else [batch, labels]


def run_as_two_halves(
    network: keras.Model,
    batch: tf.Tensor,
    labels: tf.Tensor | None = None,
    training: bool = False,
) -> tf.Tensor:
    """Runs a network on the two halves of a batch, which TensorFlow computes side by side.

    Two cores with a half each are faster than two that share every operation. On a GPU they
    are not, and replicas share the cores already. Signatures take batches of any size, in one
    piece: their graphs share one trace of the network.

    Args:
        network: with one output.
        batch: [B, ...].
        labels: the network's second input, [B], if it has one.
        training: whether dropout is active.

    Returns:
        The network's output for the batch, float32.
    """
    batch = tf.convert_to_tensor(batch)
    labels = labels if labels is None else tf.convert_to_tensor(labels)
    size, is_one_replica = batch.shape[0], replicas.count() == 1
    if size is None and is_one_replica and not (training or tf.executing_eagerly()):
        return tf.cast(_traced_once(network)(batch, labels), tf.float32)
    if size is None or size % 2 or tf.config.list_physical_devices("GPU") or not is_one_replica:
        return tf.cast(network(inputs_of(batch, labels), training=training), tf.float32)
    halves = tf.split(batch, 2)
    of_class = [None, None] if labels is None else tf.split(labels, 2)
    results = [
        network(inputs_of(*half), training=training) for half in zip(halves, of_class, strict=True)
    ]
    return tf.cast(tf.concat(results, axis=0), tf.float32)


def _traced_once(network: keras.Model) -> Callable[..., tf.Tensor]:
    """A network as a function that is traced once and used by all graphs; tracing takes long."""
    if not hasattr(network, "traced_once"):

        def call(batch: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
            return network(inputs_of(batch, labels), training=False)

        network.traced_once = tf.function(call, autograph=False)
    return network.traced_once
