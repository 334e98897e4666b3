"""What is given to a model in use: checked, and brought to the form that its signatures take."""

import math
import operator
from typing import Any

import numpy as np

from cvae_tf.core.errors import UserError

SMALLEST_INT32, LARGEST_INT32 = -(2**31), 2**31 - 1  # what signatures take

_FORMS = "floats in [0, 1], whole numbers from 0 to 255, or bool"


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
            f"[N, {', '.join(map(str, image_shape))}].{_advice(images.shape, image_shape)}"
        )
    low, high = (images.min(), images.max()) if images.size else (0, 0)
    if images.dtype.kind in "iu":
        _check_levels(images.dtype, int(low), int(high))
        return images.astype(np.uint8) / np.float32(255)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError(f"Images have NaN or infinite values; give {_FORMS}.")
    if not (np.float32(low) >= 0 and np.float32(high) <= 1):  # as they will be rounded
        raise UserError(
            f"Images are floats from {low:.6g} to {high:.6g}; they must lie in [0, 1], as 8-bit "
            "images divided by 255 do."
        )
    return images.astype(np.float32)


def _advice(shape: tuple[int, ...], image_shape: tuple[int, int, int]) -> str:
    """What to do about images of a wrong shape, if it can be told."""
    height, width, channels = image_shape
    channels_first = (channels, height, width)
    if shape == image_shape or (channels == 1 and shape == (height, width)):
        return " A single image is a batch of one: images[np.newaxis]."
    if shape == channels_first:
        return " Channels come last here: np.moveaxis(images, 0, -1)[np.newaxis]."
    if shape[1:] == channels_first:
        return " Channels come last here: np.moveaxis(images, 1, -1)."
    if shape[1:] == (math.prod(image_shape),):
        return f" images.reshape(-1, {height}, {width}, {channels}) would."
    if len(shape) in (3, 4) and shape[1:3] == (height, width):
        return f" The number of channels is wrong: {shape[3] if len(shape) == 4 else 1}."
    return ""


def _check_levels(kind: np.dtype, low: int, high: int) -> None:
    """Refuses whole numbers of which the white one cannot be told, or is not 255."""
    if low < 0 or high > 255:
        raise UserError(
            f"Images are {kind} with values from {low} to {high}; whole numbers must lie in 0 to "
            "255. Divided by the value of white they are floats in [0, 1], which fit too."
        )
    if high == 1:
        raise UserError(
            f"Images are {kind} with values 0 and 1 alone; white must be 255. Give bool or floats "
            "if 1 is white, and divide by 255 if they are all but black."
        )


def to_latents(given: Any, latent_dim: int) -> np.ndarray:
    """Brings latents to float32 [N, Z].

    Raises:
        UserError: if they have another shape, or are no finite numbers.
    """
    latents = _array(given, "Latents", "iuf", "floats")
    if latents.shape[1:] != (latent_dim,):
        one = latents.shape == (latent_dim,)
        advice = " Those of a single image are a batch of one: latents[np.newaxis]." if one else ""
        raise UserError(
            f"Latents of shape {latents.shape} do not fit this model; it takes [N, {latent_dim}]."
            + advice
        )
    latents = _to_float32(latents)
    if not np.all(np.isfinite(latents)):
        raise UserError("Latents have NaN or infinite values; they must be finite.")
    return latents


def to_scores(given: Any) -> np.ndarray:
    """Brings scores to float32 [N]; they may be infinite or NaN.

    Raises:
        UserError: if they have another shape, or are no numbers.
    """
    scores = _array(given, "Scores", "iuf", "floats, such as mean_scores(images)['elbo']")
    if scores.ndim != 1:
        raise UserError(f"Scores of shape {scores.shape}: must be one for each image, [N].")
    return _to_float32(scores)


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
    """Brings a whole number of any type to an int.

    Args:
        given: the number.
        name: of what it is.
        least: the smallest that it may be.
        most: the largest.

    Raises:
        UserError: if it is anything else.
    """
    try:
        if isinstance(given, bool | np.bool_):
            raise TypeError
        number = operator.index(given)
    except Exception:  # of whatever was given
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
        if array.dtype.name == "bfloat16":  # TensorFlow's, of which NumPy knows no kind
            array = array.astype(np.float32)
    except Exception as error:  # of lists of lists of many lengths, of classes of other libraries
        raise UserError(
            f"{what}: a {type(given).__name__} that cannot be made an array; give {wanted}."
        ) from error
    if array.dtype.kind not in kinds and array.shape != (0,):  # an empty list is one of floats
        kind = array.dtype.name if array.dtype.kind != "U" else "text"
        raise UserError(f"{what}: of the type {kind}; give {wanted}.")
    return array


def _to_float32(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # of what is infinite then
        return array.astype(np.float32)
