"""What is given to a model: checked, and brought to the form that it takes.

Arrays are looked at whole before anything is computed. What signatures and Keras' `fit` are given
are tensors, which assertions in the graph look at.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError

SMALLEST_INT32, LARGEST_INT32 = -(2**31), 2**31 - 1  # what signatures take
NO_PIXELS = "images must lie in [0, 1], without NaN, as 8-bit ones divided by 255 do."
OTHER_NUMBER_OF_LABELS = "labels must be as many as there are images."

_FORMS = "floats in [0, 1], whole numbers from 0 to 255, or bool"


# Arrays.


def to_images(given: Any, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Brings images to grey levels in [0, 1], float32 [N, H, W, C].

    Args:
        given: [N, H, W, C], or [N, H, W] of one channel; floats in [0, 1], whole numbers from 0 to
            255, or bool, where True is white.
        image_shape: height, width and channels that the model takes.

    Raises:
        UserError: if they are anything else. Whole numbers that are 0 and 1 alone are refused, as
            in training: they may be black and white, or all but black.
    """
    images = _array(given, "Images", "biuf", _FORMS)
    if images.ndim == 3 and image_shape[-1] == 1 and images.shape != image_shape:
        images = images[..., np.newaxis]
    if images.shape[1:] != image_shape:
        raise UserError(
            f"Images of shape {images.shape} do not fit this model; it takes "
            f"[N, {', '.join(map(str, image_shape))}]; channels are last, and one image is "
            "images[np.newaxis]."
        )
    low, high = (images.min(), images.max()) if images.size else (0, 0)
    if images.dtype.kind in "iu" and high == 1:
        raise UserError(
            f"Images are {images.dtype} with values 0 and 1 alone; white must be 255. Give bool or "
            "floats if 1 is white, and divide by 255 if they are all but black."
        )
    white = 255 if images.dtype.kind in "iu" else 1
    if not (np.float32(low) >= 0 and np.float32(high) <= white):  # as they will be rounded
        raise UserError(
            f"Images are {images.dtype} with values from {low:.6g} to {high:.6g}; give {_FORMS}."
        )
    return images.astype(np.float32) / np.float32(white)


def to_latents(given: Any, latent_dim: int) -> np.ndarray:
    """Brings latents to float32 [N, Z].

    Raises:
        UserError: if they have another shape, or are no finite numbers.
    """
    latents = _array(given, "Latents", "iuf", "floats")
    if latents.shape[1:] != (latent_dim,):
        raise UserError(
            f"Latents of shape {latents.shape} do not fit this model; it takes [N, {latent_dim}]."
        )
    with np.errstate(over="ignore"):  # of what is infinite then
        latents = latents.astype(np.float32)
    if not np.all(np.isfinite(latents)):
        raise UserError("Latents have NaN or infinite values; they must be finite.")
    return latents


def to_labels(given: Any, num: int, num_classes: int) -> np.ndarray:
    """Brings labels to numbers of classes, int32 [N].

    Args:
        given: whole numbers from 0 to Y - 1, [N], or one for all.
        num: N.
        num_classes: Y.

    Raises:
        UserError: if they are anything else.
    """
    wanted = f"numbers of classes from 0 to {num_classes - 1}, one for each of the {num} images"
    labels = _array(given, "labels", "iu", wanted)
    labels = np.full(num, labels) if labels.ndim == 0 else labels
    if labels.shape != (num,) or not np.all((labels >= 0) & (labels < num_classes)):
        raise UserError(f"labels must be {wanted}.")
    return labels.astype(np.int32)


def to_whole(given: Any, name: str, least: int, most: int) -> int:
    """Brings a whole number of any type, from `least` to `most`, to an int.

    Raises:
        UserError: that names it, if it is anything else.
    """
    try:
        number = None if isinstance(given, bool) else operator.index(given)
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        said = f"={given}" if isinstance(given, int | float) else f": is a {type(given).__name__}"
        raise UserError(f"{name}{said}; must be a whole number from {least} to {most}.")
    return number


def _array(given: Any, what: str, kinds: str, wanted: str) -> np.ndarray:
    """Makes an array of whatever was given, with values of one of the kinds of NumPy.

    Raises:
        UserError: that names what is wanted.
    """
    try:
        array = np.asarray(given)
    except ValueError as error:  # of lists of lists of many lengths
        raise UserError(
            f"{what}: a {type(given).__name__} that cannot be made an array; give {wanted}."
        ) from error
    if array.dtype.kind not in kinds and array.shape != (0,):  # an empty list is one of floats
        raise UserError(f"{what}: of the type {array.dtype.name}; give {wanted}.")
    return array


# Tensors.


def grey_checks(images: tf.Tensor) -> list[tf.Operation]:
    """Assertions that images [B, H, W, C] are grey levels; a NaN is the smallest of all."""
    fits = (tf.reduce_min(images) >= 0) & (tf.reduce_max(images) <= 1)
    return [tf.debugging.Assert(fits, [NO_PIXELS])]


def class_checks(labels: tf.Tensor, num: tf.Tensor, num_classes: int) -> list[tf.Operation]:
    """Assertions that labels are numbers of classes, and `num` of them."""
    whole = tf.round(labels) if labels.dtype.is_floating else labels
    valid = tf.reduce_all((labels >= 0) & (labels < num_classes) & (labels == whole))
    return [
        tf.debugging.Assert(valid, [_no_classes(num_classes)]),
        tf.debugging.Assert(tf.size(labels) == num, [OTHER_NUMBER_OF_LABELS]),
    ]


def _no_classes(num_classes: int) -> str:
    return f"labels must be numbers of classes, from 0 to {num_classes - 1}."


def batch_checks(
    images: tf.Tensor, labels: tf.Tensor | None, image_shape: tuple[int, ...], num_classes: int
) -> list[tf.Operation]:
    """Assertions that a batch of Keras' fits a model.

    Raises:
        UserError: at once, if images or labels are of a wrong type, or images of another shape.
    """
    if not (images.dtype.is_floating or images.dtype.is_bool):
        raise UserError(f"images are {images.dtype.name}; {NO_PIXELS}")
    if not images.shape[1:].is_compatible_with(image_shape):
        raise UserError(
            f"images of shape {tuple(images.shape)} do not fit this model; it takes "
            f"[B, {', '.join(map(str, image_shape))}]."
        )
    checks = grey_checks(tf.cast(images, tf.float32))
    if num_classes and labels is not None:
        if not (labels.dtype.is_floating or labels.dtype.is_integer):
            raise UserError(_no_classes(num_classes))
        if labels.shape[1:].num_elements() not in (1, None):  # such as vectors, one-hot
            raise UserError(OTHER_NUMBER_OF_LABELS)
        checks += class_checks(labels, tf.shape(images)[0], num_classes)
    return checks


def refusing(function: Callable[..., Any], num_classes: int) -> Callable[..., Any]:
    """A function that raises a UserError of one line where an assertion from here fails in it."""
    known = (NO_PIXELS, OTHER_NUMBER_OF_LABELS, _no_classes(num_classes))

    @functools.wraps(function)
    def refuse(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except tf.errors.InvalidArgumentError as error:
            said = next((each for each in known if each in str(error)), None)
            raise (UserError(said) if said else error) from None

    return refuse
