"""Images in rows and columns: tiles alone, with all that says what they are, as animations."""

import io
import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from cvae_tf.core import files
from cvae_tf.drawing import canvas

MANIFOLD_TITLE = "The latent space, decoded at the quantiles of the prior"

_SHOWN_LENGTH = 900  # pixels of the longer side of tiles alone that are enlarged
_LARGEST_GIF = 4_500_000  # bytes, of the epochs
_FRAME_MS, _LAST_FRAME_MS = 60, 3000  # of an interpolation; of the last epoch
_AREA = 224 * 224  # pixels of an enlarged frame
_LONGEST_SIDE = 1200
_EPOCH_PIXELS = 2  # of the picture of an epoch, along each side, for one of its animation
# Levels rounded to multiples of 4 and of 8: files take half the room, and no eye sees it.
_FINE, _COARSE = ([min(round(level / step) * step, 255) for level in range(256)] for step in (4, 8))

_SIDE = 20  # images along each axis of a manifold
_SIDE_OF_CLASS = 8  # the same, for one of several classes
MOST_COLUMNS = _MOST_CLASSES = 20  # classes that stand side by side, or that have a manifold
_AXES = "latent 1", "latent 2"
_HOT = (1.0, 0.15, 0.0)  # red

# Of pictures with titles: pixels of the longer side of the images, the best and the largest.
# Many have panels beside each other, those of a run's epochs: 900 makes squares of 4 or 2 pixels
# of images of 28, 32 or 64, which `_EPOCH_PIXELS` divides.
_ALONE, _BESIDE_OTHERS = (1600, 3000), (900, 720)
# Other pixels.
_MARGIN, _GAP, _GAP_OF_CAPTIONS, _BETWEEN_PANELS = 32, 6, 20, 80
_NARROWEST_PAGE, _NARROWEST_PANEL = 1100, 720
_TITLE_LINE, _PANEL_TITLE, _NAMES, _CAPTION_LINE = 48, 54, 38, 34
_LONGEST_NAME, _NARROWEST_CAPTION = 500, 150
_TITLE_SIZE, _PANEL_TITLE_SIZE, _NAME_SIZE = 13, 11, 9  # points


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
    """Orders sets [N, ...] for a mosaic in which each row of one stands over the next's.

    White images, or empty texts, fill the last rows.
    """
    shape = sets[0].shape[1:]
    is_text = sets[0].dtype.kind == "U"
    filling = np.full((-len(sets[0]) % columns, *shape), "" if is_text else np.float32(1))
    rows = [np.concatenate([each, filling]).reshape(-1, columns, *shape) for each in sets]
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
        as_picture(enlarged(to_pixels(image), enlarge)).save(temporary, "PNG")


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
    """Reads a picture, on white; one without colours gets fewer levels."""
    with Image.open(path) as picture:
        picture = picture if picture.mode == "L" else picture.convert("RGB")
        frame = ImageOps.pad(picture, size, color="white").reduce(_EPOCH_PIXELS)
    return frame.point(_COARSE) if frame.mode == "L" else frame


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
    plain: bool = False,
) -> np.ndarray:
    """Draws what latents become that divide the prior of a 2-D latent space evenly.

    Args:
        path: the PNG to write.
        decode: makes images [N, H, W, C] in [0, 1] of latents, float32 [N, 2], and labels, [N].
        title: shown on top.
        class_names: of the labels 0, 1, ...; each gets a small manifold, of too many only the
            first. Without them there is one manifold, and no labels.
        plain: as `draw_panel` has it.

    Returns:
        The images, [N, H, W, C], class by class, row by row from the top left.
    """
    num, side = min(len(class_names), _MOST_CLASSES) or 1, _SIDE_OF_CLASS if class_names else _SIDE
    labels = np.repeat(np.arange(num, dtype=np.int32), side**2) if class_names else None
    latents = normal_quantile_grid(side)
    images = decode(np.tile(latents, (num, 1)), labels)
    values = [f"{z:.2f}" for z in latents[:side, 0]]
    axes = {"row_names": values[::-1], "column_names": values, "axis_names": _AXES}
    panel = Panel(title, [images], side, **axes)
    if class_names:
        tiles = np.stack([mosaic(own, side, gap=1) for own in np.split(images, num)]) / 255
        title += f". In each class {_AXES[0]} and {_AXES[1]} go from {values[0]} to {values[-1]}"
        panel = Panel(title, [tiles], captions=[np.array(class_names[:num])])
    draw_panel(path, panel, plain)
    return images


