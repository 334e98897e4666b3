"""Paths as people write and read them: `~` is the home directory; what is near is shown short."""

import difflib
import itertools
import os
import re
from collections.abc import Collection
from pathlib import Path

from cvae_tf.core.errors import MissingPathError, UserError

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://")
_LONGEST_NAME = 120  # characters of a name in a message
_MOST_COMPARED = 10_000  # names, to find the nearest


def expand(path: str | Path) -> Path:
    """Puts the home directory for `~`.

    Args:
        path: as it was given, by flag or from Python.

    Returns:
        The path; relative if it was given so.

    Raises:
        UserError: if there is no such home directory, or it is no path of this machine.
    """
    if path == "":
        raise UserError("An empty path was given; give a path, or leave it out.")
    if _ADDRESS.match(str(path)):
        raise UserError(
            f"{path}: is not a path of this machine; what is read must be copied here first, what "
            "is written can be copied there afterwards."
        )
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path}: there is no such home directory.") from error


def absolute(path: str | Path) -> str:
    """The path with the home directory for `~`, in a form that holds in any folder."""
    return str(expand(path).absolute())


def refuse_missing(path: Path) -> None:
    """Raises a MissingPathError if there is nothing at a path, which names what may be meant.

    Raises:
        UserError: if it cannot be looked at.
    """
    try:
        path.stat()
    except FileNotFoundError as error:
        raise MissingPathError(f"{path}: no such file or folder.{did_you_mean(path)}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be looked at ({reason}).") from error


def did_you_mean(path: Path) -> str:
    """Asks whether a path was meant whose name is like that of one that is missing.

    Args:
        path: at which there may be nothing.

    Returns:
        The question, with a space before it; nothing if there is a path, or none like it.
    """
    *above, own = [*reversed(path.absolute().parents), path.absolute()]
    missing = next((each for each in (*above, own) if not os.path.lexists(each)), None)
    if missing is None:
        return ""
    try:
        with os.scandir(missing.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, _MOST_COMPARED)]
    except OSError:
        return ""
    by_letters = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(missing.name.casefold(), by_letters, n=1)
    return f" Did you mean {shown(missing.with_name(by_letters[found[0]]))}?" if found else ""


def keras_home() -> Path:
    """The folder in which Keras keeps what it downloads, and we what we decode."""
    home = os.path.expanduser("~/.keras")  # noqa: PTH111 - Path.home() fails if nobody knows it
    return Path(os.environ.get("KERAS_HOME") or home)


def shown(path: str | Path) -> str:
    """The path as people would type it: relative to the working directory if it lies in it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (OSError, ValueError):  # the working directory may be gone
        return str(path)


def printable(path: str | bytes | Path) -> str:
    """Shows a path in one line, whatever is in it."""
    text = os.fsdecode(path)
    line = "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )
    return line if len(line) <= _LONGEST_NAME else f"...{line[-_LONGEST_NAME:]}"


def listed(names: Collection[str | bytes | Path], most: int = 5) -> str:
    """Names folders or classes in a message, the first ones of many."""
    text = ", ".join(printable(name) for name in list(names)[:most])
    return f"{text} and {len(names) - most:,} more" if len(names) > most else text
