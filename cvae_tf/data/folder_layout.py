"""What the names of folders say: which are for training or testing, which are classes or masks.

What is guessed is said in the description of the splits; what is not clear, in a warning.
"""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.core.paths import listed, printable
from cvae_tf.core.terminal import warn
from cvae_tf.data.folder_listing import Listing, list_pictures
from cvae_tf.data.labels import composed, sort_classes

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
_SHORTEST_PART = 3  # letters of a word that is written without a gap to the next one


class Meaning(NamedTuple):
    """What a folder is for, by the words of its name."""

    side: int  # TRAIN or TEST
    rank: tuple[bool, int, int]  # of several folders of a side the least is taken
    others: frozenset[str]  # the words that say nothing of it


@dataclasses.dataclass
class Folder:
    """A folder with pictures in it or below."""

    path: bytes  # from the root, which has none
    has_pictures: bool = False  # itself
    folders: dict[bytes, "Folder"] = dataclasses.field(default_factory=dict)  # by name

    @property
    def name(self) -> bytes:
        """Its own name."""
        return self.path.rpartition(b"/")[2]

    @property
    def class_name(self) -> bytes:
        """The name of the class that it is, the same on all systems."""
        return os.fsencode(composed(os.fsdecode(self.name)))

    @property
    def only_folder(self) -> "Folder | None":
        """The one that is in it, if nothing else is."""
        is_alone = len(self.folders) == 1 and not self.has_pictures
        return next(iter(self.folders.values())) if is_alone else None


class Layout(NamedTuple):
    """Which folders are splits and which are classes."""

    roots: list[tuple[Folder, int]]  # the folders of the classes, and what they are for
    places: dict[bytes, tuple[int, bytes | None]]  # by path: what is in there for, and its class
    how: str | None  # says to people which folders are the splits


class Classes(NamedTuple):
    """What is known of each picture by the folder that it is in."""

    splits: np.ndarray | None  # int8 [N]: TRAIN, TEST or LEFT_OUT; None if no folders say so
    labels: np.ndarray | None  # int64 [N], numbers into `names`, -1 for pictures that are left out
    names: tuple[str, ...] | None
    how: str | None = None  # says to people which folders are the splits


def read_folder(root: Path) -> tuple[Listing, Classes]:
    """Finds the pictures of a folder, without masks that lie beside them, and their classes.

    Raises:
        UserError: if there are none, or a folder cannot be read.
    """
    listing = without_masks(list_pictures(root))
    return listing, read_classes(listing)


def without_masks(listing: Listing) -> Listing:
    """Leaves out folders such as `masks` or `labels` beside such as `images`, and says so."""
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
    picture beside them there are none. A folder that holds nothing but another one is gone
    through. The splits are side by side, with the classes in them, or the other way round.
    """
    tree = _tree_of(listing.paths)
    layout = _find_layout(tree)
    splits, labels, names = _places_of(listing.paths, layout)
    if layout.how is None:
        _warn_of_likeness(_only_way_down(tree))
    elif LEFT_OUT in splits:
        rows = np.flatnonzero(splits == LEFT_OUT)
        folders = {listing.paths[row].rpartition(b"/")[0] or listing.paths[row] for row in rows}
        warn(
            f"{len(rows):,} of {len(splits):,} pictures are left out ({listed(sorted(folders))}), "
            f"because there are {layout.how}."
        )
    classes = Classes(splits if layout.how else None, None, None, layout.how)
    if not names:
        return classes
    without_class = np.flatnonzero((splits != LEFT_OUT) & (labels < 0))
    if len(without_class):
        first = printable(listing.paths[without_class[0]])
        warn(f"{first} is in no folder of a class, so there are no classes.")
        return classes
    _warn_of_empty_classes(listing, layout, names)
    labels, names = sort_classes(labels, names)
    return classes._replace(labels=labels, names=tuple(printable(name) for name in names))


def _places_of(paths: list[bytes], layout: Layout) -> tuple[np.ndarray, np.ndarray, list[bytes]]:
    """Finds the splits int8 [N] and classes int64 [N] of pictures, and the names of the classes.

    The classes are in the order in which they are found; -1 stands for none.
    """
    number_of: dict[bytes, int] = {}
    known: dict[bytes, tuple[int, int]] = {}  # by folder, so that a million pictures take no time
    rows = np.empty((len(paths), 2), np.int64)
    for number, path in enumerate(paths):
        folder = above = path.rpartition(b"/")[0]
        if folder not in known:
            while above not in layout.places:
                above = above.rpartition(b"/")[0]
            split, name = layout.places[above]
            label = -1 if name is None else number_of.setdefault(name, len(number_of))
            known[folder] = split, label
        rows[number] = known[folder]
    return rows[:, 0].astype(np.int8), rows[:, 1], list(number_of)


def _words_of(name: bytes) -> frozenset[str]:
    """The words of a name in small letters, split at signs, digits, capitals and known words."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", os.fsdecode(name)).lower()
    runs = re.findall(r"[^\W\d_]+", text)
    return frozenset(word for run in runs for word in _known_parts(run) or (run,))


def _known_parts(word: str) -> tuple[str, ...]:
    """Splits a word into known ones without a gap between; none if something else is in it."""
    if word in _KNOWN_WORDS:
        return (word,)
    for end in range(len(word) - _SHORTEST_PART, _SHORTEST_PART - 1, -1):
        if word[:end] in _KNOWN_WORDS and (rest := _known_parts(word[end:])):
            return (word[:end], *rest)
    return ()


