"""One picture file as pixels: of any format, kind and size, upright; or a short reason why not."""

import contextlib
import logging
import os
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from cvae_tf.core.tensorflow_setup import quiet_logging

Image.init()  # all formats, before several threads need them at once
# Known by their content. Others are left out: some start programs (EPS), some claim any file (TGA).
_WANTED = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")
_FORMATS = [name for name in _WANTED if name in Image.OPEN]
_MOST_PIXELS = 100_000_000  # of a picture, which then needs some hundred megabytes
_WITH_PAGES = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")  # the second picture of a JPEG is a preview
_LONGEST_REASON = 80  # characters
_GREY_MODES = ("1", "L", "LA", "La")
_SIXTEEN_BITS = 65535  # the largest level
_KINDS_OF_SAMPLES = {1: "unsigned", 2: "signed", 3: "float", 5: "complex", 6: "complex"}
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
    white_level: float | None = None  # of every picture; None for the largest of its kind
    deep_white_level: int | None = None  # the same for pictures of 16 bits alone


class Picture(NamedTuple):
    """What a file holds."""

    pixels: np.ndarray  # uint8 [H, W, C]
    is_deep: bool  # whether its levels have 16 bits, or are floats
    is_transparent: bool
    num_pages: int
    size: tuple[int, int]  # height and width before it was brought to that of its form


def read_picture(path: str | Path, form: Form, page: int = 0) -> np.ndarray:
    """Reads the pixels of a picture; arguments, result and errors are those of `read`."""
    return read(path, form, page).pixels


def read(path: str | Path, form: Form, page: int = 0) -> Picture:
    """Reads a picture, or one page of a file with several, such as a frame of an animation.

    Args:
        path: the file; what is no regular file is never opened.
        form: of the pixels.
        page: from 0.

    Returns:
        The picture; with `form.channels=0`, C is 1 if all pixels are grey, else 3.

    Raises:
        BadPictureError: if it cannot be read.
    """
    with _opened(path, page) as image:
        num_pages = _count_pages(image)
        if form.size:
            room = 2 * max(form.size)
            image.draft(None, (room, room))  # a large JPEG need not be decoded in full
        is_deep = _is_deep(image)
        plain, is_transparent = _plain_deep(image, form) if is_deep else _plain(image, form)
        plain = _upright(plain, _orientation(image))
        if form.channels:
            plain = plain.convert("L" if form.channels == 1 else "RGB")
        pixels = np.asarray(fitted(plain, form))
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    elif not form.channels:
        pixels = _without_needless_channels(pixels)
    return Picture(pixels, is_deep, is_transparent, num_pages, plain.size[::-1])


def largest_level(path: str | Path, page: int = 0) -> tuple[float, bool]:
    """The largest level of a picture as its file has it, and whether it is one of 16 bits.

    What is below full transparency does not count.

    Raises:
        BadPictureError: if it cannot be read.
    """
    with _opened(path, page) as image:
        if not _is_deep(image):
            return float(np.max(np.asarray(_plain(image, Form())[0]))), False
        levels, opacity = _deep_levels(image)
        seen = levels if opacity is None else levels[opacity > 0]
        return float(seen.max(initial=0)), image.mode != "F"


def count_pages(path: str | Path) -> int:
    """The number of pages or frames of a file; 1 if it cannot be read."""
    try:
        with _opened(path) as image:
            return _count_pages(image)
    except BadPictureError:
        return 1


def read_size(path: str | Path, page: int = 0) -> tuple[int, int]:
    """Reads height and width of a picture as it stands upright, from its header alone.

    Raises:
        BadPictureError: if it cannot be read.
    """
    with _opened(path, page) as image:
        width, height = image.size
        is_lying = image.format != "TIFF" and _orientation(image) >= 5
        return (width, height) if is_lying else (height, width)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Keeps Pillow's remarks on odd files from the screen, in all threads."""
    with warnings.catch_warnings(), quiet_logging("PIL", logging.CRITICAL):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _opened(path: str | Path, page: int = 0) -> Iterator[Image.Image]:
    """Yields a picture that is not decoded yet; what fails within becomes a BadPictureError."""
    try:
        status = os.stat(path)  # noqa: PTH116  (a Path would take longer than the call)
        if not stat.S_ISREG(status.st_mode):
            raise BadPictureError("no regular file")
        if status.st_size == 0:
            raise BadPictureError("an empty file")
        with os.fdopen(os.open(path, _HOW_TO_OPEN), "rb") as file, _identified(file) as image:
            if page:
                image.seek(page)
            _check_pixels(*image.size)
            if image.format == "TIFF" and (samples := _Samples.of(image.tag_v2)).are_misread:
                raise samples.refusal
            yield image
    except BadPictureError:
        raise
    except Exception as error:  # a file from anywhere fails in many ways
        raise BadPictureError(_reason(error)) from error


