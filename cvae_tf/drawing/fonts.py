"""Letters of all alphabets, as far as the fonts of this machine have them."""

import functools

import matplotlib
from matplotlib import font_manager
from matplotlib.text import Text

from cvae_tf.core.messages import warn

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
    "Noto Sans Devanagari",
    "Noto Sans Thai",
)
_BOX = "\u25a1"  # of a letter that no font has
_SHOWN = 8  # letters
_said: set[str] = set()  # about them; once is enough for a process


def make_readable(text: Text) -> None:
    """Gives a text fonts that have its letters; a box takes the place of what no font has.

    Args:
        text: of a figure; it is changed.
    """
    letters = dict.fromkeys(text.get_text().replace("\n", ""))
    families = list(text.get_fontfamily())
    missing = set(letters).difference(*map(_letters, families))
    for family in _known_others() if missing else ():
        if missing & _letters(family):
            families.append(family)
            missing -= _letters(family)
    text.set_fontfamily(families)
    if missing:
        _warn_once([letter for letter in letters if letter in missing])
        text.set_text("".join(_BOX if each in missing else each for each in text.get_text()))


def _known_others() -> list[str]:
    known = set(font_manager.get_font_names())
    return [family for family in _OTHERS if family in known]


@functools.cache
def _letters(family: str) -> frozenset[str]:
    path = font_manager.findfont(font_manager.FontProperties(family=[family]))
    return frozenset(map(chr, font_manager.get_font(path).get_charmap()))


def _warn_once(letters: list[str]) -> None:
    if not _said:
        _said.update(letters)
        warn(
            f"no font known to matplotlib has such letters as {''.join(letters[:_SHOWN])}; "
            "pictures have boxes there. Once a font is installed, such as Noto Sans CJK, remove "
            f"{matplotlib.get_cachedir()}."
        )
