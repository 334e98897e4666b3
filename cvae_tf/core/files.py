"""Files that are whole or not there: written aside, flushed, and renamed into place."""

import contextlib
import csv
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import tensorflow as tf

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

from cvae_tf.core.errors import UserError

TEMPORARY = ".writing-"  # the names of unfinished files begin with this


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it takes the place of `path`.

    The temporary name keeps the suffix, because image writers choose their format by it. The
    directory is made if it is missing.

    Raises:
        UserError: if something cannot be written; `path` is then as it was.
    """
    temporary = _temporary_name(path)
    with _explaining(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_directory(path: Path, must_be_new: bool = False) -> Iterator[Path]:
    """Yields a temporary directory beside `path`; on success it takes the place of `path`.

    Args:
        path: where it is to be.
        must_be_new: nothing may be there yet; if several processes make it, one succeeds.

    Raises:
        UserError: if something cannot be written, or exists already; `path` is then as it was.
    """
    temporary = _temporary_name(path)
    old = temporary.with_name(f"{temporary.name}-old")
    if must_be_new:
        refuse_existing(path)
    with _explaining(path):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for written in (*temporary.rglob("*"), temporary):
                _flush(written)
            if path.exists() and not must_be_new:
                path.rename(old)
            temporary.rename(path)  # fails if a directory is there that is not empty
            _flush(path.parent)
        finally:
            if old.exists() and not path.exists():
                old.rename(path)
            for directory in (temporary, old):
                shutil.rmtree(directory, ignore_errors=True)


def refuse_existing(path: Path) -> None:
    """Raises a UserError if there is something at a path."""
    if path.exists():
        raise UserError(f"{path} exists; choose another directory.")


def _temporary_name(path: Path) -> Path:
    """A name beside `path` that no other process and no other thread takes."""
    writer = f"{os.getpid()}-{threading.get_native_id()}"
    return path.with_name(f"{TEMPORARY}{writer}-{path.name}")


def remove_temporaries(directory: Path) -> None:
    """Removes what a process left behind when it was killed while writing."""
    for path in list(directory.rglob(f"{TEMPORARY}*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _explaining(path: Path) -> Iterator[None]:
    """Turns a failing write into an error for people."""
    try:
        yield
    except (OSError, UnicodeEncodeError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
        raise UserError(
            f"{path}: cannot be written ({reason}). What was there before is unchanged."
        ) from error


def _flush(path: Path) -> None:
    """Makes sure that a file, or the names in a directory, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle for this
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def try_lock(file: int | IO) -> bool:
    """Locks an open file or directory until it is closed; False if another process has it.

    Where the system has no such locks, it is always True.
    """
    if fcntl:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # a file system without locks
    return True


def make_directory(path: Path) -> None:
    """Makes a directory and those above it; raises a UserError if they cannot be made."""
    with _explaining(path):
        path.mkdir(parents=True, exist_ok=True)


def write_table(path: Path, names: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Writes a line of names and a line for each row, atomically."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


def write_json(path: Path, values: Any) -> None:
    """Writes values as indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads a JSON file; raises a UserError if it cannot be read or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}).") from error


def read_npz(path: Path, names: Iterable[str], lone: str = "") -> dict[str, np.ndarray]:
    """Reads arrays of an .npz by name, or the one array of an .npy; never Python objects.

    Args:
        path: the file.
        names: the arrays to read; others in the file are ignored.
        lone: the name that the array of an .npy gets.

    Returns:
        The arrays that are there, by name.

    Raises:
        UserError: if the file is missing, damaged, of another kind, or holds Python objects.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {lone: loaded}
        with loaded:
            arrays = {name: loaded[name] for name in names if name in loaded}
        if any(not isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("holds files that are no arrays")
    except Exception as error:  # NumPy fails on nonsense in many ways
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{path}: cannot be read as arrays; it is damaged, of another kind, or holds Python "
            f"objects ({reason})."
        ) from error
    return arrays
