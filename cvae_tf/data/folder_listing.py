"""Which pictures a folder holds, in an order that is always the same; nothing is decoded here.

Of the files that are not read it is known how many there are, and said what to do with them.
"""

import contextlib
import hashlib
import os
import re
import stat
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import listed, printable
from cvae_tf.core.terminal import warn
from cvae_tf.data.folder_names import tells_of_labels
from cvae_tf.data.settings import ReadingSettings

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".gif", ".tif", ".tiff"),
    *(".webp", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".ico"),
)
_SUFFIXES = frozenset(map(os.fsencode, SUFFIXES))
_LEFT_ALONE = {b"__macosx", b"thumbs.db", b"desktop.ini"}
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_MOST_LINKS = 2  # to folders, from the root to a picture
_AT_ONCE = 10_000  # paths that are joined, because that needs memory for each
_MOST_EXAMPLES = 5  # of files that are left alone
_VERSION = "2"  # of the fingerprint, and of how pictures become pixels
_PICTURES = {
    *(".heic", ".heif", ".hif", ".jxl", ".jxr", ".svg", ".psd", ".psb", ".xcf", ".ai", ".eps"),
    *(".raw", ".cr2", ".cr3", ".crw", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef"),
    *(".srw", ".x3f", ".exr", ".hdr", ".tga", ".dds", ".pcx", ".pfm", ".fits", ".fts"),
    *(".dcm", ".dicom", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".npy", ".svs", ".ndpi"),
    *(".czi", ".nd2", ".lif", ".vsi", ".emf", ".wmf", ".sgi", ".xbm", ".xpm"),
}
_PAGES = {".pdf", ".djvu"}
_FILMS = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"}
_ARCHIVES = {".zip", ".tar", ".tar.gz", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"}
_REMEDIES = (
    (_PICTURES, "convert {} to PNG or JPEG"),
    (_PAGES, "save the pages of {} as PNG or JPEG"),
    (_FILMS, "save the frames of {} as PNG or JPEG"),
    (_ARCHIVES, "unpack {}"),
    ({".npz"}, "give the {} itself to --data_path"),
)
_TABLES = {
    *(".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xml", ".xls", ".xlsx", ".ods", ".parquet"),
    *(".feather", ".arrow", ".mat", ".pkl", ".pickle", ".h5", ".hdf5", ".db", ".sqlite", ".sql"),
}
_TEXTS = {".txt", ".lst", ".list", ".yaml", ".yml", ""}  # of which few are tables
_MOST_KINDS = 5  # named in a message


class LeftAlone(NamedTuple):
    """Files of one kind in one folder that are not read as pictures."""

    folder: bytes
    suffix: str  # in small letters, such as ".heic"; "" for none
    count: int
    names: list[bytes]  # of the first ones


class Listing(NamedTuple):
    """The pictures of a folder, by their paths relative to it."""

    root: Path
    paths: list[bytes]  # N of them in their order, as the system has them, with "/"
    facts: np.ndarray  # int64 [N, 3]: size, time of the last change of content, and of the file
    folders: list[bytes]  # all below the root, also without pictures
    left_alone: list[LeftAlone]
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
    followed, but not to a folder which the link itself lies in, nor from link to link without end.

    Args:
        root: the folder.

    Returns:
        The pictures, in the order of the bytes of their paths.

    Raises:
        UserError: if a folder cannot be read.
    """
    top = os.fsencode(root)
    paths, facts, folders, left_alone = [], array("q"), [], []
    # From the root to the folder that is being read: where it is, what it is, how many links lead
    # there, what is left of it.
    stack = [(b"", _identity(top), 0, _read_folder(top, b"", left_alone))]
    while stack:
        prefix, _, links, entries = stack[-1]
        name, status = next(entries, (None, None))
        if name is None:
            stack.pop()
        elif not name.endswith(b"/"):
            paths.append(prefix + name)
            facts.extend(status)
        else:
            identity, links = _identity(top + b"/" + prefix + name), links + status[0]
            if identity in [above[1] for above in stack] or links > _MOST_LINKS:
                continue
            folders.append(prefix + name.removesuffix(b"/"))
            inner = _read_folder(top + b"/" + prefix + name, folders[-1], left_alone)
            stack.append((prefix + name, identity, links, inner))
    table = np.frombuffer(facts, np.int64).reshape(-1, 3) if paths else np.zeros((0, 3), np.int64)
    return Listing(root, paths, table, folders, left_alone)


@contextlib.contextmanager
def _explaining(folder: bytes) -> Iterator[None]:
    """Turns a folder that cannot be read into an error for people."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{printable(folder)}: cannot be read ({error.strerror}). Make it readable, or take "
            "it out of the folder of pictures."
        ) from error


def _identity(path: bytes) -> tuple[int, int]:
    with _explaining(path):
        status = os.stat(path)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _read_folder(
    path: bytes, folder: bytes, left_alone: list[LeftAlone]
) -> Iterator[tuple[bytes, array]]:
    """Yields the pictures with their facts and the folders, whose names end with "/", by name.

    With the "/", the order of the names is that of the paths of the files. The first fact of a
    folder is whether it is a link. What is no picture is added to `left_alone`.
    """
    names, facts = [], array("q")  # and not an object for each file of a million
    others = []
    with _explaining(path), os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith(b".") or entry.name.lower() in _LEFT_ALONE:
                continue
            if _is(entry.is_dir):
                names.append(entry.name + b"/")
                facts.extend((entry.is_symlink(), 0, 0))
            elif status := _status_of_picture(entry):
                names.append(entry.name)
                facts.extend(status)
            elif _is(entry.is_file):
                others.append(entry.name)
    left_alone += _by_suffix(folder, others)
    for place in sorted(range(len(names)), key=names.__getitem__):
        name = names[place]
        yield name, facts[3 * place : 3 * place + 3]


def _by_suffix(folder: bytes, names: list[bytes]) -> list[LeftAlone]:
    """Counts the files of each kind in a folder."""
    suffixes = [_suffix(name) for name in names]
    examples: dict[str, list[bytes]] = {}
    for name, suffix in sorted(zip(names, suffixes, strict=True)):
        some = examples.setdefault(suffix, [])
        if len(some) < _MOST_EXAMPLES:
            some.append(name)
    counts = Counter(suffixes)
    return [LeftAlone(folder, each, counts[each], some) for each, some in examples.items()]


def _suffix(name: bytes) -> str:
    """The suffix of a file in small letters; "" if it has none."""
    match = re.search(rb"(\.nii|\.tar)?\.\w{1,12}$", name.lower())
    return match[0].decode() if match and match.start() else ""


def _is(kind: Callable[[], bool]) -> bool:
    """Whether an entry is a folder, or a file."""
    try:
        return kind()
    except OSError:  # such as a link to itself
        return False


def _status_of_picture(entry: os.DirEntry) -> tuple[int, int, int] | None:
    """Size and times of a file that seems to be a picture; None if it does not."""
    name, point, suffix = entry.name.rpartition(b".")
    is_named_so = bool(name) and point + suffix.lower() in _SUFFIXES
    try:
        status = entry.stat()
    except OSError:  # a broken link: a picture is missing
        return (-1, 0, 0) if is_named_so else None
    if not stat.S_ISREG(status.st_mode):  # a pipe could be waited for without an end
        return None
    if not is_named_so and not (status.st_size and _begins_like_a_picture(entry.path)):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _begins_like_a_picture(path: bytes) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            start = os.read(handle, 16)
        finally:
            os.close(handle)
    except OSError:
        return False
    return (
        start.startswith(_BEGINNINGS)
        or (start[:4], start[8:12]) == (b"RIFF", b"WEBP")
        or start[4:12] in (b"ftypavif", b"ftypavis", b"jP  \r\n\x87\n")
        or (start[:2], start[6:10]) == (b"BM", bytes(4))
    )


def describe_left_alone(left_alone: Iterable[LeftAlone]) -> str:
    """Counts files by suffix, the most frequent first: "90 .heic, 3 .csv"; "" for none."""
    counts = _counts(left_alone)
    kinds = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))
    named = [f"{counts[each]:,} {each or 'without a suffix'}" for each in kinds]
    others = sum(counts[each] for each in kinds[_MOST_KINDS:])
    return ", ".join(named[:_MOST_KINDS]) + (f" and {others:,} more" if others else "")


