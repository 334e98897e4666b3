"""Animations: pictures or images joined into a GIF."""

from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

from cvae_tf.core import files
from cvae_tf.drawing import mosaics

_LAST_FRAME_MS = 3000
_AREA = 224 * 224  # pixels of an enlarged frame
_LONGEST_SIDE = 1200
_PIXELS_FOR_COLOURS = 150_000  # more take long and choose hardly better


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
    pixels = mosaics.enlarged(mosaics.to_pixels(images), max(1, int(enlarge)))
    frames = mosaics.without_channel(np.concatenate([pixels, pixels[-2:0:-1]]))
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
