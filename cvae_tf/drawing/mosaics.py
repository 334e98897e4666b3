"""Mosaics: many images laid out in rows and columns; images as PNG files and as animations."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

from cvae_tf.core import files

_SHOWN_LENGTH = 900  # pixels of the longer side of a mosaic that is enlarged
_LAST_FRAME_MS = 3000
_AREA = 224 * 224  # pixels of an enlarged frame
_LONGEST_SIDE = 1200
_PIXELS_FOR_COLOURS = 150_000  # more take long and choose hardly better


def best_columns(num: int, height: int, width: int, sets: int = 1) -> int:
    """Chooses the columns that make a mosaic about as wide as high and leave few places empty.

    Args:
        num: images in each set.
        height: of an image.
        width: of an image.
        sets: that stand over each other, as in `stacked`.

    Returns:
        How many images stand in a row, at least 1.
    """

    def fault(columns: int) -> tuple[float, int]:
        rows_of_a_set = -(-num // columns)
        stretch = math.log(columns * width / (sets * rows_of_a_set * height))
        empty = 1 - num / (rows_of_a_set * columns)
        return round(abs(stretch) + 2 * empty, 6), -columns

    return min(range(1, num + 1), key=fault, default=1)


def mosaic(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Lays images out in rows on white.

    Args:
        images: [N, H, W, C], in [0, 1], or uint8; N need not fill the last row.
        columns: images in a row.
        gap: pixels between neighbours.

    Returns:
        One image of the same kind, [rows * (H + gap) - gap, columns * (W + gap) - gap, C].
    """
    num, height, width, channels = images.shape
    rows = -(-num // columns)
    white = 255 if images.dtype == np.uint8 else 1
    kind = np.uint8 if images.dtype == np.uint8 else np.float32
    padded = np.full((rows * columns, height + gap, width + gap, channels), white, kind)
    padded[:num, :height, :width] = images
    grid = padded.reshape(rows, columns, height + gap, width + gap, channels).swapaxes(1, 2)
    whole = grid.reshape(rows * (height + gap), columns * (width + gap), channels)
    return whole[: rows * (height + gap) - gap, : columns * (width + gap) - gap]


def stacked(sets: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Orders sets [N, H, W, C] for a mosaic in which each row of one stands over the next's.

    White images fill the last rows.
    """
    shape = sets[0].shape[1:]
    filling = np.ones((-len(sets[0]) % columns, *shape), np.float32)
    rows = [np.concatenate([images, filling]).reshape(-1, columns, *shape) for images in sets]
    return np.stack(rows, axis=1).reshape(-1, *shape)


def well_sized(images: np.ndarray, columns: int, length: int, most: int) -> np.ndarray:
    """Brings images to the size at which a mosaic of them is good to look at.

    Small images are enlarged by a whole number: all their pixels stay squares of one size. Only
    what would be too large is made smaller, each image alone, so that all gaps stay the same.

    Args:
        images: [N, H, W, C] in [0, 1].
        columns: images in a row of the mosaic.
        length: pixels of its longer side that are best.
        most: pixels of its longer side above which images are made smaller.

    Returns:
        uint8 [N, H', W', C], of one channel or three.
    """
    num, height, width, _ = images.shape
    longer = max(columns * width, -(-num // columns) * height)
    if longer > most:
        return np.stack([_smaller(image, most / longer) for image in images])
    return enlarged(to_pixels(images), _nearest_factor(longer, length))


def _nearest_factor(length: int, wanted: int) -> int:
    """The whole number by which a length comes nearest to the wanted one, as a ratio."""
    factor = max(1, wanted // length)
    return factor if wanted**2 <= factor * (factor + 1) * length**2 else factor + 1


def _smaller(image: np.ndarray, factor: float) -> np.ndarray:
    """Makes an image [H, W, C] in [0, 1] smaller by a smooth filter, uint8 [H', W', C]."""
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    picture = Image.fromarray(without_channel(to_pixels(image))).resize((width, height))
    return np.asarray(picture).reshape(height, width, -1)


def to_pixels(images: np.ndarray) -> np.ndarray:
    """Turns [..., H, W, C] in [0, 1] into uint8, of one channel or three; what is NaN is black."""
    levels = np.rint(np.clip(np.nan_to_num(images, nan=0), 0, 1) * 255).astype(np.uint8)
    return levels if levels.shape[-1] == 3 else levels[..., :1]


def without_channel(pixels: np.ndarray) -> np.ndarray:
    """Takes the last axis away if it has one channel, as writers of pictures want it."""
    return pixels if pixels.shape[-1] == 3 else pixels[..., 0]


def enlarged(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Makes a square of each pixel of [..., H, W, C]."""
    return pixels.repeat(factor, axis=-3).repeat(factor, axis=-2)


def save_image(path: Path, image: np.ndarray, enlarge: int = 1) -> None:
    """Writes an image as a PNG.

    Args:
        path: the PNG to write.
        image: [H, W, C] in [0, 1].
        enlarge: side of the square that each pixel becomes.
    """
    with files.replacing(path) as temporary:
        iio.imwrite(temporary, without_channel(enlarged(to_pixels(image), enlarge)))


def save_mosaic(path: Path, images: np.ndarray, columns: int | None = None) -> Path:
    """Writes a mosaic of images [N, H, W, C] as a PNG that is large enough to be looked at.

    Args:
        path: the PNG to write.
        images: [N, H, W, C] in [0, 1].
        columns: images in a row; by default what suits their number and shape.

    Returns:
        The PNG.
    """
    whole = mosaic(images, columns or best_columns(*images.shape[:3]))
    save_image(path, whole, enlarge=max(1, _SHOWN_LENGTH // max(whole.shape[:2])))
    return path


def save_stacked(path: Path, sets: Sequence[np.ndarray]) -> Path:
    """Writes a mosaic in which each row of one set [N, H, W, C] stands over the next's.

    Returns:
        The PNG.
    """
    columns = best_columns(*sets[0].shape[:3], sets=len(sets))
    return save_mosaic(path, stacked(sets, columns), columns)


def save_strip(path: Path, images: np.ndarray) -> Path:
    """Writes images [N, H, W, C] in one row; wide ones, such as spectra, one under the other.

    Returns:
        The PNG.
    """
    num, height, width, _ = images.shape
    return save_mosaic(path, images, 1 if width > 2 * height else num)


def animate(pictures: list[Path], path: Path) -> None:
    """Joins pictures into a GIF that repeats, its last frame held.

    Args:
        pictures: PNG files, in order; what is smaller than the largest gets white about it.
        path: the GIF to write.
    """
    sizes = np.array([iio.improps(picture).shape[:2] for picture in pictures])
    frame_ms = min(400, max(60, 20_000 // len(pictures)))
    durations = [frame_ms] * (len(pictures) - 1) + [_LAST_FRAME_MS]
    _save_gif(path, _frames(pictures, sizes.max(axis=0)), durations)


def _frames(pictures: list[Path], size: np.ndarray) -> Iterator[np.ndarray]:
    """Reads one picture after the other, so that they are never all in memory."""
    for picture in pictures:
        frame = iio.imread(picture, mode="RGB")
        missing = size - frame.shape[:2]
        margins = [(room // 2, room - room // 2) for room in missing]
        yield _without_needless_colours(np.pad(frame, [*margins, (0, 0)], constant_values=255))


def _without_needless_colours(frame: np.ndarray) -> np.ndarray:
    """Makes a grey picture [H, W] of one [H, W, 3] whose channels are equal."""
    grey = frame[..., 0].copy()
    return grey if (frame == grey[..., np.newaxis]).all() else frame


def save_animation(path: Path, images: np.ndarray, frame_ms: int = 60) -> None:
    """Writes images as a GIF that goes there and back, for ever.

    Args:
        path: the GIF to write.
        images: [N, H, W, C] in [0, 1]; small ones are enlarged by a whole number.
        frame_ms: how long each is seen, milliseconds.
    """
    height, width = images.shape[1:3]
    enlarge = min((_AREA / (height * width)) ** 0.5, _LONGEST_SIDE / max(height, width))
    pixels = enlarged(to_pixels(images), max(1, int(enlarge)))
    frames = without_channel(np.concatenate([pixels, pixels[-2:0:-1]]))
    _save_gif(path, iter(frames), [frame_ms] * len(frames))


def _save_gif(path: Path, frames: Iterator[np.ndarray], durations_ms: list[int]) -> None:
    pages = map(_page, frames)
    with files.replacing(path) as temporary:
        next(pages).save(
            temporary, save_all=True, append_images=pages, duration=durations_ms, loop=0
        )


def _page(frame: np.ndarray) -> Image.Image:
    """Makes a page of a GIF, at most 256 colours; they are chosen by a part of its pixels."""
    page = Image.fromarray(frame)
    if page.mode != "RGB":
        return page
    step = max(1, round((frame[..., 0].size / _PIXELS_FOR_COLOURS) ** 0.5))
    colours = Image.fromarray(frame[::step, ::step].copy()).quantize(255)
    table = colours.getpalette()[: 3 * 255]
    colours.putpalette([*table, 255, 255, 255])
    page = page.quantize(palette=colours, dither=Image.Dither.NONE)
    is_white = Image.fromarray((frame == 255).all(axis=-1))
    page.paste(len(table) // 3, mask=is_white)  # nearly white is not good enough for paper
    return page
