"""The picture of an epoch: panels of images side by side, each with a title."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.drawing import canvas, mosaics

_LENGTH, _MOST = 520, 800  # pixels of a panel's longer side: the best, and what is never exceeded
_GAP = 4  # between images
_NARROWEST = 360  # a panel with its title
_NARROWEST_PAGE = 520
_MARGIN, _BETWEEN = 20, 40
_TITLE, _PANEL_TITLE, _TOP = 20, 63, 77  # pixels from the top


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
    grids = [_grid(panel) for panel in panels]
    widths = [max(_NARROWEST, grid.shape[1]) for grid in grids]
    taken = sum(widths) + _BETWEEN * (len(panels) - 1)
    page_width = max(taken, _NARROWEST_PAGE) + 2 * _MARGIN
    page = canvas.new_page(page_width, _TOP + max(len(grid) for grid in grids) + _MARGIN)
    canvas.write(page, title, page_width / 2, _TITLE, page_width - 2 * _MARGIN, size=14)
    left = (page_width - taken) // 2
    for panel, grid, width in zip(panels, grids, widths, strict=True):
        canvas.write(page, panel.title, left + width / 2, _PANEL_TITLE, width, size=11)
        canvas.place(page, grid, left + (width - grid.shape[1]) // 2, _TOP)
        left += width + _BETWEEN
    canvas.save(page, path)


def _grid(panel: Panel) -> np.ndarray:
    """Lays out the images of a panel, uint8 [H', W', C]."""
    num, height, width, _ = panel.sets[0].shape
    best = mosaics.best_columns(num, height, width, sets=len(panel.sets))
    columns = panel.columns or best
    ordered = mosaics.stacked(panel.sets, columns)
    pixels = mosaics.well_sized(ordered, columns, _LENGTH, _MOST)
    return mosaics.mosaic(pixels, columns, _GAP)
