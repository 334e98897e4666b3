"""Images in rows and columns: mosaics, under titles, with captions, in panels, as animations."""

import io
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import imageio.v3 as iio
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from cvae_tf.core import files
from cvae_tf.drawing import canvas

MANIFOLD_TITLE = "Decoded latents at the quantiles of the prior"

_SHOWN_LENGTH = 900  # pixels of the longer side of a mosaic that is enlarged
_LARGEST_GIF = 4_500_000  # bytes, of the epochs
_FRAME_MS, _LAST_FRAME_MS = 60, 3000  # of an interpolation; of the last epoch
_AREA = 224 * 224  # pixels of an enlarged frame
_LONGEST_SIDE = 1200

# Of pictures with titles; sizes are pixels of the longer side: the best, and the largest.
_MARGIN, _TITLE, _TOP = 16, 22, 44  # of manifolds and captioned images
_SIDE = 20  # images along each axis of a manifold
_SIDE_OF_CLASS = 8  # the same, for one of several classes
_MOST_CLASSES = 20
_MANIFOLD_SIZE = 960, 1280
_CLOSE, _BETWEEN = 2, 14  # between images, between classes

_HOT = (1.0, 0.15, 0.0)  # red
_CAPTIONED_SIZE = 800, 1200
_GAP, _CAPTION = 10, 22  # pixels between images; the height of a caption
_NARROWEST_PLACE = 60  # an image with its caption
_NARROWEST_CAPTIONED = 480  # with its title

_PANEL_SIZE = 520, 800
_PANEL_GAP = 4  # between images
_NARROWEST_PANEL, _NARROWEST_PANELS = 360, 520  # with their titles
_PANELS_MARGIN, _BETWEEN_PANELS = 20, 40
_PANELS_TITLE, _PANEL_TITLE, _PANELS_TOP = 20, 63, 77  # pixels from the top


