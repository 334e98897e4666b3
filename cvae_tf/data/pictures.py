"""Reads one picture file of any format, kind and size, upright; or says in short why not.

The settings for reading are here too. Nothing in this file needs TensorFlow.
"""

import contextlib
import dataclasses
import logging
import math
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import among, check, setting
from cvae_tf.core.tensorflow_setup import quiet_logging

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".gif", ".tif", ".tiff"),
    *(".webp", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".ico"),
)
ARCHIVES = {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"}
IN_MEMORY = "arrays"  # the name of a data set that is not in a file
CACHE_MB = 2048  # megabytes of images that are held in memory
AUTO = "auto"  # a white level that is taken from the data
SMALLEST_SIDE, LARGEST_SIDE = 8, 256  # of an image, in pixels
LARGEST_OF_16_BITS = 65535

Image.init()  # all formats, before several threads need them at once
# Recognised by their content. Others are left out: EPS starts programs, TGA claims any file.
_WANTED = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")
_FORMATS = [name for name in _WANTED if name in Image.OPEN]
_WITH_PAGES = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")  # a second picture in a JPEG is a preview
_LONGEST_REASON = 80  # characters
_GREY_MODES = ("1", "L", "LA", "La")
_PHOTOMETRIC = TiffImagePlugin.PHOTOMETRIC_INTERPRETATION


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """How the pictures of a folder become images of one size."""

    image_size: str | None = setting(
        "Bring all pictures of a folder to this size: 64, or 64x48 for height x width. "
        "Needed if they are of different sizes.",
        None,
    )
    fit: str = setting(
        "How to bring pictures to --image_size: cut the longer side, add margins (pad), or "
        "stretch.",
        "crop",
        choices=("crop", "pad", "stretch"),
    )
    channels: int = setting(
        "1 for grey, 3 for colours, 0 for what the pictures of a folder are.", 0, least=0, most=3
    )
    background: int = setting(
        "Grey level under transparent pictures and in margins, from 0 (black) to 255 (white).",
        0,
        least=0,
        most=255,
    )
    white_level: str | None = setting(
        "The level that is white, such as 4095 of cameras with 12 bits; auto: the largest one in "
        "the data. By default the largest of 8 or 16 bits; if pictures of 16 bits use 8, 10, 12 "
        "or 14 alone, the largest of these.",
        None,
    )
    pages: str = setting(
        "Of files with several pages or frames. first: the first one is an image; all: each is.",
        "first",
        choices=("first", "all"),
    )
    skip_bad: bool = setting("Leave out pictures of a folder that cannot be read.", False)

    def __post_init__(self):
        """Checks all settings; raises a UserError that names the first wrong one."""
        check(self)
        if self.channels == 2:
            raise UserError("--channels=2: must be 1 (grey), 3 (colours), or 0 (as they are).")
        _ = self.height_and_width, self.number_of_white

    @classmethod
    def of(cls, values: dict[str, Any]) -> "ReadingSettings":
        """Picks these settings from all those of a run."""
        return cls(**among(values, cls))

    @property
    def height_and_width(self) -> tuple[int, int] | None:
        """The size in `image_size`, in pixels; None for that of the pictures."""
        if self.image_size is None:
            return None
        match = re.fullmatch(r"(\d{1,9})(?:[xX](\d{1,9}))?", self.image_size, re.ASCII)
        sides = [int(side) for side in match.groups(match[1])] if match else [0]
        least, most = SMALLEST_SIDE, LARGEST_SIDE
        if not least <= min(sides) <= max(sides) <= most:
            raise UserError(
                f"--image_size={self.image_size!r}: must be a side such as 64, or height x width "
                f"such as 64x48, each from {least} to {most} pixels."
            )
        return sides[0], sides[1]

    @property
    def number_of_white(self) -> float | None:
        """The level in `white_level`; None if there is none, or it is left to the data."""
        if self.white_level in (None, AUTO):
            return None
        with contextlib.suppress(ValueError):
            level = float(self.white_level)
            if math.isfinite(level) and level > 0:
                return level
        raise UserError(
            f"--white_level={self.white_level!r}: must be a number above 0, such as 4095, or auto."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """Which images to work on, and how to change them."""

    data_path: str | None = setting(
        "Images to work on: an .npz or .npy, a picture, or a folder of pictures; "
        "without it, the test images of the model's own data set.",
        None,
        is_path=True,
    )
    invert: bool | None = setting("Exchange black and white in the images.", None)
    images: ClassVar[dict[str, Any] | None] = None  # arrays in memory: "images", perhaps "labels"

    def with_arrays(self, arrays: dict[str, Any]) -> "ImageSettings":
        """Works on arrays in memory, if there are any; they are not a setting and have no flag."""
        if arrays and self.data_path is not None:
            raise UserError("images and data_path: give one of the two.")
        object.__setattr__(self, "images", arrays or None)
        return self

    @property
    def names_images(self) -> bool:
        """Whether the images are others than those of the model's run."""
        return self.data_path is not None or self.images is not None


class BadPictureError(Exception):
    """A file that cannot be read as a picture; the text is a short reason in one line."""


class Form(NamedTuple):
    """How a picture becomes pixels."""

    size: tuple[int, int] | None = None  # height and width; None for those of the picture
    fit: str = "crop"  # like `ReadingSettings.fit`
    channels: int = 0  # 1 for grey, 3 for colours, 0 for what the picture is
    background: int = 0  # grey level under transparency and in margins
    white_level: float | None = None  # of every picture; None for the largest level of its type
    deep_white_level: int | None = None  # the same for grey pictures of 16 bits alone


class Picture(NamedTuple):
    """What a file holds."""

    pixels: np.ndarray  # uint8 [H, W, C]
    is_deep: bool  # whether its grey levels have 16 bits, or are floats
    num_pages: int
    size: tuple[int, int]  # height and width before it was brought to that of its form


def read(path: str | Path, form: Form, page: int = 0) -> Picture:
    """Reads a picture, or one page of a file with several, such as a frame of an animation.

    Args:
        path: the file; only regular files are opened.
        form: of the pixels; without `channels`, C is 1 if all pixels are grey, else 3.
        page: from 0.

    Raises:
        BadPictureError: if it cannot be read.
    """
    with _opened(path, page) as image:
        num_pages = _count_pages(image)
        if form.size:
            room = 2 * max(form.size)
            image.draft(None, (room, room))  # a large JPEG need not be decoded in full
        is_deep = _is_deep(image)
        plain = (_plain_deep if is_deep else _plain)(image, form)
        if form.channels:
            plain = plain.convert("L" if form.channels == 1 else "RGB")
        pixels = np.asarray(fitted(plain, form))
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    elif not form.channels and np.all(pixels == pixels[..., :1]):
        pixels = pixels[..., :1]
    return Picture(pixels, is_deep, num_pages, plain.size[::-1])


def largest_level(path: str | Path, page: int = 0) -> tuple[float, bool]:
    """The largest level of a picture as Pillow reads it, and whether it is grey with 16 bits.

    Fully transparent pixels do not count.

    Raises:
        BadPictureError: if it cannot be read.
    """
    with _opened(path, page) as image:
        if not _is_deep(image):
            return float(np.max(np.asarray(_plain(image, Form())))), False
        levels = np.asarray(image)
        seen = levels[levels != image.info.get("transparency")]
        if not np.all(np.isfinite(seen)):
            raise BadPictureError("levels that are no numbers")
        return float(seen.max(initial=0)), image.mode != "F"


def count_pages(path: str | Path) -> int:
    """The number of pages or frames of a file; 1 if it cannot be read."""
    try:
        with _opened(path) as image:
            return _count_pages(image)
    except BadPictureError:
        return 1


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Keeps Pillow's warnings about odd files from the screen, in all threads."""
    with warnings.catch_warnings(), quiet_logging("PIL", logging.CRITICAL):
        warnings.simplefilter("ignore")
        yield


def fitted(image: Image.Image, form: Form) -> Image.Image:
    """Brings a picture of 8 bits to the size of its form, antialiased."""
    if form.size is None or image.size == form.size[::-1]:
        return image
    size, lanczos = form.size[::-1], Image.Resampling.LANCZOS
    if form.fit == "crop":
        return ImageOps.fit(image, size, lanczos)
    if form.fit == "pad":
        return ImageOps.pad(image, size, lanczos, (form.background,) * len(image.getbands()))
    return image.resize(size, lanczos)


@contextlib.contextmanager
def _opened(path: str | Path, page: int = 0) -> Iterator[Image.Image]:
    """Yields a picture that is not decoded yet; errors within become a BadPictureError."""
    if not os.path.isfile(path):  # noqa: PTH113  (a Path would take longer than the call)
        raise BadPictureError("no regular file is there")
    try:
        # By its name, Pillow 13 would misread an uncompressed TIFF of a turned camera.
        with Path(path).open("rb") as file, Image.open(file, formats=_FORMATS) as image:
            if page:
                image.seek(page)
            if image.format == "TIFF":
                _refuse_misread(image.tag_v2)
            yield image
    except BadPictureError:
        raise
    except Exception as error:  # a file from anywhere fails in many ways
        raise BadPictureError(_reason(error)) from error


def _refuse_misread(tags: TiffImagePlugin.ImageFileDirectory_v2) -> None:
    """Refuses a TIFF whose numbers Pillow would misread without an error."""
    names = ("BITSPERSAMPLE", "SAMPLEFORMAT", "SAMPLESPERPIXEL", "PLANAR_CONFIGURATION")
    values = (tags.get(getattr(TiffImagePlugin, name), 1) for name in names)
    bits, kind, bands, planes = (int(np.max(value)) for value in values)
    is_signed, are_planes = kind == 2, bands > 1 and planes == 2
    if (is_signed and bits == 8) or (are_planes and bits > 8):
        raise BadPictureError(
            f"a TIFF of {bands} bands of {bits} bits that Pillow misreads; save it with 1 or 3 "
            "bands of unsigned numbers"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its content is no picture that can be read"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def _count_pages(image: Image.Image) -> int:
    return getattr(image, "n_frames", 1) if image.format in _WITH_PAGES else 1


def _load_upright(image: Image.Image) -> None:
    """Decodes a picture, and turns it as the camera was held."""
    image.load()
    with contextlib.suppress(Exception):  # damaged metadata does the picture no harm
        ImageOps.exif_transpose(image, in_place=True)


def _plain(image: Image.Image, form: Form) -> Image.Image:
    """Turns a picture that Pillow holds in 8 bits into grey levels or colours, upright."""
    white = form.white_level
    if white and white > 255:
        _refuse_deep_colours(image)
        white = None  # it is meant for pictures of 16 bits beside this one
    _load_upright(image)
    kind = "L" if image.mode in _GREY_MODES else "RGB"
    if not image.has_transparency_data:
        return _scaled(image.convert(kind), white)
    above = image.convert("RGBA")
    below = Image.new("RGB", above.size, (form.background,) * 3)
    below.paste(_scaled(above.convert("RGB"), white), mask=above.getchannel("A"))
    return below.convert(kind)


def _refuse_deep_colours(image: Image.Image) -> None:
    """Refuses a picture in colours of 16 bits, of which Pillow keeps only the upper byte."""
    if re.search(r"(LA|RGB[AX]?);16[BLN]", str(image.tile)):
        raise BadPictureError(
            "colours of 16 bits, of which the upper 8 are read; a white level above 255 needs "
            "pictures of 8 bits, or grey ones"
        )


def _scaled(plain: Image.Image, white_level: float | None) -> Image.Image:
    levels = _to_8_bits(np.arange(256), white_level or 255).tolist()
    return plain.point(levels * len(plain.getbands()))


def _to_8_bits(levels: np.ndarray, white_level: float) -> np.ndarray:
    """Scales levels from 0; those above `white_level` are white too."""
    return np.rint(np.minimum(levels / white_level, 1) * 255).astype(np.uint8)


def _is_deep(image: Image.Image) -> bool:
    """Whether Pillow keeps more than 8 bits of its levels, which are then grey."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _plain_deep(image: Image.Image, form: Form) -> Image.Image:
    """Turns a picture of 16 bits, or of floats, into grey levels, as `_plain` does."""
    _load_upright(image)
    levels, largest = np.asarray(image), 1 if image.mode == "F" else LARGEST_OF_16_BITS
    low, high = float(levels.min()), float(levels.max())
    most = np.finfo(float).max if form.white_level else largest
    if not 0 <= low <= high <= most:  # also if one is NaN
        hint = "; --white_level=auto takes larger ones" if high > most else ""
        raise BadPictureError(f"levels from {low:g} to {high:g}, not from 0 to {most:g}{hint}")
    if image.mode != "F" and form.deep_white_level:
        largest = form.deep_white_level
    pixels = _to_8_bits(levels, form.white_level or largest)
    if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0:  # 0 is white
        pixels = 255 - pixels
    pixels[levels == image.info.get("transparency")] = form.background
    return Image.fromarray(pixels)
