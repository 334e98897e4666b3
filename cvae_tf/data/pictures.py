"""One picture file as pixels: of any format, kind and size, upright; or a short reason why not."""

import contextlib
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

Image.init()  # all formats, before several threads need them at once
# Known by their content. Others are left out: some start programs (EPS), some claim any file (TGA).
_WANTED = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")
_FORMATS = [name for name in _WANTED if name in Image.OPEN]
_MOST_PIXELS = 100_000_000  # of a picture, which then needs some hundred megabytes
_LONGEST_REASON = 80  # characters
_HOW_TO_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WITH_ORIENTATION = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadPictureError(Exception):
    """A file that cannot be read as a picture; the text is a short reason in one line."""


class Form(NamedTuple):
    """How a picture becomes pixels."""

    size: tuple[int, int] | None = None  # height and width; None for those of the picture
    fit: str = "crop"  # one of `settings.FITS`
    channels: int = 0  # 1 for grey, 3 for colours, 0 for what the picture is
    background: int = 0  # grey level under transparency and in margins


def read_picture(path: str | Path, form: Form) -> np.ndarray:
    """Reads a picture, or the first frame of an animation.

    Args:
        path: the file; what is no regular file is never opened.
        form: of the pixels.

    Returns:
        uint8 [H, W, C]; with `form.channels=0`, C is 1 if all pixels are grey, else 3.

    Raises:
        BadPictureError: if it cannot be read.
    """
    with _opened(path) as image:
        if form.size:
            room = 2 * max(form.size)
            image.draft(None, (room, room))  # a large JPEG need not be decoded in full
        image.load()
        upright = _upright(image)
        plain = _plain(upright, form.background)
        if form.channels:
            plain = plain.convert("L" if form.channels == 1 else "RGB")
        pixels = np.asarray(_fitted(plain, form))
        if pixels.ndim == 2:
            return pixels[..., np.newaxis]
        return pixels if form.channels else _without_needless_channels(pixels)


def read_size(path: str | Path) -> tuple[int, int]:
    """Reads height and width of a picture as it stands upright, from its header alone.

    Raises:
        BadPictureError: if it cannot be read.
    """
    with _opened(path) as image:
        width, height = image.size
        is_lying = image.format != "TIFF" and _orientation(image) >= 5
        return (width, height) if is_lying else (height, width)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Keeps Pillow's remarks on odd files from the screen, in all threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Yields a picture that is not decoded yet; what fails within becomes a BadPictureError."""
    try:
        status = os.stat(path)  # noqa: PTH116  (a Path would take longer than the call)
        if not stat.S_ISREG(status.st_mode):
            raise BadPictureError("no regular file")
        if status.st_size == 0:
            raise BadPictureError("an empty file")
        with (
            os.fdopen(os.open(path, _HOW_TO_OPEN), "rb") as file,
            Image.open(file, formats=_FORMATS) as image,
        ):
            _check_pixels(*image.size)
            yield image
    except BadPictureError:
        raise
    except Exception as error:  # a file from anywhere fails in many ways
        raise BadPictureError(_reason(error)) from error


def _check_pixels(width: int, height: int) -> None:
    """Refuses a picture by its header, before anything is allocated for it."""
    if not 0 < width * height <= _MOST_PIXELS:
        raise BadPictureError(f"{width} x {height} pixels, not 1 to {_MOST_PIXELS:,} in all")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its content is no picture"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {_MOST_PIXELS:,} pixels"
    if isinstance(error, MemoryError):
        return "more than the memory holds"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def _orientation(image: Image.Image) -> int:
    """How the camera was held, from 1 to 8; 1 is upright."""
    if not _WITH_ORIENTATION & image.info.keys() and image.format != "TIFF":
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged notes on a picture do it no harm
        return 1
    return orientation if orientation in _TURNS else 1


def _upright(image: Image.Image) -> Image.Image:
    orientation = _orientation(image)
    if orientation == 1:
        return image
    turned = image.transpose(_TURNS[orientation])
    turned.info = image.info
    return turned


def _plain(image: Image.Image, background: int) -> Image.Image:
    """Makes grey levels or colours of 8 bits of any kind of picture."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _eight_bits(image, background)
    kind = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if not image.has_transparency_data:
        return image if image.mode == kind else image.convert(kind)
    above = image.convert("RGBA")
    below = Image.new("RGB", above.size, (background,) * 3)
    below.paste(above, mask=above.getchannel("A"))
    return below.convert(kind)


def _eight_bits(image: Image.Image, background: int) -> Image.Image:
    """Scales levels of 16 bits, or floats from 0 to 1."""
    levels = np.asarray(image)
    low, high = levels.min(), levels.max()
    if not (low >= 0 and high <= (1 if image.mode == "F" else 65535)):  # also true for NaN
        raise BadPictureError(f"levels from {low} to {high}, not of 8 or 16 bits")
    if image.mode == "F":
        levels = np.rint(levels * 65535)
    scaled = ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 is white
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        scaled[levels == transparent] = background
    return Image.fromarray(scaled)


def _without_needless_channels(pixels: np.ndarray) -> np.ndarray:
    is_grey = np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(
        pixels[..., 0], pixels[..., 2]
    )
    return pixels[..., :1] if is_grey else pixels


def _fitted(image: Image.Image, form: Form) -> Image.Image:
    """Brings a picture to the size of its form, antialiased."""
    if form.size is None or image.size == form.size[::-1]:
        return image
    height, width = form.size
    if form.fit == "stretch":
        return _resized(image, (width, height), (0, 0, *image.size))
    across, down = image.width / width, image.height / height
    if form.fit == "crop":
        scale = min(across, down)
        left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
        box = (max(left, 0), max(top, 0), image.width - max(left, 0), image.height - max(top, 0))
        return _resized(image, (width, height), box)
    scale = max(across, down)
    inner = max(1, round(image.width / scale)), max(1, round(image.height / scale))
    margins = Image.new(image.mode, (width, height), (form.background,) * len(image.getbands()))
    place = (width - inner[0]) // 2, (height - inner[1]) // 2
    margins.paste(_resized(image, inner, (0, 0, *image.size)), place)
    return margins


def _resized(image: Image.Image, size: tuple[int, int], box: tuple[float, ...]) -> Image.Image:
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