def _identified(file: BinaryIO) -> Image.Image:
    """Finds out what kind of picture a file is; says what a TIFF holds that cannot be read."""
    try:
        return Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        tags = _tags_of_tiff(file)
        if tags is None:
            raise
    raise _Samples.of(tags).refusal


def _tags_of_tiff(file: BinaryIO) -> Any:
    """The tags of a TIFF that Pillow does not take; None if it is no TIFF."""
    try:
        file.seek(0)
        start = file.read(8)
        start += file.read(8) if b"+" in start[2:4] else b""  # a BigTIFF
        tags = TiffImagePlugin.ImageFileDirectory_v2(start)
        file.seek(tags.next)
        tags.load(file)
    except Exception:  # a damaged file fails in many ways
        return None
    return tags


class _Samples(NamedTuple):
    """What the levels of a TIFF are."""

    bands: int
    bits: int
    kind: int  # one of `_KINDS_OF_SAMPLES`
    are_planes: bool  # one band after the other
    has_opacity: bool  # in its last band

    @classmethod
    def of(cls, tags: Any) -> "_Samples":
        """Reads the tags of a TIFF."""

        def first(name: str, default: int) -> int:
            value = tags.get(getattr(TiffImagePlugin, name), default)
            return value[0] if isinstance(value, tuple) else value

        bands, bits = first("SAMPLESPERPIXEL", 1), first("BITSPERSAMPLE", 1)
        are_planes = bands > 1 and first("PLANAR_CONFIGURATION", 1) == 2
        return cls(bands, bits, first("SAMPLEFORMAT", 1), are_planes, first("EXTRASAMPLES", 0) > 0)

    @property
    def are_misread(self) -> bool:
        """Whether Pillow reads them without an error, but wrongly."""
        is_signed = self.kind == 2 and self.bits == 8
        is_unknown_pair = self.bands == 2 and not self.has_opacity
        return is_signed or is_unknown_pair or (self.are_planes and self.bits > 8)

    @property
    def refusal(self) -> BadPictureError:
        """Says what they are, and what could be read."""
        kind = _KINDS_OF_SAMPLES.get(self.kind, "unknown")
        bands = f"{self.bands} bands" if self.bands > 1 else "1 band"
        planes = ", one after the other" if self.are_planes else ""
        return BadPictureError(
            f"a TIFF of {bands} of {self.bits}-bit {kind} numbers{planes}; save it with 1 or 3 "
            "bands of unsigned numbers of 8 or 16 bits"
        )


def _count_pages(image: Image.Image) -> int:
    return getattr(image, "n_frames", 1) if image.format in _WITH_PAGES else 1


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


def _upright(plain: Image.Image, orientation: int) -> Image.Image:
    return plain if orientation == 1 else plain.transpose(_TURNS[orientation])


def _plain(image: Image.Image, form: Form) -> tuple[Image.Image, bool]:
    """Makes grey levels or colours of a picture of at most 8 bits; whether it is transparent."""
    image.load()
    kind = "L" if image.mode in _GREY_MODES else "RGB"
    if not image.has_transparency_data:
        plain = image if image.mode == kind else image.convert(kind)
        return _scaled(plain, form.white_level), False
    above = image.convert("RGBA")
    opacity = above.getchannel("A")
    below = Image.new("RGB", above.size, (form.background,) * 3)
    below.paste(_scaled(above.convert("RGB"), form.white_level), mask=opacity)
    return below.convert(kind), opacity.getextrema()[0] < 255


def _scaled(plain: Image.Image, white_level: float | None) -> Image.Image:
    if white_level is None or white_level > 255:  # which is meant of pictures of 16 bits beside it
        return plain
    return plain.point(_to_8_bits(np.arange(256), white_level).tolist() * len(plain.getbands()))


def _to_8_bits(levels: np.ndarray, white_level: float) -> np.ndarray:
    """Scales levels from 0; those above `white_level` are white too."""
    return np.rint(np.minimum(levels / white_level, 1) * 255).astype(np.uint8)


