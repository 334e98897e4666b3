"""Paths as people write and read them: `~` is the home directory; paths nearby are shown short."""

import os
import re
from collections.abc import Collection
from pathlib import Path

from cvae_tf.core.errors import MissingPathError, UserError

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://")
_LONGEST_NAME = 120  # characters of a name in a message


def expand(path: str | os.PathLike) -> Path:
    """Replaces `~` in a path by the home directory; a relative path stays relative.

    Raises:
        UserError: if there is no such home directory, or this machine has no such paths.
    """
    if not isinstance(path, (str, os.PathLike)):
        kind = type(path).__name__
        raise UserError(f"A path, or a finished run, is needed; this is of the type {kind}.")
    path = os.fspath(path)
    if path == "":
        raise UserError("An empty path was given; give a path, or leave it out.")
    if _ADDRESS.match(path):
        raise UserError(
            f"{path}: is not a path of this machine; what is read must be copied here first, what "
            "is written can be copied there afterwards."
        )
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path}: there is no such home directory.") from error


def absolute(path: str | Path) -> str:
    """The absolute path, with the home directory for `~`: it holds in any folder."""
    return str(expand(path).absolute())


def refuse_missing(path: Path) -> None:
    """Raises a MissingPathError if there is nothing at a path, a UserError if it cannot tell."""
    try:
        path.stat()
    except FileNotFoundError as error:
        raise MissingPathError(f"{path}: no such file or folder.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be looked at ({reason}).") from error


def keras_home() -> Path:
    """The folder where Keras keeps what it downloads, and this package what it decodes."""
    home = os.path.expanduser("~/.keras")  # noqa: PTH111 - Path.home() fails if nobody knows it
    return Path(os.environ.get("KERAS_HOME") or home)


def shown(path: str | Path) -> str:
    """The path as people would type it: relative to the working directory if inside."""
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
    """Lists folders or classes in a message; of many only the first."""
    text = ", ".join(printable(name) for name in list(names)[:most])
    return f"{text} and {len(names) - most:,} more" if len(names) > most else text
