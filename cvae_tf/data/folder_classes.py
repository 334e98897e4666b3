"""What the folders of pictures say: which are for training and for testing, and their classes."""

import os
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from cvae_tf.core.messages import warn
from cvae_tf.data.folder_listing import Listing, printable

_TRAIN, _TEST = ("train",), ("test", "val", "valid", "validation")  # the first that is there
_MOST_NAMED = 5  # in a message
TRAIN, TEST, LEFT_OUT = 0, 1, -1


class Classes(NamedTuple):
    """What is known of each picture by the folder that it is in."""

    splits: np.ndarray | None  # int8 [N]: TRAIN, TEST or LEFT_OUT; None if no folders say so
    labels: np.ndarray | None  # int64 [N], numbers into `names`, -1 for pictures that are left out
    names: tuple[str, ...] | None


def read_classes(listing: Listing) -> Classes:
    """Reads splits and classes from the names of folders.

    The folders directly below the root, or below those of the splits, are the classes; with a
    picture beside them there are none.
    """
    tops = Counter(path.partition(b"/")[0] if b"/" in path else None for path in listing.paths)
    split_of = _split_folders(tops)
    places: dict[bytes, int] = {}  # of a class, in the order in which they are found
    known: dict[bytes, tuple[int, int]] = {}  # split and class of a folder of pictures
    rows = np.empty((len(listing.paths), 2), np.int64)
    for number, path in enumerate(listing.paths):
        folder = path.rpartition(b"/")[0]
        if folder not in known:
            split, name = _read_folder_name(folder, split_of)
            known[folder] = split, -1 if name is None else places.setdefault(name, len(places))
        rows[number] = known[folder]
    splits, found = rows[:, 0].astype(np.int8), rows[:, 1]
    if left_out := int(np.sum(splits == LEFT_OUT)):
        warn(f"{left_out:,} pictures are in neither of {listed(split_of)}; they are left out.")
    is_labelled = np.all(found[splits != LEFT_OUT] >= 0) and len(places) > 0
    has_two = set(split_of.values()) == {TRAIN, TEST}
    if not is_labelled:
        if places:
            first = listing.paths[int(np.argmax((splits != LEFT_OUT) & (found < 0)))]
            warn(f"{printable(first)} is in no folder of a class, so there are no classes.")
        return Classes(splits if has_two else None, None, None)
    _warn_of_empty_classes(listing, split_of, places)
    names, labels = _in_order_of_names(places, found)
    return Classes(splits if has_two else None, labels, names)


def _split_folders(tops: Counter) -> dict[bytes, int]:
    """Finds the folders of the splits among those that hold pictures."""
    found = {TRAIN: _named(tops, _TRAIN), TEST: _named(tops, _TEST)}
    if not found[TRAIN] or (not found[TEST] and len(tops) > len(found[TRAIN])):
        return {}  # a folder `train` beside others is a class, such as of vehicles
    return {folder: split for split, folders in found.items() for folder in folders}


def _named(tops: Counter, names: tuple[str, ...]) -> list[bytes]:
    for name in names:
        same = [top for top in tops if top is not None and top.lower() == name.encode()]
        if same:
            return same
    return []


def _read_folder_name(folder: bytes, split_of: dict[bytes, int]) -> tuple[int, bytes | None]:
    """Split and class of the pictures in a folder."""
    if not split_of:
        return TRAIN, folder.partition(b"/")[0] or None
    top, _, below = folder.partition(b"/")
    if top not in split_of:
        return LEFT_OUT, None
    return split_of[top], below.partition(b"/")[0] or None


def _in_order_of_names(places: dict[bytes, int], found: np.ndarray) -> tuple:
    """Numbers the classes by their names; returns the names and the labels."""
    order = sorted(places)
    number_of = np.full(len(places) + 1, -1, np.int64)  # the last one for pictures without a class
    number_of[[places[name] for name in order]] = np.arange(len(order))
    return tuple(printable(name) for name in order), number_of[found]


def _warn_of_empty_classes(listing: Listing, split_of: dict, places: dict) -> None:
    empty = set()
    for folder in listing.folders:
        top, _, below = folder.partition(b"/")
        name = (below if top in split_of else b"") if split_of else top
        if name and name not in places:
            empty.add(name)
    if empty:
        warn(f"No pictures are in {listed(empty)}; such classes are left out.")


def listed(folders: Collection[str | bytes]) -> str:
    """Names folders or classes in a message, the first ones of many."""
    names = sorted(os.fsencode(folder) for folder in folders)
    text = ", ".join(printable(name) for name in names[:_MOST_NAMED])
    return f"{text} and {len(names) - _MOST_NAMED:,} more" if names[_MOST_NAMED:] else text
