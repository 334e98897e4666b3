"""Images of a user's as a data set keeps them: checked, uint8 [N, H, W, C]."""

import math

import numpy as np

from cvae_tf.core.errors import UserError

_CHANNELS = range(1, 5)  # no image is as small as that
_SMALLEST_FLAT = 64  # pixels of an image of 8 x 8
_ROUNDING = 0.01  # by which floats may have left [0, 1], as where images were resized
_LARGEST_LEVELS = (255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits


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
    order = _order_to_mend(images.shape)
    if order or images.ndim not in (3, 4):
        raise UserError(
            f"{where} has the shape {images.shape}; it must be [N, H, W] or [N, H, W, C].{order}"
        )
    if images.size == 0:
        raise UserError(f"{where} is empty (shape {images.shape}).")
    images = np.ascontiguousarray(_levels(images, where))
    return images if images.ndim == 4 else images[..., np.newaxis]


def _order_to_mend(shape: tuple[int, ...]) -> str:
    """Says how an array [N, H, W, C] is had of one whose shape looks like another order of it."""
    if len(shape) == 2 and shape[1] >= _SMALLEST_FLAT:
        side = math.isqrt(shape[1])
        sides = f"{side}, {side}" if side**2 == shape[1] else "height, width"
        return f" Its rows seem to be images: x.reshape(-1, {sides})."
    if len(shape) != 4 or shape[3] in _CHANNELS:
        return ""
    if shape[1] in _CHANNELS:
        return " Its channels come first ([N, C, H, W]): np.moveaxis(x, 1, -1)."
    if shape[2] in _CHANNELS:
        return " Its images come last ([H, W, C, N]): np.moveaxis(x, -1, 0)."
    return ""


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
                f"{_range_to_mend(low, high)}"
            )
        return np.rint(images * 255).astype(np.uint8)
    if kind not in "iu":
        raise UserError(
            f"{where} is {images.dtype}; it must be uint8, whole numbers from 0 to 255, floats in "
            "[0, 1], or bool."
        )
    low, high = int(images.min()), int(images.max())
    if low < 0 or high > 255:
        raise UserError(
            f"{where} has values from {low} to {high}; they must lie in 0 to 255, or be floats in "
            f"[0, 1].{_range_to_mend(low, high)}"
        )
    if high == 1:
        raise UserError(
            f"{where} is {images.dtype} with values 0 and 1 only; white must be 255: x * 255."
        )
    return images.astype(np.uint8, copy=False)


def _range_to_mend(low: float, high: float) -> str:
    """Says how values become floats in [0, 1], as far as their range tells."""
    if not math.isfinite(high - low):
        return ""
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return " Cut them off: np.clip(x, 0, 1)."
    if -1 <= low < 0 and high <= 1:
        return " If they are from -1 to 1: (x + 1) / 2."
    if low < 0:
        return f" Scale them: (x - {low:g}) / {high - low:g}.".replace("- -", "+ ")
    largest = next((each for each in _LARGEST_LEVELS if high <= each), high)
    return f" Scale them: x / {largest:g}, or by what is white in them."