def normal_quantile_grid(side: int) -> np.ndarray:
    """Latents that divide the prior of a 2-D latent space evenly, float32 [side * side, 2].

    They come row by row from the top left: the first rises rightwards, the second upwards.
    """
    normal = statistics.NormalDist()
    quantiles = np.array([normal.inv_cdf((i + 0.5) / side) for i in range(side)], np.float32)
    x, y = np.meshgrid(quantiles, quantiles[::-1])
    return np.stack([x.ravel(), y.ravel()], axis=1)


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
    """Images in rows and columns, with all that says what they are."""

    title: str
    sets: Sequence[np.ndarray]  # each [N, H, W, C] in [0, 1]; a row of one over that of the next
    columns: int | None = None  # by default what suits the number and the shape of the images
    row_names: Sequence[str] = ()  # of the first rows; the next rows have them again
    column_names: Sequence[str] = ()
    axis_names: Sequence[str] = ()  # of x and y, if the names are values along two axes
    captions: Sequence[np.ndarray] = ()  # of each set, texts [N], in one or two lines

    @property
    def shown_columns(self) -> int:
        """The images in a row."""
        sets = self.sets
        return self.columns or best_columns(*sets[0].shape[:3], sets=len(sets))


def draw_panel(path: Path, panel: Panel, plain: bool = False) -> Path:
    """Draws a single panel; a `plain` one is its images alone.

    Returns:
        The PNG.
    """
    if plain:
        whole = mosaic(stacked(panel.sets, panel.shown_columns), panel.shown_columns)
        save_image(path, whole, enlarge=max(1, _SHOWN_LENGTH // max(whole.shape[:2])))
    else:
        draw_panels(path, [panel], panel.title)
    return path


def draw_panels(path: Path, panels: list[Panel], title: str) -> None:
    """Draws panels side by side.

    The size of a picture of several does not depend on the title: pictures of all epochs become
    frames of one animation. Levels of several panels are rounded.
    """
    page, grids = _page_of(panels, title)
    for grid, left, top in grids:
        if len(panels) > 1:
            grid = np.uint8(_FINE)[grid]
        canvas.place(page, grid, left, top)
    canvas.save(page, path)


def panel_figure(panel: Panel) -> Figure:
    """Draws a single panel in axes, which notebooks want, and which grow with a figure."""
    page, [(grid, left, top)] = _page_of([panel], panel.title)
    width, height = page.bbox.width, page.bbox.height
    place = left / width, 1 - (top + len(grid)) / height
    place += grid.shape[1] / width, len(grid) / height
    colours = np.broadcast_to(grid, (*grid.shape[:2], 3))
    page.add_axes(place, frameon=False, xticks=[], yticks=[]).imshow(
        colours, aspect="auto", interpolation="nearest"
    )
    return page


def _page_of(panels: list[Panel], title: str) -> tuple[Figure, list[tuple[np.ndarray, int, int]]]:
    """Begins a page with all texts, and says which images come where, from the left and the top."""
    is_alone = len(panels) == 1
    laid = [_Laid.of(panel, *(_ALONE if is_alone else _BESIDE_OTHERS)) for panel in panels]
    widths = [max(each.width, 0 if is_alone else _NARROWEST_PANEL) for each in laid]
    taken = sum(widths) + _BETWEEN_PANELS * (len(panels) - 1)
    page_width = max(taken, _NARROWEST_PAGE) + 2 * _MARGIN
    room = page_width - 2 * _MARGIN
    lines = canvas.in_lines(title, room, _TITLE_SIZE) if is_alone else [title]
    top = _MARGIN + len(lines) * _TITLE_LINE + (0 if is_alone else _PANEL_TITLE)
    page = canvas.new_page(page_width, top + max(each.height for each in laid) + _MARGIN)
    for number, line in enumerate(lines):
        y = _MARGIN / 2 + (number + 0.5) * _TITLE_LINE
        canvas.write(page, line, page_width / 2, y, room, _TITLE_SIZE)
    left, grids = (page_width - taken) // 2, []
    for each, width in zip(laid, widths, strict=True):
        start = left + (width - each.width) // 2, top
        if not is_alone:
            middle = start[0] + each.names_width + each.grid.shape[1] / 2
            y = top - _PANEL_TITLE / 2
            canvas.write(page, each.panel.title, middle, y, width, _PANEL_TITLE_SIZE)
        grids.append(each.put(page, *start))
        left += width + _BETWEEN_PANELS
    return page, grids


class _Laid(NamedTuple):
    """A panel whose images have their size and their places."""

    panel: Panel
    grid: np.ndarray  # of all images, uint8 [H', W', C]
    tile: tuple[int, int]  # height and width of the place of an image, with its caption
    image_height: int
    gap: int
    captions: list[str]  # of all places, row by row

    @classmethod
    def of(cls, panel: Panel, length: int, most: int) -> "_Laid":
        """Lays a panel out, its longer side about `length` pixels, `most` at most."""
        columns = panel.shown_columns
        pixels = well_sized(stacked(panel.sets, columns), columns, length, most)
        num, height, width, channels = pixels.shape
        captions = stacked(panel.captions, columns).tolist() if panel.captions else []
        lines = max((text.count("\n") + 1 for text in captions), default=0)
        place_width = max(width, _NARROWEST_CAPTION if captions else 0)
        tiles = np.full((num, height + lines * _CAPTION_LINE, place_width, channels), 255, np.uint8)
        margin = (place_width - width) // 2
        tiles[:, :height, margin : margin + width] = pixels
        gap = _GAP_OF_CAPTIONS if captions else _GAP
        return cls(panel, mosaic(tiles, columns, gap), tiles.shape[1:3], height, gap, captions)

    @property
    def names_width(self) -> int:
        """Pixels left of the images."""
        longest = max((canvas.width_of(name, _NAME_SIZE) for name in self.row_names), default=0)
        axis = _NAMES if self.panel.axis_names else 0
        return axis + (min(int(longest), _LONGEST_NAME) + _MARGIN // 2 if longest else 0)

    @property
    def row_names(self) -> Sequence[str]:
        """The names of rows, if rows are high enough to have some."""
        return self.panel.row_names if self.tile[0] + self.gap >= _CAPTION_LINE else ()

    @property
    def width(self) -> int:
        """Pixels of the whole."""
        return self.names_width + self.grid.shape[1]

    @property
    def height(self) -> int:
        """Pixels of the whole."""
        names = _NAMES * (bool(self.panel.column_names) + bool(self.panel.axis_names))
        return len(self.grid) + names

    def put(self, page: Figure, left: int, top: int) -> tuple[np.ndarray, int, int]:
        """Writes its names and captions on a page; returns the images, and where they come."""
        panel, (height, width), columns = self.panel, self.tile, self.panel.shown_columns
        steps = height + self.gap, width + self.gap
        under = top + len(self.grid) + _NAMES / 2
        x0, y0 = left + self.names_width, top
        if panel.column_names and not panel.axis_names:
            under, y0 = top + _NAMES / 2 - 4, top + _NAMES
        for number, name in enumerate(panel.column_names):
            x = x0 + number * steps[1] + width / 2
            canvas.write(page, name, x, under, steps[1], _NAME_SIZE)
        rows = -(-len(self.grid) // steps[0])
        for row, name in zip(range(rows), itertools.cycle(self.row_names)):
            y, x = y0 + row * steps[0] + self.image_height / 2, x0 - _MARGIN // 2
            canvas.write(page, name, x, y, _LONGEST_NAME, _NAME_SIZE, ha="right")
        for number, caption in enumerate(self.captions):
            row, column = divmod(number, columns)
            x = x0 + column * steps[1] + width / 2
            for line, text in enumerate(caption.split("\n")):
                y = y0 + row * steps[0] + self.image_height + (line + 0.5) * _CAPTION_LINE
                canvas.write(page, text, x, y, steps[1], _NAME_SIZE)
        if panel.axis_names:
            middles = x0 + self.grid.shape[1] / 2, y0 + len(self.grid) / 2
            (name_x, name_y), room = panel.axis_names, len(self.grid)
            canvas.write(page, name_x, middles[0], under + _NAMES, room, _PANEL_TITLE_SIZE)
            style = {"rotation": 90}
            x = left + _NAMES / 2
            canvas.write(page, name_y, x, middles[1], room, _PANEL_TITLE_SIZE, **style)
        return self.grid, x0, y0
