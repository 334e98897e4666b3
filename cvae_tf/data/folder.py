"""Which pictures a folder holds, and what the names of its folders say; nothing is decoded here.

The pictures are in an order that is always the same. Which folders are for training or testing, and
which are classes or masks, is guessed from their names. The description of the splits says what
was guessed; a warning says what is not clear.
"""

import contextlib
import dataclasses
import hashlib
import os
import re
import stat
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import listed, printable
from cvae_tf.core.terminal import warn
from cvae_tf.data.labels import composed
from cvae_tf.data.pictures import ARCHIVES, SUFFIXES, ReadingSettings

_LEFT_ALONE = {b"__macosx", b"thumbs.db", b"desktop.ini"}
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_VERSION = "2"  # of the fingerprint, and of how pictures become pixels
_MOST_KINDS = 5  # named in a message
TRAIN, TEST, LEFT_OUT = 0, 1, -1


def _with_plurals(words: str) -> frozenset[str]:
    return frozenset(word + end for word in words.split() for end in ("", "s"))


_TRAIN_WORDS = frozenset(["train", "training", "trn", "tr"])  # `trains` are vehicles
_TEST_WORDS = _with_plurals("test testing tst ts holdout heldout hold held")
_VALIDATION_WORDS = _with_plurals(
    "val valid validation validate eval evaluation evaluate dev development"
)
_SPLIT_WORDS = _TRAIN_WORDS | _TEST_WORDS | _VALIDATION_WORDS
_MASK_WORDS = _with_plurals(
    "mask label annotation annot truth groundtruth gt seg segm segmentation matte trimap target"
)
_NEUTRAL_WORDS = _with_plurals(
    "set data dataset image img im picture pic photo sample example file folder dir split fold "
    "part batch input original orig raw all ground png jpg jpeg rgb the my for of out"
)
_KNOWN_WORDS = _SPLIT_WORDS | _MASK_WORDS | _NEUTRAL_WORDS
_OF_MASKS = _KNOWN_WORDS | _with_plurals("class classe object instance semantic binary")
_SHORTEST_PART = 3  # letters of a word written without a gap before the next
Place = tuple[int, bytes | None]  # what a folder is for, and its class


class Listing(NamedTuple):
    """The pictures of a folder, by their paths relative to it."""

    root: Path
    paths: list[bytes]  # N of them in order, in the bytes of the system, with "/"
    facts: np.ndarray  # int64 [N, 3]: size, time of the last change of content, and of the file
    folders: list[bytes]  # all below the root, also without pictures
    left_alone: dict[str, int]  # number of other files by suffix, such as ".heic"; "" for none
    pages: np.ndarray | None = None  # int64 [N]: which page of its file each is; None if the first

    def full_path(self, number: int) -> str:
        """The path of a picture, in a form that can be opened."""
        return os.fsdecode(os.fsencode(self.root) + b"/" + self.paths[number])

    def page(self, number: int) -> int:
        """Which page of its file a picture is, from 0."""
        return 0 if self.pages is None else int(self.pages[number])

    def name(self, number: int) -> str:
        """A picture's name for people: its file, and its page if each page is a picture."""
        return name_of_page(self.paths[number], self.page(number))

    def fingerprint(self, reading: ReadingSettings) -> str:
        """Identifies the pixels of these pictures without reading them."""
        digest = hashlib.sha256()
        settings = [reading.height_and_width, reading.fit, reading.channels, reading.background]
        settings += [reading.white_level, reading.pages]
        digest.update(repr([_VERSION, len(self.paths), settings]).encode())
        for path in self.paths:
            digest.update(path + b"\0")  # no path has a zero byte in it
        digest.update(self.facts.astype("<i8"))
        return digest.hexdigest()


