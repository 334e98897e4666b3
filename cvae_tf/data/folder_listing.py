"""Which pictures a folder holds, in an order that is always the same; nothing is decoded here.

Of the files that are not read it is known how many there are of each suffix.
"""

import contextlib
import hashlib
import os
import re
import stat
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import printable
from cvae_tf.data.settings import ReadingSettings

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".gif", ".tif", ".tiff"),
    *(".webp", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".ico"),
)
ARCHIVES = {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"}
_LEFT_ALONE = {b"__macosx", b"thumbs.db", b"desktop.ini"}
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_AT_ONCE = 10_000  # paths that are joined, because that needs memory for each
_VERSION = "2"  # of the fingerprint, and of how pictures become pixels
_MOST_KINDS = 5  # named in a message


class Listing(NamedTuple):
    """The pictures of a folder, by their paths relative to it."""

    root: Path
    paths: list[bytes]  # N of them in their order, as the system has them, with "/"
    facts: np.ndarray  # int64 [N, 3]: size, time of the last change of content, and of the file
    folders: list[bytes]  # all below the root, also without pictures
    left_alone: dict[str, int]  # how many other files have a suffix, such as ".heic"; "" for none
    pages: np.ndarray | None = None  # int64 [N]: which page of its file each is; None if the first

    def full_path(self, number: int) -> str:
        """The path of a picture, in a form that can be opened."""
        return os.fsdecode(os.fsencode(self.root) + b"/" + self.paths[number])

    def page(self, number: int) -> int:
        """Which page of its file a picture is, from 0."""
        return 0 if self.pages is None else int(self.pages[number])

    def fingerprint(self, reading: ReadingSettings) -> str:
        """What the pixels of these pictures can be known by without reading them."""
        digest = hashlib.sha256()
        settings = [reading.height_and_width, reading.fit, reading.channels, reading.background]
        settings += [reading.white_level, reading.pages]
        digest.update(repr([_VERSION, len(self.paths), settings]).encode())
        for start in range(0, len(self.paths), _AT_ONCE):
            part = self.paths[start : start + _AT_ONCE]
            digest.update(b"\0".join([*part, b""]))  # no path has a zero byte in it
        digest.update(self.facts.astype("<i8"))
        return digest.hexdigest()


def list_pictures(root: Path) -> Listing:
    """Finds all files below a folder that are pictures by their suffix or by how they begin.

    Hidden files and folders are left alone, and all files that are no pictures. Links are
    followed, but not to a folder which the link itself lies in.

    Args:
        root: the folder.

    Returns:
        The pictures, in the order of the bytes of their paths.

    Raises:
        UserError: if a folder cannot be read, or there are no pictures.
    """
    found, facts, folders, left_alone = [], array("q"), [], Counter()
    for path, status in _pictures_below(os.fsencode(root), b"", (), folders, left_alone):
        found.append(path)
        facts.extend(status)
    if not found:
        raise UserError(_without_pictures(root, left_alone))
    return Listing(root, found, np.array(facts, np.int64).reshape(-1, 3), folders, left_alone)


def _pictures_below(
    top: bytes, prefix: bytes, above: tuple, folders: list[bytes], left_alone: Counter
) -> Iterator[tuple[bytes, array]]:
    """Yields the pictures of a folder and of those in it, with their facts, in their order.

    Args:
        top: the root.
        prefix: the path from there to the folder, with "/" at its end.
        above: what the folders are on the way there.
        folders: those that are found are added.
        left_alone: the suffixes of other files are counted here.
    """
    folder = (top + b"/" + prefix)[:-1]
    try:
        status = os.stat(folder)  # noqa: PTH116
        identity = status.st_dev, status.st_ino
        if identity in above:
            return
        names, facts = _read_folder(folder, left_alone)
    except OSError as error:
        raise UserError(
            f"{printable(folder)}: cannot be read ({error.strerror}). Make it readable, or take "
            "it out of the folder of pictures."
        ) from error
    folders += [prefix[:-1]] if prefix else []
    for place in sorted(range(len(names)), key=names.__getitem__):
        path = prefix + names[place]
        if path.endswith(b"/"):
            yield from _pictures_below(top, path, (*above, identity), folders, left_alone)
        else:
            yield path, facts[3 * place : 3 * place + 3]


def _read_folder(folder: bytes, left_alone: Counter) -> tuple[list[bytes], array]:
    """Finds the names of pictures with their facts, and of folders with "/" at their end.

    With the "/", the order of the names is that of the paths of the files.
    """
    names, facts = [], array("q")  # and not an object for each file of a million
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(b".") or entry.name.lower() in _LEFT_ALONE:
                continue
            status, suffix = None, _suffix(entry.name)
            with contextlib.suppress(OSError):  # of a broken link nothing is known
                status = entry.stat()
            mode = status.st_mode if status else 0
            if entry.is_dir(follow_symlinks=False) or stat.S_ISDIR(mode):
                names.append(entry.name + b"/")
                facts.extend((0, 0, 0))
            elif status is None and suffix in SUFFIXES:  # a picture is missing
                names.append(entry.name)
                facts.extend((-1, 0, 0))
            elif stat.S_ISREG(mode) and (suffix in SUFFIXES or _begins_so(entry.path)):
                names.append(entry.name)
                facts.extend((status.st_size, status.st_mtime_ns, status.st_ctime_ns))
            elif stat.S_ISREG(mode):
                left_alone[suffix] += 1
    return names, facts


def _suffix(name: bytes) -> str:
    """The suffix of a file in small letters; "" if it has none."""
    match = re.search(rb"\.\w{1,12}$", name.lower())
    return match[0].decode() if match else ""


def _begins_so(path: bytes) -> bool:
    """Whether a file begins like a picture."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - paths here are bytes
            start = file.read(16)
    except OSError:
        return False
    is_webp = (start[:4], start[8:12]) == (b"RIFF", b"WEBP")
    return start.startswith(_BEGINNINGS) or is_webp or start[:2] + start[6:10] == b"BM" + bytes(4)


def describe_left_alone(left_alone: dict[str, int]) -> str:
    """Counts files by suffix, the most frequent first: "90 .heic, 3 .csv"; "" for none."""
    kinds = sorted(left_alone, key=lambda suffix: (-left_alone[suffix], suffix))
    named = [f"{left_alone[each]:,} {each or 'without a suffix'}" for each in kinds]
    others = sum(left_alone[each] for each in kinds[_MOST_KINDS:])
    return ", ".join(named[:_MOST_KINDS]) + (f" and {others:,} more" if others else "")


def _without_pictures(root: Path, left_alone: dict[str, int]) -> str:
    """Says that there is nothing to read, what there is instead, and what to do."""
    found, remedy = describe_left_alone(left_alone), "If they are pictures, make them PNG or JPEG."
    if ARCHIVES & left_alone.keys():
        remedy = "Unpack the archives."
    elif {".npz", ".npy"} & left_alone.keys():
        remedy = "Give a file of arrays itself to --data_path."
    instead = f", but {found}. {remedy}" if found else "."
    return f"{printable(root)}: holds no pictures, such as PNG, JPEG or WebP files{instead}"