def best_columns(num: int, height: int, width: int, sets: int = 1) -> int:
    """Chooses the columns that make a mosaic about as wide as high and leave few places empty.

    There are `sets` of `num` images each, which stand over each other as in `stacked`.
    """

    def fault(columns: int) -> tuple[float, int]:
        rows_of_a_set = -(-num // columns)
        stretch = math.log(columns * width / (sets * rows_of_a_set * height))
        empty = 1 - num / (rows_of_a_set * columns)
        return round(abs(stretch) + 2 * empty, 6), -columns

    return min(range(1, num + 1), key=fault, default=1)


def to_pixels(images: np.ndarray) -> np.ndarray:
    """Turns images in [0, 1] into uint8, as which they may come, too; what is NaN is black."""
    if images.dtype == np.uint8:
        return images
    return np.rint(np.clip(np.nan_to_num(images, nan=0), 0, 1) * 255).astype(np.uint8)


def mosaic(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Lays images out in rows on white.

    Args:
        images: [N, H, W, C], in [0, 1], or uint8; N need not fill the last row.
        columns: images in a row.
        gap: pixels between neighbours.

    Returns:
        One image, uint8 [rows * (H + gap) - gap, columns * (W + gap) - gap, C].
    """
    num, height, width, channels = images.shape
    rows = -(-num // columns)
    padded = np.full((rows * columns, height + gap, width + gap, channels), 255, np.uint8)
    padded[:num, :height, :width] = to_pixels(images)
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
        uint8 [N, H', W', C].
    """
    num, height, width, channels = images.shape
    pixels, longer = to_pixels(images), max(columns * width, -(-num // columns) * height)
    if longer <= most:
        return enlarged(pixels, max(1, round(length / longer)))
    size = [max(1, round(side * most / longer)) for side in (width, height)]
    smaller = [np.asarray(as_picture(image).resize(size)) for image in pixels]
    return np.reshape(smaller, (num, *size[::-1], channels))


def enlarged(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Makes a square of each pixel of [..., H, W, C]."""
    return pixels.repeat(factor, axis=-3).repeat(factor, axis=-2)


def as_picture(pixels: np.ndarray) -> Image.Image:
    """Makes a picture of uint8 [H, W, C]."""
    return Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0])


def save_image(path: Path, image: np.ndarray, enlarge: int = 1) -> None:
    """Writes an image [H, W, C], in [0, 1] or uint8, as a PNG, each pixel a square of a side."""
    with files.replacing(path) as temporary:
        pixels = np.asarray(as_picture(enlarged(to_pixels(image), enlarge)))
        iio.imwrite(temporary, pixels, extension=".png")


def save_mosaic(path: Path, images: np.ndarray, columns: int | None = None) -> Path:
    """Writes a mosaic of images [N, H, W, C] as a PNG that is large enough to be looked at.

    Returns:
        The PNG. By default the columns suit the number and the shape of the images.
    """
    whole = mosaic(images, columns or best_columns(*images.shape[:3]))
    save_image(path, whole, enlarge=max(1, _SHOWN_LENGTH // max(whole.shape[:2])))
    return path


def save_stacked(path: Path, sets: Sequence[np.ndarray]) -> Path:
    """Writes a PNG in which each row of one set [N, H, W, C] stands over the next's."""
    columns = best_columns(*sets[0].shape[:3], sets=len(sets))
    return save_mosaic(path, stacked(sets, columns), columns)


def animate(pictures: list[Path], path: Path) -> None:
    """Joins PNG files into a GIF that repeats, all as large as the last, which is held.

    Of too many for a file that can be sent, some are taken, evenly; the first and the last stay.
    """
    with Image.open(pictures[-1]) as last:
        size = last.size
    one = io.BytesIO()
    _frame(pictures[-1], size).save(one, "GIF")
    most = max(2, _LARGEST_GIF // one.tell())
    if len(pictures) > most:
        rows = np.linspace(0, len(pictures) - 1, most).round().astype(int)
        pictures = [pictures[row] for row in rows]
    frame_ms = min(400, max(60, 20_000 // len(pictures)))
    durations = [frame_ms] * (len(pictures) - 1) + [_LAST_FRAME_MS]
    _save_gif(path, (_frame(picture, size) for picture in pictures), durations)


def _frame(path: Path, size: tuple[int, int]) -> Image.Image:
    """Reads a picture, on white; one that is grey is made grey, which a GIF then stays exactly."""
    with Image.open(path) as picture:
        colours = ImageOps.pad(picture.convert("RGB"), size, color="white")
    grey = colours.convert("L")
    return grey if grey.convert("RGB").tobytes() == colours.tobytes() else colours


def save_animation(path: Path, images: np.ndarray) -> None:
    """Writes images [N, H, W, C] in [0, 1] as a GIF that goes there and back, for ever."""
    height, width = images.shape[1:3]
    enlarge = min((_AREA / (height * width)) ** 0.5, _LONGEST_SIDE / max(height, width))
    pixels = enlarged(to_pixels(images), max(1, int(enlarge)))
    frames = [as_picture(frame) for frame in (*pixels, *pixels[-2:0:-1])]
    _save_gif(path, frames, _FRAME_MS)


def _save_gif(path: Path, frames: Iterable[Image.Image], duration_ms: Any) -> None:
    """Writes frames, one after the other, so that they need not all be in memory."""
    frames = iter(frames)
    options = {"save_all": True, "append_images": frames, "duration": duration_ms, "loop": 0}
    with files.replacing(path) as temporary:
        next(frames).save(temporary, "GIF", **options)


def draw_manifold(
    path: Path,
    decode: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
    title: str = MANIFOLD_TITLE,
    class_names: Sequence[str] = (),
) -> np.ndarray:
    """Draws what latents become that divide the prior of a 2-D latent space evenly.

    Args:
        path: the PNG to write.
        decode: makes images [N, H, W, C] in [0, 1] of latents, float32 [N, 2], and labels, [N].
        title: shown on top.
        class_names: of the labels 0, 1, ...; each gets a small manifold, of too many only the
            first. Without them there is one manifold, and no labels.

    Returns:
        The images, [N, H, W, C], class by class, row by row from the top left.
    """
    num, side = min(len(class_names), _MOST_CLASSES) or 1, _SIDE_OF_CLASS if class_names else _SIDE
    labels = np.repeat(np.arange(num, dtype=np.int32), side**2) if class_names else None
    images = decode(np.tile(normal_quantile_grid(side), (num, 1)), labels)
    columns = best_columns(num, *images.shape[1:3])
    pixels = well_sized(images, columns * side, *_MANIFOLD_SIZE)
    manifolds = np.stack([mosaic(own, side, _CLOSE) for own in np.split(pixels, num)])
    shown = f"{title}: {', '.join(class_names[:num])}" if class_names else title
    page, _ = _titled_page(mosaic(manifolds, columns, _BETWEEN), shown)
    canvas.save(page, path)
    return images


def _titled_page(grid: np.ndarray, title: str, narrowest: int = 0) -> tuple[Figure, int]:
    """Begins a page with a title over a picture, and says how far from the left that stands."""
    page, left = _page_for(grid, title, narrowest)
    canvas.place(page, grid, left, _TOP)
    return page, left


def _page_for(grid: np.ndarray, title: str, narrowest: int) -> tuple[Figure, int]:
    """The same without the picture."""
    page_width = max(narrowest, grid.shape[1]) + 2 * _MARGIN
    page = canvas.new_page(page_width, _TOP + len(grid) + _MARGIN)
    canvas.write(page, title, page_width / 2, _TITLE, page_width - 2 * _MARGIN, size=13)
    left = (page_width - grid.shape[1]) // 2
    return page, left


def normal_quantile_grid(side: int) -> np.ndarray:
    """Latents that divide the prior of a 2-D latent space evenly, float32 [side * side, 2].

    They come row by row from the top left: the first rises rightwards, the second upwards.
    """
    normal = statistics.NormalDist()
    quantiles = np.array([normal.inv_cdf((i + 0.5) / side) for i in range(side)], np.float32)
    x, y = np.meshgrid(quantiles, quantiles[::-1])
    return np.stack([x.ravel(), y.ravel()], axis=1)


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
    columns = columns or best_columns(*images.shape[:3])
    pixels = well_sized(images, columns, *_CAPTIONED_SIZE)
    num, height, width, channels = pixels.shape
    place = np.full((num, height + _CAPTION, max(width, _NARROWEST_PLACE), channels), 255, np.uint8)
    margin = (place.shape[2] - width) // 2
    place[:, :height, margin : margin + width] = pixels
    page, left = _titled_page(mosaic(place, columns, _GAP), title, _NARROWEST_CAPTIONED)
    for number, caption in enumerate(captions):
        row, column = divmod(number, columns)
        x = left + column * (place.shape[2] + _GAP) + place.shape[2] / 2
        y = _TOP + row * (place.shape[1] + _GAP) + height + _CAPTION / 2
        canvas.write(page, caption, x, y, place.shape[2], size=9)
    canvas.save(page, path)


def beside_heat(images: np.ndarray, heat_maps: np.ndarray) -> np.ndarray:
    """Puts beside each image the same image, the redder the hotter, by one scale for all.

    Args:
        images: [N, H, W, C] in [0, 1].
        heat_maps: [N, H, W], at least 0.

    Returns:
        The pairs with a white line between them, [N, H, 2 * W + 1, 3] in [0, 1].
    """
    colours = np.broadcast_to(images, (*images.shape[:3], 3))
    redness = np.sqrt(heat_maps / max(heat_maps.max(initial=0), 1e-6))[..., np.newaxis]
    heated = (1 - redness) * colours / 2 + redness * np.array(_HOT)
    between = np.ones((*images.shape[:2], 1, 3))
    return np.concatenate([colours, between, heated], axis=2)


class Panel(NamedTuple):
    """One of the panels of a picture."""

    title: str
    sets: Sequence[np.ndarray]  # each [N, H, W, C] in [0, 1]; a row of one over that of the next
    columns: int | None = None  # by default what suits the number and the shape of the images


def draw_panels(path: Path, panels: list[Panel], title: str) -> None:
    """Draws panels side by side.

    The size of the picture depends on the number and the shape of the images alone, not on what
    is written: pictures of all epochs become frames of one animation.
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


def panel_figure(panel: Panel) -> Figure:
    """Draws a single panel in axes, which notebooks want, and which grow with a figure."""
    grid = _panel_grid(panel)
    page, left = _page_for(grid, panel.title, _NARROWEST_PANELS)
    width, height = page.bbox.width, page.bbox.height
    place = left / width, _MARGIN / height, grid.shape[1] / width, len(grid) / height
    colours = np.broadcast_to(grid, (*grid.shape[:2], 3))
    page.add_axes(place, frameon=False, xticks=[], yticks=[]).imshow(
        colours, aspect="auto", interpolation="nearest"
    )
    return page


def _panel_grid(panel: Panel) -> np.ndarray:
    """Lays out the images of a panel, uint8 [H', W', C]."""
    columns = panel.columns or best_columns(*panel.sets[0].shape[:3], sets=len(panel.sets))
    pixels = well_sized(stacked(panel.sets, columns), columns, *_PANEL_SIZE)
    return mosaic(pixels, columns, _PANEL_GAP)