class Classes(NamedTuple):
    """What the folder of each picture says about it."""

    splits: np.ndarray | None  # int8 [N]: TRAIN, TEST or LEFT_OUT; None if no folders say so
    labels: np.ndarray | None  # int64 [N], numbers into `names`, -1 for pictures that are left out
    names: tuple[str, ...] | None
    how: str | None = None  # tells people which folders are the splits

    def of_rows(self, rows: np.ndarray) -> "Classes":
        """Selects some pictures, by their numbers, int [M]."""
        splits, labels = (None if each is None else each[rows] for each in self[:2])
        return self._replace(splits=splits, labels=labels)


def list_pictures(root: Path) -> Listing:
    """Finds all pictures below a folder, by their suffix or by how the files begin.

    Hidden files and folders and files that are not pictures are left alone. Links are followed,
    but not to a folder that contains the link.

    Returns:
        The pictures, in the order of the bytes of their paths.

    Raises:
        UserError: if a folder cannot be read, or there are no pictures.
    """
    paths, facts, folders, left_alone = [], array("q"), [], Counter()
    for path, status in _paths_below(os.fsencode(root), b"", (), left_alone):
        if status is None:
            folders.append(path)
        else:
            paths.append(path)
            facts.extend(status)
    if not paths:
        raise UserError(_without_pictures(root, left_alone))
    return Listing(root, paths, np.array(facts, np.int64).reshape(-1, 3), folders, left_alone)


def _paths_below(
    top: bytes, prefix: bytes, above: tuple, left_alone: Counter
) -> Iterator[tuple[bytes, tuple[int, int, int] | None]]:
    """Yields pictures with their facts, and folders with None, in order."""
    folder = (top + b"/" + prefix)[:-1]
    try:
        status = os.stat(folder)  # noqa: PTH116
        identity = status.st_dev, status.st_ino
        if identity in above:
            return
        entries = sorted(_read_folder(folder, left_alone))
    except OSError as error:
        raise UserError(
            f"{printable(folder)}: cannot be read ({error.strerror}). Make it readable, or take "
            "it out of the folder of pictures."
        ) from error
    if prefix:
        yield prefix[:-1], None
    for name, facts in entries:
        if name.endswith(b"/"):
            yield from _paths_below(top, prefix + name, (*above, identity), left_alone)
        else:
            yield prefix + name, facts


def _read_folder(folder: bytes, left_alone: Counter) -> Iterator[tuple[bytes, tuple]]:
    """Finds pictures with their facts, and folders, with "/" so that whole paths are in order."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(b".") or entry.name.lower() in _LEFT_ALONE:
                continue
            status, suffix = None, _suffix(entry.name)
            with contextlib.suppress(OSError):  # of a broken link
                status = entry.stat()
            mode = status.st_mode if status else 0
            if entry.is_dir(follow_symlinks=False) or stat.S_ISDIR(mode):
                yield entry.name + b"/", ()
            elif status is None and suffix in SUFFIXES:  # a picture is missing
                yield entry.name, (-1, 0, 0)
            elif stat.S_ISREG(mode) and (suffix in SUFFIXES or _begins_so(entry.path)):
                yield entry.name, (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            elif stat.S_ISREG(mode):
                left_alone[suffix] += 1


def _suffix(name: bytes) -> str:
    """The suffix of a file in lower case; "" if it has none."""
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


def name_of_page(path: bytes | str, page: int) -> str:
    """A page's name for people; the first page, often the only one, is called as the file."""
    return printable(path) + (f", page {page + 1}" if page else "")


def describe_left_alone(left_alone: dict[str, int]) -> str:
    """Counts files by suffix, the most frequent first: "90 .heic, 3 .csv"; "" for none."""
    counts = sorted(left_alone.items(), key=lambda each: (-each[1], each[0]))
    named = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in counts]
    others = sum(count for _, count in counts[_MOST_KINDS:])
    return ", ".join(named[:_MOST_KINDS]) + (f" and {others:,} more" if others else "")


