"""Images with a line of text under each."""

from pathlib import Path

import numpy as np

from cvae_tf.drawing import canvas, mosaics

_LENGTH, _MOST = 800, 1200  # pixels of the longer side: the best, and what is never exceeded
_NARROWEST = 60  # a place with its caption
_GAP, _CAPTION = 10, 22  # pixels between images; the height of a caption
_MARGIN, _TITLE, _TOP = 16, 22, 44
_NARROWEST_PAGE = 480  # with its title


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
    pixels = mosaics.well_sized(images, columns, _LENGTH, _MOST)
    num, height, width, channels = pixels.shape
    place = np.full((num, height + _CAPTION, max(width, _NARROWEST), channels), 255, np.uint8)
    margin = (place.shape[2] - width) // 2
    place[:, :height, margin : margin + width] = pixels
    grid = mosaics.mosaic(place, columns, _GAP)
    page_width = max(_NARROWEST_PAGE, grid.shape[1]) + 2 * _MARGIN
    page = canvas.new_page(page_width, _TOP + len(grid) + _MARGIN)
    canvas.write(page, title, page_width / 2, _TITLE, page_width - 2 * _MARGIN, size=13)
    left = (page_width - grid.shape[1]) // 2
    canvas.place(page, grid, left, _TOP)
    for number, caption in enumerate(captions):
        row, column = divmod(number, columns)
        x = left + column * (place.shape[2] + _GAP) + place.shape[2] / 2
        y = _TOP + row * (place.shape[1] + _GAP) + height + _CAPTION / 2
        canvas.write(page, caption, x, y, place.shape[2], size=9)
    canvas.save(page, path)
