"""Paths as people write and read them: `~` is the home directory; what is near is shown short."""

import os
from pathlib import Path

from cvae_tf.core.errors import UserError


def expand(path: str | Path) -> Path:
    """Puts the home directory for `~`.

    Args:
        path: as it was given, by flag or from Python.

    Returns:
        The path; relative if it was given so.

    Raises:
        UserError: if there is no such home directory.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path}: there is no such home directory.") from error


def absolute(path: str | Path) -> str:
    """The path with the home directory for `~`, in a form that holds in any folder."""
    return str(expand(path).absolute())


def keras_home() -> Path:
    """The folder in which Keras keeps what it downloads, and we what we decode."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def shown(path: str | Path) -> str:
    """The path as people would type it: relative to the working directory if it lies in it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (OSError, ValueError):  # the working directory may be gone
        return str(path)