def _without_pictures(root: Path, left_alone: dict[str, int]) -> str:
    """Says that there are no pictures, what there is instead, and what to do."""
    found, remedy = describe_left_alone(left_alone), "If they are pictures, make them PNG or JPEG."
    if ARCHIVES & left_alone.keys():
        remedy = "Unpack the archives."
    elif {".npz", ".npy"} & left_alone.keys():
        remedy = "Give a file of arrays itself to --data_path."
    instead = f", but {found}. {remedy}" if found else "."
    return f"{printable(root)}: holds no pictures, such as PNG, JPEG or WebP files{instead}"


class Meaning(NamedTuple):
    """What a folder is for, by the words of its name."""

    side: int  # TRAIN or TEST
    rank: tuple[bool, int, int]  # of several folders for one side the lowest rank is taken
    others: frozenset[str]  # the words that say nothing about that


@dataclasses.dataclass(eq=False)
class Folder:
    """A folder with pictures in it or below it."""

    path: bytes  # from the root, whose path is empty
    has_pictures: bool = False  # itself
    folders: dict[bytes, "Folder"] = dataclasses.field(default_factory=dict)  # by name

    @property
    def name(self) -> bytes:
        """Its own name."""
        return self.path.rpartition(b"/")[2]

    @property
    def class_name(self) -> bytes:
        """Its name as a class, the same on all systems."""
        return os.fsencode(composed(os.fsdecode(self.name)))

    @property
    def only_folder(self) -> "Folder | None":
        """The only folder in it, if there is nothing else."""
        is_alone = len(self.folders) == 1 and not self.has_pictures
        return next(iter(self.folders.values())) if is_alone else None


def read_folder(root: Path) -> tuple[Listing, Classes]:
    """Finds the pictures of a folder, without masks beside them, and their classes.

    Raises:
        UserError: if there are none, or a folder cannot be read.
    """
    listing = without_masks(list_pictures(root))
    return listing, read_classes(listing)


def without_masks(listing: Listing) -> Listing:
    """Leaves out folders such as `masks` or `labels` beside ones such as `images`, and says so."""
    masks = [
        inner.path
        for folder in _all_folders(_tree_of(listing.paths))
        if any(map(is_of_images, folder.folders))
        for name, inner in sorted(folder.folders.items())
        if is_of_masks(name)
    ]
    if not masks:
        return listing
    beginnings = tuple(folder + b"/" for folder in masks)
    rows = [row for row, path in enumerate(listing.paths) if not path.startswith(beginnings)]
    where = printable(listing.root / os.fsdecode(masks[0]))
    warn(
        f"{len(listing.paths) - len(rows):,} files in {listed(masks)} are masks of the pictures "
        f"beside them, and are left out. To learn from masks, give --data_path={where}."
    )
    return listing._replace(paths=[listing.paths[row] for row in rows], facts=listing.facts[rows])


def read_classes(listing: Listing) -> Classes:
    """Reads splits and classes from the names of folders.

    The folders below those of the splits, or directly below the root, are the classes; with a
    picture beside them there are no classes. A folder that holds only one folder is skipped. The
    splits are side by side with the classes in them, or the other way round.
    """
    tree = _tree_of(listing.paths)
    roots, places, how = _find_layout(tree)
    folders = [path.rpartition(b"/")[0] for path in listing.paths]
    place_of = {folder: _place_of(folder, places) for folder in set(folders)}
    names = sorted({name for _, name in place_of.values() if name is not None})
    number_of = {None: -1, **{name: number for number, name in enumerate(names)}}
    splits = np.array([place_of[folder][0] for folder in folders], np.int8)
    labels = np.array([number_of[place_of[folder][1]] for folder in folders], np.int64)
    if how is None:
        _warn_of_unread_splits(_only_way_down(tree))
    elif LEFT_OUT in splits:
        rows = np.flatnonzero(splits == LEFT_OUT)
        left_out = sorted({folders[row] or listing.paths[row] for row in rows})
        warn(
            f"{len(rows):,} of {len(splits):,} pictures are left out ({listed(left_out)}), "
            f"because there are {how}."
        )
    classes = Classes(splits if how else None, None, None, how)
    if not names:
        return classes
    without_class = np.flatnonzero((splits != LEFT_OUT) & (labels < 0))
    if len(without_class):
        first = printable(listing.paths[without_class[0]])
        warn(f"{first} is in no folder of a class, so there are no classes.")
        return classes
    below = [Folder(path) for path in listing.folders if path.rpartition(b"/")[0] in roots]
    empty = {each.class_name for each in below if not is_of_masks(each.name)} - set(names)
    if empty:
        warn(f"No pictures are in {listed(sorted(empty))}; such classes are left out.")
    return classes._replace(labels=labels, names=tuple(map(printable, names)))


