"""Files that are whole or not there: written aside, flushed, and renamed into place."""

import contextlib
import csv
import ctypes
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from cvae_tf.core.errors import UserError

TEMPORARY = ".writing-"  # what the names of files begin with that are not finished

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux' renameat2


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it takes the place of `path`.

    The temporary name keeps the suffix, because image writers choose their format by it.

    Raises:
        UserError: if something cannot be written; `path` is then as it was.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    with _explaining(path):
        try:
            yield temporary
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary directory beside `path`; on success it takes the place of `path`.

    Raises:
        UserError: if something cannot be written; `path` is then as it was.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    with _explaining(path):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for file in (*temporary.rglob("*"), temporary):
                _flush(file)
            if path.exists():
                _exchange(temporary, path)
            else:
                temporary.replace(path)
            _flush(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_temporaries(directory: Path) -> None:
    """Removes what a process left that was killed while it was writing."""
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
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
        raise UserError(
            f"{path}: cannot be written ({reason}). What was there before is unchanged."
        ) from error


def _exchange(new: Path, path: Path) -> None:
    """Exchanges two directories; in one step where the system can, else in two."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        names = os.fsencode(new), os.fsencode(path)
        if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
            return
    old = new.with_name(f"{new.name}-old")
    path.replace(old)
    try:
        new.replace(path)
    except OSError:
        old.replace(path)
        raise
    old.replace(new)


def _flush(path: Path) -> None:
    """Makes sure that a file, or the names in a directory, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle for this
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """Makes a directory and those above it, if they are not there.

    Raises:
        UserError: if it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be made ({error.strerror}).") from error


def write_table(
    path: Path, names: Sequence[str], rows: Iterable[Iterable[Any]], delimiter: str = ","
) -> None:
    """Writes a line of names and a line for each row, atomically."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


def write_json(path: Path, values: Any) -> None:
    """Writes values as indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        UserError: if it cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}).") from error
