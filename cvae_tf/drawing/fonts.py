"""Letters of all alphabets, as far as common fonts on this machine have them."""

import functools

import matplotlib
from matplotlib import font_manager
from matplotlib.text import Text

from cvae_tf.core.terminal import warn

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