def _place_of(folder: bytes, places: dict[bytes, Place]) -> Place:
    """What a folder is for, by its own place or that of the nearest folder above."""
    while folder not in places:
        folder = folder.rpartition(b"/")[0]
    return places[folder]


def _words_of(name: bytes) -> frozenset[str]:
    """The words of a name in lower case, split at signs, digits, capitals and known words."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", os.fsdecode(name)).lower()
    runs = re.findall(r"[^\W\d_]+", text)
    return frozenset(word for run in runs for word in _known_parts(run) or (run,))


def _known_parts(word: str) -> tuple[str, ...]:
    """Splits a word into known words without gaps; empty if there is anything else in it."""
    if word in _KNOWN_WORDS:
        return (word,)
    for end in range(len(word) - _SHORTEST_PART, _SHORTEST_PART - 1, -1):
        if word[:end] in _KNOWN_WORDS and (rest := _known_parts(word[end:])):
            return (word[:end], *rest)
    return ()


def is_of_masks(name: bytes) -> bool:
    """Whether a folder's name says that it holds masks or labels of pictures."""
    words = _words_of(name)
    return bool(words & _MASK_WORDS) and words <= _OF_MASKS


def is_of_images(name: bytes) -> bool:
    """Whether a name only says that there are pictures, such as `images` or `train`."""
    words = _words_of(name)
    return bool(words) and words <= _SPLIT_WORDS | _NEUTRAL_WORDS


def _meanings_of(names: Iterable[bytes]) -> dict[bytes, Meaning]:
    """What folders are for, as far as their names say it."""
    known = {}
    for name in names:
        words = _words_of(name)
        others = words - _SPLIT_WORDS - _NEUTRAL_WORDS
        others = frozenset(word for word in others if len(word) > 1)
        is_train, is_test, is_val = (
            bool(words & each) for each in (_TRAIN_WORDS, _TEST_WORDS, _VALIDATION_WORDS)
        )
        if is_train != is_test or (is_val and not is_train):  # `trainval` is for training
            is_second_choice = is_val and not is_test
            rank = is_second_choice, len(others), len(words)
            known[name] = Meaning(TRAIN if is_train else TEST, rank, others)
    return known


def find_splits(names: Collection[bytes]) -> dict[bytes, int]:
    """Finds the folders for training and for testing among folders side by side.

    Words such as those of "Training" and "test_set" tell. Words that both share, such as "seg" in
    "seg_train" and "seg_test", say nothing.

    Args:
        names: of all folders there that hold pictures.

    Returns:
        TRAIN or TEST by name; empty if one of the two is missing, or it is not clear which is
        which. Only TRAIN if all are parts of one split.
    """
    known, chosen = _meanings_of(names), {}
    for side in (TRAIN, TEST):
        first = min((each.rank for each in known.values() if each.side == side), default=None)
        chosen |= {name: side for name, each in known.items() if each[:2] == (side, first)}
    sides, others = set(chosen.values()), {known[name].others for name in chosen} - {frozenset()}
    are_parts = sides == {TRAIN} and chosen.keys() == set(names) and not others
    return chosen if are_parts or (sides == {TRAIN, TEST} and len(others) < 2) else {}


