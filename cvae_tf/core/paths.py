"""Paths as people write and read them: `~` is the home directory; what is near is shown short."""

import difflib
import itertools
import os
import re
import tempfile
from collections.abc import Collection
from pathlib import Path

from cvae_tf.core import terminal
from cvae_tf.core.errors import MissingPathError, UserError

_ADDRESS = re.compile(r"([A-Za-z][\w+.-]*)://")
_FETCH = {  # how what has such an address is had
    "gs": "gcloud storage cp -r {} .",
    "s3": "aws s3 cp --recursive {} .",
    "http": "curl -LO {}",
    "https": "curl -LO {}",
    "hdfs": "hdfs dfs -get {}",
}
_OF_HOME = {  # what others keep in the home directory, by the variable that names another place
    "KERAS_HOME": ".keras",
    "MPLCONFIGDIR": "matplotlib",
    "TFDS_DATA_DIR": "tensorflow_datasets",
}
_LONGEST_NAME = 120  # characters of a name in a message
_PATTERN = re.compile(r"[*?\[]")
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
    if address := _ADDRESS.match(str(path)):
        raise UserError(f"{path}: is not a path of this machine; {_how_to_fetch(path, address[1])}")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path}: there is no such home directory.") from error


def _how_to_fetch(address: str | Path, scheme: str) -> str:
    if scheme.lower() == "file":
        return "give the path alone, without file://."
    command = _FETCH.get(scheme.lower())
    example = f", as by {command.format(address)}" if command else ""
    return f"what is read must be copied here first{example}; what is written, afterwards."


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
        if _PATTERN.search(str(path)):
            raise UserError(
                f"{path}: patterns are not known here; give one folder, for all pictures in it, "
                "or one file."
            ) from error
        text = f"{path}: no such file or folder.{did_you_mean(path)}"
        raise MissingPathError(text) from error
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
    prepare_home()
    return Path(os.environ.get("KERAS_HOME") or _home() / ".keras")


def prepare_home() -> None:
    """Names other folders to those who would look for a home directory, if there is none to use.

    To be called before TensorFlow, Keras and Matplotlib are imported. What the environment says
    already stays as it is.
    """
    home, missing = _home(), [name for name in _OF_HOME if not os.environ.get(name)]
    if home.is_absolute() and os.access(home, os.W_OK) or not missing:
        return
    try:
        folder = _own_folder()
    except OSError:  # nothing can be kept anywhere, and nothing need be
        return
    places = {name: folder / place for name, place in _OF_HOME.items()}
    if os.access(home / ".keras", os.R_OK):
        places["KERAS_HOME"] = home / ".keras"
    os.environ.update({name: str(places[name]) for name in missing})
    if "KERAS_HOME" in missing and places["KERAS_HOME"].is_relative_to(folder):
        terminal.warn(
            "there is no home directory to write to; what is kept for the next time is in "
            f"{places['KERAS_HOME']} (KERAS_HOME names another folder)."
        )


def _home() -> Path:
    """The home directory; `~`, as it is, if nobody knows it."""
    return Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() would fail


def _own_folder() -> Path:
    """A folder for what is temporary, into which nobody else can write."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"cvae-tf-{user}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        if status.st_uid != user or status.st_mode & 0o022:
            return Path(tempfile.mkdtemp(prefix="cvae-tf-"))
    return folder


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


def check_letters(path: Path, name: str) -> None:
    """Refuses a path that TensorFlow, which writes all paths in UTF-8, could not write to.

    Args:
        path: in any form.
        name: of its flag.

    Raises:
        UserError: if it has bytes that are no letters, here or in this language of the system.
    """
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"--{name}={path.absolute()}: has letters that cannot be written in UTF-8; choose "
            "another name, or set PYTHONUTF8=1."
        ) from error
