"""What every picture with axes or text begins and ends with: page, images, lines of text, PNG."""

import functools
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from cvae_tf.core import files
from cvae_tf.core.terminal import warn

_DOTS_PER_INCH = 100
_ROWS_AT_ONCE = 64  # matplotlib takes two hundred bytes for each pixel of what is placed at once
_SMALLEST_TEXT = 0.75  # of its usual size
_LONGEST_NAME = 40  # letters
# Matplotlib's own font has Latin, Greek and Cyrillic; these are what systems bring for others.
_OTHERS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
    "Nirmala UI",
    "Leelawadee UI",
)
_BOX = "\u25a1"  # of a letter that no font has
_SHOWN = 8  # letters
_warnings: set[str] = set()  # about them; one is enough for a process


def new_figure(width: float, height: float) -> Figure:
    """Begins a page of so many inches that nothing else holds on to."""
    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    return figure


def new_page(width: int, height: int) -> Figure:
    """Begins a page of exactly so many pixels."""
    inches = ((side + 0.01) / _DOTS_PER_INCH for side in (width, height))  # matplotlib rounds down
    return new_figure(*inches)


def place(figure: Figure, picture: np.ndarray, left: int, top: int) -> None:
    """Puts a picture, uint8 [H, W, C], on a page, pixel by pixel."""
    colours = np.broadcast_to(picture, (*picture.shape[:2], 3))
    for start in range(0, len(colours), _ROWS_AT_ONCE):
        strip = colours[start : start + _ROWS_AT_ONCE]
        bottom = int(figure.bbox.height) - top - start - len(strip)
        figure.figimage(strip, left, bottom, origin="upper")


def write(figure: Figure, text: str, x: float, y: float, width: float, size: float) -> None:
    """Writes a line of text on a page, no wider than there is room.

    Args:
        figure: the page.
        text: what is written.
        x: the middle of the text, pixels from the left.
        y: the middle of the text, pixels from the top.
        width: pixels that the text may take.
        size: of the letters, in points.
    """
    place_of_middle = x / figure.bbox.width, 1 - y / figure.bbox.height
    line = figure.text(*place_of_middle, plain(text), ha="center", va="center", fontsize=size)
    fit(line, width)


def fit(line: Text, width: float) -> None:
    """Makes a line of text smaller, and if need be shorter, until it is `width` pixels wide."""
    make_readable(line)
    smallest = _SMALLEST_TEXT * line.get_fontsize()
    while line.get_window_extent().width > width and line.get_fontsize() > smallest:
        line.set_fontsize(line.get_fontsize() - 0.5)
    whole = line.get_text()
    letters = len(whole)
    while (taken := line.get_window_extent().width) > width and letters > 1:
        letters = min(letters - 1, int(1.1 * letters * width / taken))
        line.set_text(shortened(whole, letters))


def shortened(text: str, letters: int = _LONGEST_NAME) -> str:
    """Cuts a text that is longer than so many letters; an ellipsis takes the place of the rest."""
    if len(text) <= letters:
        return text
    return text[: letters - 1].rstrip().rstrip("\\") + "…"


def plain(text: str) -> str:
    """Makes one line of a text in which no letter has a meaning for matplotlib."""
    return " ".join(text.split()).replace("$", r"\$")


def show_image(axes: Axes, image: np.ndarray, title: str) -> None:
    """Shows an image [H, W, C] in [0, 1] under its title."""
    image = image if image.shape[-1] == 3 else image[..., 0]
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=11)
    axes.set_axis_off()


def save(figure: Figure, path: Path, whole: bool = False) -> None:
    """Writes a page as a PNG, atomically.

    Args:
        figure: the page.
        path: the PNG to write.
        whole: whether the page grows or shrinks to what is on it.
    """
    for text in figure.findobj(Text):
        make_readable(text)
    with files.replacing(path) as temporary:
        figure.savefig(
            temporary,
            dpi=_DOTS_PER_INCH,
            bbox_inches="tight" if whole else None,
            pad_inches=0.15,
            facecolor="white",
        )


def make_readable(text: Text) -> None:
    """Gives a text fonts that have its letters; a box takes the place of what no font has.

    Args:
        text: of a figure; it is changed.
    """
    families, shown = _readable(text.get_text(), list(text.get_fontfamily()))
    text.set_fontfamily(families)
    text.set_text(shown)


def readable(text: str) -> str:
    """Puts boxes in the place of what no font has; for texts that matplotlib writes anew."""
    return _readable(text, list(font_manager.FontProperties().get_family()))[1]


def _readable(text: str, families: list[str]) -> tuple[list[str], str]:
    """Finds fonts, beside those that a text has, and what they can show of it."""
    letters = dict.fromkeys(text.replace("\n", ""))
    missing = set(letters).difference(*map(_letters, families))
    for family in _known_others() if missing else ():
        if missing & _letters(family):
            families = [*families, family]
            missing -= _letters(family)
    if missing:
        _warn_once([letter for letter in letters if letter in missing])
    return families, "".join(_BOX if letter in missing else letter for letter in text)


def _known_others() -> list[str]:
    known = set(font_manager.get_font_names())
    of_one_alphabet = sorted(each for each in known if each.startswith("Noto Sans "))
    return [family for family in dict.fromkeys((*_OTHERS, *of_one_alphabet)) if family in known]


@functools.cache
def _letters(family: str) -> frozenset[str]:
    path = font_manager.findfont(font_manager.FontProperties(family=[family]))
    return frozenset(map(chr, font_manager.get_font(path).get_charmap()))


def _warn_once(letters: list[str]) -> None:
    if not _warnings:
        text = (
            f"no common font of this machine has such letters as {''.join(letters[:_SHOWN])!r}; "
            "pictures have boxes there. Once one is installed, such as Noto Sans CJK, remove "
            f"{matplotlib.get_cachedir()}."
        )
        if warn(text):
            _warnings.add(text)
