"""Images under a title: a manifold, images with captions, the panels of an epoch."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from cvae_tf.drawing import canvas, mosaics

MANIFOLD_TITLE = "Decoded latents at the quantiles of the prior"

# Sizes are pixels of the longer side: the best, and what is never exceeded.
_MARGIN, _TITLE, _TOP = 16, 22, 44  # pixels, of manifolds and captioned images

_SIDE = 20  # images along each axis of a manifold, if they are about as wide as high
_SIDE_OF_CLASS = 8  # the same, for one of several classes
_MOST_CLASSES = 20
_MANIFOLD_SIZE = 960, 1280
_CLOSE, _BETWEEN = 2, 14  # between images, between classes

_CAPTIONED_SIZE = 800, 1200
_GAP, _CAPTION = 10, 22  # pixels between images; the height of a caption
_NARROWEST_PLACE = 60  # an image with its caption
_NARROWEST_CAPTIONED = 480  # with its title

_PANEL_SIZE = 520, 800
_PANEL_GAP = 4  # between images
_NARROWEST_PANEL = 360  # with its title
_NARROWEST_PANELS = 520
_PANELS_MARGIN, _BETWEEN_PANELS = 20, 40
_PANELS_TITLE, _PANEL_TITLE, _PANELS_TOP = 20, 63, 77  # pixels from the top


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
    pixels = mosaics.well_sized(images, columns, *_MANIFOLD_SIZE)
    page, _ = _titled_page(mosaics.mosaic(pixels, columns, _CLOSE), title)
    canvas.save(page, path)
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
    pixels = mosaics.well_sized(images, columns * _SIDE_OF_CLASS, *_MANIFOLD_SIZE)
    of_classes = [mosaics.mosaic(part, _SIDE_OF_CLASS, _CLOSE) for part in np.split(pixels, num)]
    shown = ", ".join(class_names[:num])
    grid = mosaics.mosaic(np.stack(of_classes), columns, _BETWEEN)
    page, _ = _titled_page(grid, f"{title}: {shown}")
    canvas.save(page, path)
    return images


def _titled_page(grid: np.ndarray, title: str, narrowest: int = 0) -> tuple[Figure, int]:
    """Begins a page with a title over a picture, and says how far from the left that stands."""
    page_width = max(narrowest, grid.shape[1]) + 2 * _MARGIN
    page = canvas.new_page(page_width, _TOP + len(grid) + _MARGIN)
    canvas.write(page, title, page_width / 2, _TITLE, page_width - 2 * _MARGIN, size=13)
    left = (page_width - grid.shape[1]) // 2
    canvas.place(page, grid, left, _TOP)
    return page, left


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


def draw_captioned(
    path: Path, images: np.ndarray, captions: list[str], title: str, columns: int | None = None
) -> None:
    """Draws images with a line of text under each.

    Args:
        path: the PNG to write.
        images: [N, H, W, C] in [0, 1].
        captions: N short texts.
        title: shown on top.
        columns: images in a row; by default what suits their number and shape.
    """
    columns = columns or mosaics.best_columns(*images.shape[:3])
    pixels = mosaics.well_sized(images, columns, *_CAPTIONED_SIZE)
    num, height, width, channels = pixels.shape
    place = np.full((num, height + _CAPTION, max(width, _NARROWEST_PLACE), channels), 255, np.uint8)
    margin = (place.shape[2] - width) // 2
    place[:, :height, margin : margin + width] = pixels
    grid = mosaics.mosaic(place, columns, _GAP)
    page, left = _titled_page(grid, title, _NARROWEST_CAPTIONED)
    for number, caption in enumerate(captions):
        row, column = divmod(number, columns)
        x = left + column * (place.shape[2] + _GAP) + place.shape[2] / 2
        y = _TOP + row * (place.shape[1] + _GAP) + height + _CAPTION / 2
        canvas.write(page, caption, x, y, place.shape[2], size=9)
    canvas.save(page, path)


class Panel(NamedTuple):
    """One of the panels of a picture."""

    title: str
    sets: Sequence[np.ndarray]  # each [N, H, W, C] in [0, 1]; a row of one over that of the next
    columns: int | None = None  # by default what suits the number and the shape of the images


def draw_panels(path: Path, panels: list[Panel], title: str) -> None:
    """Draws panels side by side.

    The size of the picture depends on the number and the shape of the images alone, not on what
    is written: pictures of all epochs become frames of one animation.

    Args:
        path: the PNG to write.
        panels: at least one.
        title: shown on top.
    """
    grids = [_panel_grid(panel) for panel in panels]
    widths = [max(_NARROWEST_PANEL, grid.shape[1]) for grid in grids]
    taken = sum(widths) + _BETWEEN_PANELS * (len(panels) - 1)
    page_width = max(taken, _NARROWEST_PANELS) + 2 * _PANELS_MARGIN
    height = max(len(grid) for grid in grids)
    page = canvas.new_page(page_width, _PANELS_TOP + height + _PANELS_MARGIN)
    title_width = page_width - 2 * _PANELS_MARGIN
    canvas.write(page, title, page_width / 2, _PANELS_TITLE, title_width, size=14)
    left = (page_width - taken) // 2
    for panel, grid, width in zip(panels, grids, widths, strict=True):
        canvas.write(page, panel.title, left + width / 2, _PANEL_TITLE, width, size=11)
        canvas.place(page, grid, left + (width - grid.shape[1]) // 2, _PANELS_TOP)
        left += width + _BETWEEN_PANELS
    canvas.save(page, path)


def _panel_grid(panel: Panel) -> np.ndarray:
    """Lays out the images of a panel, uint8 [H', W', C]."""
    num, height, width, _ = panel.sets[0].shape
    best = mosaics.best_columns(num, height, width, sets=len(panel.sets))
    columns = panel.columns or best
    ordered = mosaics.stacked(panel.sets, columns)
    pixels = mosaics.well_sized(ordered, columns, *_PANEL_SIZE)
    return mosaics.mosaic(pixels, columns, _PANEL_GAP)
