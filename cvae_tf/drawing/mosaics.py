"""Pictures made of pixels: mosaics, PNG files and GIF animations."""

from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from cvae_tf.core import files

_LAST_FRAME_MS = 3000
_MOSAIC_WIDTH, _ANIMATION_WIDTH = 900, 224  # pixels


def mosaic(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Lays images out in rows on white.

    Args:
        images: [N, H, W, C] in [0, 1]; N need not fill the last row.
        columns: images in a row.
        gap: pixels between neighbours.

    Returns:
        One image, [rows * (H + gap) - gap, columns * (W + gap) - gap, C].
    """
    num, height, width, channels = images.shape
    rows = -(-num // columns)
    padded = np.ones((rows * columns, height + gap, width + gap, channels), np.float32)
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


def save_image(path: Path, image: np.ndarray, enlarge: int = 1) -> None:
    """Writes an image as a PNG.

    Args:
        path: the PNG to write.
        image: [H, W, C] in [0, 1].
        enlarge: side of the square that each pixel becomes.
    """
    with files.replacing(path) as temporary:
        iio.imwrite(temporary, _pixels(image, enlarge))


def save_mosaic(path: Path, images: np.ndarray, columns: int) -> Path:
    """Writes a mosaic of images [N, H, W, C] as a PNG that is large enough to be looked at.

    Returns:
        The PNG.
    """
    whole = mosaic(images, columns)
    save_image(path, whole, enlarge=max(1, _MOSAIC_WIDTH // whole.shape[1]))
    return path


def _pixels(image: np.ndarray, enlarge: int) -> np.ndarray:
    """Turns [H, W, C] in [0, 1] into uint8, [H, W] if there is one channel."""
    pixels = np.rint(image * 255).astype(np.uint8)
    pixels = pixels if pixels.shape[-1] == 3 else pixels[..., 0]
    return pixels.repeat(enlarge, axis=0).repeat(enlarge, axis=1)


def animate(pictures: list[Path], path: Path) -> None:
    """Joins pictures of one size into a GIF that repeats, its last frame held.

    Args:
        pictures: PNG files, in order.
        path: the GIF to write.
    """
    frames = [_without_needless_colours(iio.imread(picture, mode="RGB")) for picture in pictures]
    frame_ms = min(400, max(60, 20_000 // len(frames)))
    _save_gif(path, frames, [frame_ms] * (len(frames) - 1) + [_LAST_FRAME_MS])


def _without_needless_colours(frame: np.ndarray) -> np.ndarray:
    """Makes a grey picture [H, W] of one [H, W, 3] whose channels are equal."""
    grey = frame[..., 0].copy()
    return grey if (frame == grey[..., np.newaxis]).all() else frame


def save_animation(path: Path, images: np.ndarray, frame_ms: int = 60) -> None:
    """Writes images [N, H, W, C] as a GIF that goes there and back, for ever."""
    enlarge = max(1, _ANIMATION_WIDTH // images.shape[2])
    frames = [_pixels(image, enlarge) for image in (*images, *images[-2:0:-1])]
    _save_gif(path, frames, [frame_ms] * len(frames))


def _save_gif(path: Path, frames: list[np.ndarray], durations_ms: list[int]) -> None:
    duration = durations_ms if len(frames) > 1 else durations_ms[0]
    with files.replacing(path) as temporary:
        iio.imwrite(temporary, frames, duration=duration, loop=0)
