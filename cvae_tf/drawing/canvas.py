"""What every picture with axes or text begins and ends with: page, images, lines of text, PNG."""

import functools
import gc
import io
import itertools
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from cvae_tf.core import files
from cvae_tf.core.terminal import warn

_DOTS_PER_INCH, _IN_NOTEBOOKS = 200, 100
_SMALLEST_TEXT = 0.75  # of its usual size
_LONGEST_NAME, _LONGEST_LINE = 40, 300  # letters
# Matplotlib's own font has Latin, Greek and Cyrillic; these are what systems bring for others.
_OTHER_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "WenQuanYi Zen Hei", "Noto Sans Arabic",
    "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS", "Nirmala UI",
    "Leelawadee UI",
)  # fmt: skip
_BOX = "\u25a1"  # of a letter that no font has


class _Page(Figure):
    """A figure that a notebook shows where it stands last, also one that has no pyplot."""

    placed: tuple[tuple[np.ndarray, int, int], ...] = ()  # pictures, and from the left and the top

    def _repr_png_(self) -> bytes:
        written = io.BytesIO()
        self.savefig(written, format="png", dpi=_IN_NOTEBOOKS)
        return written.getvalue()

    def _ipython_display_(self) -> None:
        """Keeps its size: once pyplot is imported, Jupyter would draw figures larger."""
        from IPython import display

        display.display(display.Image(self._repr_png_()))


def new_figure(width: float, height: float) -> Figure:
    """Begins a page of so many inches that nothing else holds on to."""
    gc.collect(1)  # young objects: the page before refers to itself, and takes much memory
    figure = _Page(figsize=(width, height), dpi=_DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def new_page(width: int, height: int) -> Figure:
    """Begins a page of exactly so many pixels."""
    inches = ((side + 0.01) / _DOTS_PER_INCH for side in (width, height))  # matplotlib rounds down
    return new_figure(*inches)


def place(figure: Figure, picture: np.ndarray, left: int, top: int) -> None:
    """Puts a picture, uint8 [H, W, C], on a page pixel by pixel, under texts, when it is saved.

    All of it must lie on the page.
    """
    figure.placed = (*figure.placed, (picture, left, top))


def write(
    figure: Figure, text: str, x: float, y: float, width: float, size: float, **style: Any
) -> None:
    """Writes a line of text on a page, no wider than there is room.

    Args:
        figure: the page.
        text: what is written.
        x: the middle of the text, pixels from the left; with `ha="right"` its end.
        y: the middle, pixels from the top.
        width: pixels that the text may take.
        size: of the letters, in points.
        **style: further properties of matplotlib's texts.
    """
    place = x / figure.bbox.width, 1 - y / figure.bbox.height
    style = {"ha": "center", "va": "center", "fontsize": size, **style}
    fit(figure.text(*place, text, **style), width)


@functools.cache
def width_of(text: str, size: float) -> float:
    """The pixels that a line of text takes, its letters of so many points."""
    line = new_page(1, 1).text(0, 0, shortened(text, _LONGEST_LINE), fontsize=size)
    make_readable(line)
    return line.get_window_extent().width


def in_lines(text: str, width: float, size: float) -> list[str]:
    """Breaks a text that is wider than `width` pixels into two lines of about one length."""
    words = text.split()
    if width_of(text, size) <= width or len(words) < 2:
        return [text]
    breaks = [(" ".join(words[:number]), " ".join(words[number:])) for number in range(len(words))]
    return list(min(breaks, key=lambda lines: max(map(len, lines))))


def fit(line: Text, width: float) -> None:
    """Makes a line of text smaller, and if need be shorter, until it is `width` pixels wide."""
    text = line.get_text()
    line.set_text(shortened(text, letters=_LONGEST_LINE))
    make_readable(line)
    taken = line.get_window_extent().width
    if taken > width:
        line.set_fontsize(line.get_fontsize() * max(0.99 * width / taken, _SMALLEST_TEXT))
    letters = min(len(text), _LONGEST_LINE)
    while (taken := line.get_window_extent().width) > width and letters > 1:
        letters = min(letters - 1, int(1.1 * letters * width / taken))
        line.set_text(shortened(text, letters))
        make_readable(line)


def shortened(text: str, letters: int = _LONGEST_NAME) -> str:
    """Makes one line of at most so many letters, none of which has a meaning for matplotlib."""
    text = " ".join(text.split())
    text = text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"
    return text.replace("$", r"\$")


def make_readable(text: Text) -> None:
    """Gives a text fonts that have its letters; a box takes the place of what no font has."""
    text.set_fontfamily(_fonts())
    missing = set(text.get_text()) - _letters()
    if missing:
        _tell_of_boxes()
        text.set_text(text.get_text().translate(dict.fromkeys(map(ord, missing), _BOX)))


def make_all_readable(figure: Figure) -> None:
    """Does so with all that is written on a page."""
    for text in figure.findobj(Text):
        make_readable(text)


@functools.cache
def _fonts() -> list[str]:
    known = font_manager.get_font_names()
    return ["sans-serif", *(name for name in _OTHER_FONTS if name in known)]


@functools.cache
def _letters() -> set[str]:
    """All that can be written."""
    fonts = [font_manager.FontProperties(family=[name]) for name in _fonts()]
    tables = [font_manager.get_font(font_manager.findfont(font)).get_charmap() for font in fonts]
    return {"\n", *map(chr, itertools.chain(*tables))}


@functools.cache
def _tell_of_boxes() -> None:
    warn(
        "no common font of this machine has some of the letters; pictures have boxes there. Once "
        f"one is installed, such as Noto Sans CJK, remove {matplotlib.get_cachedir()}."
    )


def save(figure: Figure, path: Path, whole: bool = False) -> None:
    """Writes a page as a PNG, atomically; a `whole` one grows or shrinks to what is on it."""
    make_all_readable(figure)
    page = _drawn_whole(figure) if whole else _drawn(figure)
    for picture, left, top in figure.placed:
        own = page[top : top + picture.shape[0], left : left + picture.shape[1], :3]
        np.minimum(own, picture, out=own)
    is_grey = (page[..., :1] == page[..., 1:3]).all()
    image = Image.fromarray(page[..., 0] if is_grey else page[..., :3])
    with files.replacing(path) as temporary:
        image.save(temporary, "PNG", dpi=(_DOTS_PER_INCH, _DOTS_PER_INCH))


def _drawn(figure: Figure) -> np.ndarray:
    """The pixels of a page, uint8 [H, W, 4], in the memory of its canvas."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def _drawn_whole(figure: Figure) -> np.ndarray:
    """The same of a page that grows or shrinks."""
    drawn, once_more = io.BytesIO(), {"compress_level": 0}  # it is written once more
    options = {"bbox_inches": "tight", "pad_inches": 0.15, "facecolor": "white"}
    figure.savefig(drawn, format="png", dpi=_DOTS_PER_INCH, pil_kwargs=once_more, **options)
    with Image.open(drawn) as opened:
        return np.asarray(opened)
