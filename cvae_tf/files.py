"""Files that are whole or not there: written aside, flushed, and renamed into place."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cvae_tf.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it takes the place of `path`.

    The temporary name keeps the suffix, because image writers choose their format by it.
    """
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary directory beside `path`; on success it takes the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
    try:
        temporary = holder / "new"
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                flush(file)
        _exchange(path, temporary, holder / "old")
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _exchange(path: Path, new: Path, old: Path) -> None:
    """Moves what is at `path` to `old` and `new` to `path`, or leaves everything as it was."""
    there = path.exists()
    if there:
        path.replace(old)
    try:
        new.replace(path)
    except OSError:
        if there:
            old.replace(path)
        raise


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


def flush(path: Path) -> None:
    """Makes sure that a file's bytes are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
