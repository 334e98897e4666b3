"""Which kind of file or folder a path of images is, and what to do with one that cannot be read."""

import zipfile
from pathlib import Path

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import refuse_missing
from cvae_tf.data.folder_listing import ARCHIVES, SUFFIXES

FOLDER, NPZ, NPY = "folder", "npz", "npy"
_LONGEST_BEGINNING = 512  # bytes


def kind_of(path: Path) -> str:
    """Finds out what is at a path; of a file by how it begins.

    Returns:
        `FOLDER`, `NPZ` or `NPY`.

    Raises:
        UserError: if there is nothing, or nothing that can be read here; it says what to do.
    """
    refuse_missing(path)
    if path.is_dir():
        return FOLDER
    start = b"-"  # of a pipe, which could be waited for without an end
    try:
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(_LONGEST_BEGINNING)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    if start.startswith(b"\x93NUMPY"):
        return NPY
    if start.startswith(b"PK") and (path.suffix.lower() == ".npz" or _holds_arrays(path)):
        return NPZ
    raise UserError(f"{path}: {_remedy(start, path.suffix.lower())}.")


def _holds_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def _remedy(start: bytes, suffix: str) -> str:
    """Says what a file is that cannot be read, and what to do with it."""
    if not start:
        return "empty; it may not have been copied or downloaded to its end"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page; download the file itself, which this page may lead to"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the file itself; fetch that by git lfs pull"
    if suffix in ARCHIVES:
        return "an archive; unpack it, and give the folder, or the file that is in it"
    if suffix in SUFFIXES:
        return "one picture; give the folder that holds all of them"
    return (
        "not a picture, an .npz or .npy, or a damaged one; give a folder of pictures, or write "
        "its arrays by numpy.savez('images.npz', x_train=images, y_train=labels)"
    )
