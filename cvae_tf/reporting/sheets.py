"""Many small images in one, as text that stands in the page."""

import base64
import io

import numpy as np
from PIL import Image

_OF_PICTURES, _OF_IMAGES = 45, 80  # qualities: of those with axes, and of small images


def sheet(images: np.ndarray, columns: int, lossless: bool = True) -> str:
    """Lays images [N, H, W, C] in [0, 1] out row by row; returns a data URI."""
    num, height, width, channels = images.shape
    rows = -(-num // columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:num] = np.rint(255 * np.clip(np.nan_to_num(images), 0, 1))
    laid = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return _uri(
        laid.reshape(rows * height, columns * width, channels), None if lossless else _OF_IMAGES
    )


def smaller(path: str, width: int) -> str:
    """Reads a picture and makes it at most so wide; returns a data URI."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
        if picture.width > width:
            size = width, round(picture.height * width / picture.width)
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        return _uri(np.asarray(picture), _OF_PICTURES)


def _uri(pixels: np.ndarray, quality: int | None) -> str:
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    with io.BytesIO() as file:
        options = {"lossless": True, "method": 4} if quality is None else {"quality": quality}
        Image.fromarray(pixels).convert("RGB").save(file, "WEBP", **options)
        return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