def is_of_masks(name: bytes) -> bool:
    """Whether a folder holds what belongs to pictures by its name, such as `masks` or `labels`."""
    words = _words_of(name)
    return bool(words & _MASK_WORDS) and words <= _OF_MASKS


def is_of_images(name: bytes) -> bool:
    """Whether a name says no more than that there are pictures, such as `images` or `train`."""
    words = _words_of(name)
    return bool(words) and words <= _SPLIT_WORDS | _NEUTRAL_WORDS


def _meanings_of(names: Iterable[bytes]) -> dict[bytes, Meaning]:
    """What folders are for, of those whose names say it."""
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
    """Finds the folders for training and for testing among those side by side.

    They are known by words, such as "Training" and "test_set"; words that both sides share, such
    as those of "seg_train" and "seg_test", say nothing.

    Args:
        names: of all folders there that hold pictures.

    Returns:
        TRAIN or TEST by name; none if one of the two is missing, or it is not clear which they
        are. TRAIN alone if all are parts of the same.
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


def _find_layout(root: Folder) -> Layout:
    """Finds the splits, if the names of folders say so, and the classes."""
    base = _only_way_down(root)
    splits, inner_splits = find_splits(base.folders), {}
    roots = [(base.folders[name], side) for name, side in splits.items()]
    shown = {folder.path: side for folder, side in roots}
    if not splits:
        roots, inner_splits = [(base, TRAIN)], _inner_splits(base)
        shown = {
            b"/".join([base.path, b"*", name]).lstrip(b"/"): side
            for name, side in inner_splits.items()
        }
    roots, how = _class_roots(roots) if splits else roots, _describe(shown)
    places = {b"": (LEFT_OUT if how else TRAIN, None)}
    for folder, side in roots:
        places[folder.path] = side, None
        places |= {each.path: (side, each.class_name) for each in folder.folders.values()}
    for folder in base.folders.values() if inner_splits else ():
        for name, each in folder.folders.items():
            side = inner_splits.get(name, LEFT_OUT)
            places[each.path] = side, None if side == LEFT_OUT else folder.class_name
    return Layout(roots, places, how)


def _only_way_down(folder: Folder) -> Folder:
    """The folder that all are in; one that holds pictures and no folders is a class."""
    while child := folder.only_folder:
        if child.has_pictures and len(child.folders) < 2:
            break
        folder = child
    return folder


def _inner_splits(base: Folder) -> dict[bytes, int]:
    """The splits within classes, if nothing else is there; `fold1` and `fold2` are no classes."""
    classes = base.folders.values()
    are_plain = all(map(is_of_images, base.folders))
    if base.has_pictures or are_plain or any(folder.has_pictures for folder in classes):
        return {}
    within = {name for folder in classes for name in folder.folders}
    found = find_splits(within) if len(_meanings_of(within)) == len(within) else {}
    return found if TEST in found.values() else {}


def _class_roots(roots: list[tuple[Folder, int]]) -> list[tuple[Folder, int]]:
    """Goes down to the classes where a split holds one folder alone that is no class.

    It has a name such as `images`, or holds folders as other splits do.
    """
    for number, (folder, side) in enumerate(roots):
        others, child = roots[:number] + roots[number + 1 :], folder.only_folder
        beside = {name for other, _ in others for name in _only_way_down(other).folders}
        if child is None or child.name in beside:
            continue
        is_plain = is_of_images(child.name) or child.name == folder.name
        if is_plain or beside & child.folders.keys():
            return _class_roots([(child, side), *others])
    return roots


def _describe(split_of: dict[bytes, int]) -> str | None:
    """Says which folders are for what; None if they are all for the same."""
    if TEST not in split_of.values():
        return None
    parts = [
        f"{listed([name + b'/' for name in sorted(split_of) if split_of[name] == side])} {what}"
        for side, what in ((TRAIN, "for training"), (TEST, "for testing"))
    ]
    return ", ".join(parts)


def _warn_of_likeness(base: Folder) -> None:
    """Warns of folders that may be splits, or copies of others, but are read as classes."""
    for folder in _all_folders(base):
        known = _meanings_of(folder.folders)
        if {meaning.side for meaning in known.values()} == {TRAIN, TEST}:
            warn(
                f"{listed(sorted(folder.folders[name].path for name in known))} seem to be for "
                "training and for testing, but are not read so. If they are, name two of them "
                "train/ and test/, and give the folder that holds these to --data_path."
            )
            return
    within = {name: set(_only_way_down(each).folders) for name, each in base.folders.items()}
    counts = Counter([*within, *(name for names in within.values() for name in names)])
    alike = [
        name
        for name, inner in sorted(within.items())
        if sum(counts[each] > 1 for each in inner) >= max(2, len(inner) / 2)
    ]
    if alike:
        warn(
            f"Each of {listed(alike)} is read as one class, with folders in it of the same names "
            "as elsewhere. If that is not meant, give one of the folders alone to --data_path."
        )


def _warn_of_empty_classes(listing: Listing, layout: Layout, names: list[bytes]) -> None:
    """Names folders where classes are expected that hold no pictures."""
    roots = [folder.path for folder, _ in layout.roots]
    folders = [Folder(path) for path in listing.folders if path.rpartition(b"/")[0] in roots]
    empty = {each.class_name for each in folders if not is_of_masks(each.name)} - set(names)
    if empty:
        warn(f"No pictures are in {listed(sorted(empty))}; such classes are left out.")