def _is_deep(image: Image.Image) -> bool:
    """Whether levels have more than 8 bits."""
    is_grey = image.mode in ("I", "F") or image.mode.startswith("I;16")
    return is_grey or _raw_mode_of_colours(image) is not None


def _raw_mode_of_colours(image: Image.Image) -> str | None:
    """How colours of 16 bits lie in a file that is not decoded yet, such as "RGB;16B"."""
    arguments = image.tile[0].args if image.tile else None
    raw_mode = arguments[0] if isinstance(arguments, tuple) else arguments
    is_deep = isinstance(raw_mode, str) and re.fullmatch(r"(LA|RGB[AX]?);16[BLN]", raw_mode)
    return raw_mode if is_deep else None


def _plain_deep(image: Image.Image, form: Form) -> tuple[Image.Image, bool]:
    """Makes grey levels or colours of a picture of 16 bits, or of floats, as `_plain` does."""
    is_negative = (
        image.format == "TIFF" and image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    )
    levels, opacity = _deep_levels(image)
    white = form.white_level or (1 if image.mode == "F" else form.deep_white_level)
    _check_levels(levels, image.mode == "F", form.white_level)
    if image.mode == "F":
        levels, white = np.rint(levels / white * _SIXTEEN_BITS), _SIXTEEN_BITS
    white = white or _SIXTEEN_BITS
    pixels = _to_8_bits(white - np.minimum(levels, white) if is_negative else levels, white)
    if opacity is not None:
        share = opacity[..., np.newaxis]
        pixels = np.rint(pixels * share + form.background * (1 - share)).astype(np.uint8)
    plain = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return plain, opacity is not None and bool(opacity.min() < 1)


def _check_levels(levels: np.ndarray, are_floats: bool, white_level: float | None) -> None:
    """Refuses levels of which it is not clear what they mean."""
    low, high = float(levels.min()), float(levels.max())
    if not np.isfinite(high - low):
        raise BadPictureError("levels that are no finite numbers")
    if low < 0:
        raise BadPictureError(f"levels from {low:g} to {high:g}; black must be 0, none below it")
    if white_level is None and high > (1 if are_floats else _SIXTEEN_BITS):
        wanted = "floats in [0, 1]" if are_floats else "16 bits"
        raise BadPictureError(
            f"levels from {low:g} to {high:g}, not {wanted}; --white_level=auto takes them"
        )


def _deep_levels(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Decodes the levels of a picture of 16 bits or floats.

    Returns:
        Levels [H, W, C], and opacity [H, W] from 0 to 1; None if there is no transparency.
    """
    raw_mode = _raw_mode_of_colours(image)
    values = _deep_colours(image, raw_mode) if raw_mode else np.asarray(image)[..., np.newaxis]
    transparent = image.info.get("transparency")
    if values.shape[-1] in (2, 4):
        return values[..., :-1], values[..., -1] / _SIXTEEN_BITS
    if isinstance(transparent, (int, tuple)):
        return values, np.any(values != transparent, axis=-1).astype(float)
    return values, None


def _deep_colours(image: Image.Image, raw_mode: str) -> np.ndarray:
    """Decodes colours of 16 bits, of which Pillow keeps the upper byte alone: in two goes.

    In the second one it is told that the bytes lie the other way round.
    """
    file, page = image.fp, image.tell()

    def load(wanted: str) -> np.ndarray:
        again = Image.open(file, formats=[image.format])
        again.seek(page)
        for number, tile in enumerate(again.tile):
            arguments = wanted if isinstance(tile.args, str) else (wanted, *tile.args[1:])
            again.tile[number] = tile._replace(args=arguments)
        return np.asarray(again).astype(np.uint16)

    kind, order = raw_mode.split(";16")
    if kind == "LA":  # four bytes: two of the level, two of the opacity
        image.load()
        four = load("RGBA")
        return four[..., 0::2] * 256 + four[..., 1::2]
    is_little = order == "L" or (order == "N" and sys.byteorder == "little")
    low = load(f"{kind};16{'B' if is_little else 'L'}")
    return np.asarray(image).astype(np.uint16) * 256 + low


def _without_needless_channels(pixels: np.ndarray) -> np.ndarray:
    is_grey = np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(
        pixels[..., 0], pixels[..., 2]
    )
    return pixels[..., :1] if is_grey else pixels


def fitted(image: Image.Image, form: Form) -> Image.Image:
    """Brings a picture of 8 bits to the size of its form, antialiased."""
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