def refuse_without_pictures(listing: Listing) -> None:
    """Raises a UserError if there is nothing to read; it names what there is instead."""
    if listing.paths:
        return
    found = describe_left_alone(listing.left_alone)
    remedies = [remedy for _, remedy in _remedies(listing.left_alone)]
    where = f"{printable(listing.root)}: holds no pictures, such as PNG, JPEG or WebP files"
    instead = f", but {found}" if found else ""
    what_to_do = f" To use them, {'; '.join(remedies)}." if remedies else ""
    raise UserError(f"{where}{instead}.{what_to_do}")


def warn_of_unread_pictures(listing: Listing) -> None:
    """Warns of files that seem to be pictures of a kind that is not read."""
    pictures = [each for each in listing.left_alone if each.suffix in _PICTURES]
    if pictures:
        found, (_, remedy) = describe_left_alone(pictures), _remedies(pictures)[0]
        warn(f"{found} cannot be read as pictures and are left alone; to use them, {remedy}.")


def warn_of_tables(listing: Listing) -> None:
    """Warns of tables where the folders name no classes."""
    tables = [(each, name) for each in listing.left_alone if (name := _table_in(each))]
    if tables:
        folder, name = tables[0][0].folder, tables[0][1]
        count = sum(each.count for each, _ in tables)
        others = f" and {count - 1:,} more" if count > 1 else ""
        warn(
            f"{printable(folder + b'/' + name if folder else name)}{others} may hold labels, but "
            "tables are not read: there are no labels. To have some, make a folder for each class."
        )


def _table_in(files: LeftAlone) -> bytes | None:
    """The first of some files that may be a table of labels: by its suffix, or by what it says."""
    if files.suffix in _TABLES:
        return files.names[0]
    if files.suffix not in _TEXTS:
        return None
    folder = files.folder.rpartition(b"/")[2]
    return next((name for name in files.names if tells_of_labels(name, folder)), None)


def _remedies(left_alone: Iterable[LeftAlone]) -> list[tuple[set[str], str]]:
    """Which kinds of files can be made useful, and how."""
    counts, found = _counts(left_alone), []
    for kinds, remedy in _REMEDIES:
        if there := sorted(kinds & counts.keys()):
            found.append((kinds, remedy.format(listed(there))))
    return found


def _counts(left_alone: Iterable[LeftAlone]) -> Counter:
    counts = Counter()
    for files in left_alone:
        counts[files.suffix] += files.count
    return counts
