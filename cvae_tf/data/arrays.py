"""Images and labels of a user's as a data set keeps them: checked, uint8 [N, H, W, C] and [N]."""

import numpy as np

from cvae_tf.core.errors import UserError

_LARGEST_WHOLE_FLOAT = 2.0**53  # beyond it floats cannot tell whole numbers from their neighbours


def to_uint8(images: np.ndarray, where: str) -> np.ndarray:
    """Brings images to the form that a data set keeps.

    Args:
        images: [N, H, W] or [N, H, W, C]; whole numbers from 0 to 255, floats in [0, 1], or bool,
            where True is white.
        where: names the array in an error.

    Returns:
        uint8 [N, H, W, C], contiguous.

    Raises:
        UserError: if the array has another form.
    """
    if images.ndim not in (3, 4):
        raise UserError(
            f"{where} has the shape {images.shape}; it must be [N, H, W] or [N, H, W, C]."
        )
    if images.size == 0:
        raise UserError(f"{where} is empty (shape {images.shape}).")
    images = np.ascontiguousarray(_levels(images, where))
    return images if images.ndim == 4 else images[..., np.newaxis]


def _levels(images: np.ndarray, where: str) -> np.ndarray:
    """Makes the 256 grey levels of any values that can mean them."""
    kind = images.dtype.kind
    if kind == "b":
        return images.astype(np.uint8) * 255
    if kind == "f":
        low, high = float(np.min(images)), float(np.max(images))
        if not (low >= 0 and high <= 1):  # also true for NaN
            raise UserError(
                f"{where} has floats from {low} to {high}; they must lie in [0, 1], without NaN."
            )
        return np.rint(images * 255).astype(np.uint8)
    if kind not in "iu":
        raise UserError(
            f"{where} is {images.dtype}; it must be uint8, whole numbers from 0 to 255, floats in "
            "[0, 1], or bool."
        )
    low, high = int(images.min()), int(images.max())
    if low < 0 or high > 255:
        raise UserError(f"{where} has values from {low} to {high}; they must lie in 0 to 255.")
    if high == 1:
        raise UserError(f"{where} is {images.dtype} with values 0 and 1 only; white must be 255.")
    return images.astype(np.uint8, copy=False)


def to_labels(labels: np.ndarray | None, num_images: int, where: str) -> np.ndarray | None:
    """Brings labels to the form that a data set keeps.

    Args:
        labels: one for each image, [N] or [N, 1] as Keras stores those of CIFAR-10; or None.
        num_images: N.
        where: names the array in an error.

    Returns:
        [N], of whole numbers where all floats are whole; None if there are none.

    Raises:
        UserError: if there are not as many labels as images.
    """
    if labels is None:
        return None
    if labels.shape not in ((num_images,), (num_images, 1)):
        raise UserError(
            f"{where} has the shape {labels.shape}; it must be one label for each of "
            f"the {num_images} images."
        )
    labels = labels.reshape(num_images)
    return labels.astype(np.int64) if _are_whole_floats(labels) else labels


def _are_whole_floats(labels: np.ndarray) -> bool:
    if labels.dtype.kind != "f":
        return False
    values = labels.astype(np.float64)
    is_exact = np.all(np.abs(values) <= _LARGEST_WHOLE_FLOAT)  # false for NaN
    return bool(is_exact and np.all(values == np.rint(values)))
