"""The manifold: images decoded on a grid over a two-dimensional latent space."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cvae_tf.drawing import canvas, mosaics

MANIFOLD_TITLE = "Decoded latents at the quantiles of the prior"

_SIDE = 20  # images along each axis, if they are about as wide as high
_LENGTH, _MOST = 960, 1280  # pixels of the longer side: the best, and what is never exceeded
_SIDE_OF_CLASS = 8  # images along each axis for one of several classes
_MOST_CLASSES = 20
_GAP, _BETWEEN = 2, 14  # between images, between classes
_MARGIN, _TITLE, _TOP = 16, 22, 44  # pixels


def draw_manifold(
    path: Path, decode: Callable[[np.ndarray], np.ndarray], title: str = MANIFOLD_TITLE
) -> np.ndarray:
    """Draws what latents become that divide the prior of a 2-D latent space evenly.

    Images much wider than high get fewer columns and more rows, and the other way round.

    Args:
        path: the PNG to write.
        decode: makes images [N, H, W, C] in [0, 1] of latents, float32 [N, 2].
        title: shown on top.

    Returns:
        The images, [N, H, W, C], row by row from the top left.
    """
    columns = _SIDE
    images = decode(normal_quantile_grid(_SIDE, _SIDE))
    height, width = images.shape[1:3]
    if max(height, width) > 2 * min(height, width):
        columns = mosaics.best_columns(_SIDE**2, height, width)
        images = decode(normal_quantile_grid(_SIDE**2 // columns, columns))
    pixels = mosaics.well_sized(images, columns, _LENGTH, _MOST)
    _save(path, mosaics.mosaic(pixels, columns, _GAP), title)
    return images


def draw_manifolds(
    path: Path,
    decode: Callable[[np.ndarray, np.ndarray], np.ndarray],
    class_names: Sequence[str],
    title: str = MANIFOLD_TITLE,
) -> np.ndarray:
    """Draws a small manifold for each class of a conditional model, row by row.

    Args:
        path: the PNG to write.
        decode: makes images [N, H, W, C] in [0, 1] of latents, float32 [N, 2], and labels, [N].
        class_names: of the labels 0, 1, ...; of too many classes only the first are drawn.
        title: shown on top.

    Returns:
        The images, [N, H, W, C], class by class.
    """
    num = min(len(class_names), _MOST_CLASSES)
    latents = normal_quantile_grid(_SIDE_OF_CLASS, _SIDE_OF_CLASS)
    labels = np.repeat(np.arange(num, dtype=np.int32), len(latents))
    images = decode(np.tile(latents, (num, 1)), labels)
    columns = mosaics.best_columns(num, *images.shape[1:3])
    pixels = mosaics.well_sized(images, columns * _SIDE_OF_CLASS, _LENGTH, _MOST)
    of_classes = [mosaics.mosaic(part, _SIDE_OF_CLASS, _GAP) for part in np.split(pixels, num)]
    shown = ", ".join(class_names[:num])
    _save(path, mosaics.mosaic(np.stack(of_classes), columns, _BETWEEN), f"{title}: {shown}")
    return images


def _save(path: Path, grid: np.ndarray, title: str) -> None:
    page_width = grid.shape[1] + 2 * _MARGIN
    page = canvas.new_page(page_width, _TOP + len(grid) + _MARGIN)
    canvas.write(page, title, page_width / 2, _TITLE, grid.shape[1], size=13)
    canvas.place(page, grid, _MARGIN, _TOP)
    canvas.save(page, path)


def normal_quantile_grid(rows: int, columns: int) -> np.ndarray:
    """Latents that divide the prior of a 2-D latent space evenly.

    Args:
        rows: points along the second latent, which rises from bottom to top.
        columns: points along the first latent, which rises from left to right.

    Returns:
        float32 [rows * columns, 2], row by row from the top left.
    """
    x, y = np.meshgrid(_quantiles(columns), _quantiles(rows)[::-1])
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _quantiles(num: int) -> np.ndarray:
    normal = statistics.NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / num) for i in range(num)], np.float32)