def _tree_of(paths: Iterable[bytes]) -> Folder:
    """Collects the folders of pictures."""
    root = Folder(b"")
    for path in {path.rpartition(b"/")[0] for path in paths}:
        folder = root
        for name in path.split(b"/") if path else []:
            inner = Folder(b"/".join([folder.path, name]) if folder.path else name)
            folder = folder.folders.setdefault(name, inner)
        folder.has_pictures = True
    return root


def _all_folders(folder: Folder) -> Iterator[Folder]:
    """A folder and those below it, by name."""
    yield folder
    for _, inner in sorted(folder.folders.items()):
        yield from _all_folders(inner)


def _find_layout(root: Folder) -> tuple[set[bytes], dict[bytes, Place], str | None]:
    """Finds where the classes are, the places of folders by path, and the splits in words."""
    base = _only_way_down(root)
    splits, inner_splits = find_splits(base.folders), {}
    shown = {base.folders[name].path: side for name, side in splits.items()}
    if splits:
        roots = _class_roots({base.folders[name]: side for name, side in splits.items()})
    else:
        roots, inner_splits = {base: TRAIN}, _inner_splits(base)
        above = base.path + b"/*/" if base.path else b"*/"
        shown = {above + name: side for name, side in inner_splits.items()}
    how = _describe(shown)
    places = {b"": (LEFT_OUT if how else TRAIN, None)}
    for folder, side in roots.items():
        places[folder.path] = side, None
        places |= {each.path: (side, each.class_name) for each in folder.folders.values()}
    for folder in base.folders.values() if inner_splits else ():
        for name, each in folder.folders.items():
            side = inner_splits.get(name, LEFT_OUT)
            places[each.path] = side, None if side == LEFT_OUT else folder.class_name
    return {folder.path for folder in roots}, places, how


def _only_way_down(folder: Folder) -> Folder:
    """Goes down as long as there is only one folder; one without folders in it is a class."""
    while child := folder.only_folder:
        if child.has_pictures and len(child.folders) < 2:
            break
        folder = child
    return folder


def _inner_splits(base: Folder) -> dict[bytes, int]:
    """The splits within classes, if there is nothing else; `fold1` and `fold2` are no classes."""
    classes = base.folders.values()
    are_plain = all(map(is_of_images, base.folders))
    if base.has_pictures or are_plain or any(folder.has_pictures for folder in classes):
        return {}
    within = {name for folder in classes for name in folder.folders}
    found = find_splits(within) if len(_meanings_of(within)) == len(within) else {}
    return found if TEST in found.values() else {}


def _class_roots(splits: dict[Folder, int]) -> dict[Folder, int]:
    """Goes down to the classes where a split holds only one folder, such as `images`."""
    roots = {}
    for folder, side in splits.items():
        others = [_only_way_down(other).folders for other in splits if other is not folder]
        elsewhere, root = set().union(*others), folder
        while (child := root.only_folder) and child.name not in elsewhere:
            if not is_of_images(child.name) and child.name != root.name:
                break
            root = child
        roots[root] = side
    return roots


def _describe(split_of: dict[bytes, int]) -> str | None:
    """Says what each folder is for; None if all are for the same."""
    if TEST not in split_of.values():
        return None
    train, test = (
        listed([name + b"/" for name in sorted(split_of) if split_of[name] == side])
        for side in (TRAIN, TEST)
    )
    return f"{train} for training, {test} for testing"


def _warn_of_unread_splits(base: Folder) -> None:
    """Warns of folders that may be splits but are read as classes."""
    for folder in _all_folders(base):
        known = _meanings_of(folder.folders)
        if {meaning.side for meaning in known.values()} == {TRAIN, TEST}:
            warn(
                f"{listed(sorted(folder.folders[name].path for name in known))} seem to be for "
                "training and for testing, but are not read so. If they are, name two of them "
                "train/ and test/, and give the folder that holds these to --data_path."
            )
            return
