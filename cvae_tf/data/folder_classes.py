"""What the folders of pictures say: which are for training and for testing, and their classes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.core.messages import warn
from cvae_tf.core.paths import listed, printable
from cvae_tf.data import left_alone
from cvae_tf.data.folder_layout import (
    Layout,
    Tree,
    find_layout,
    folders_again,
    folders_alike,
    join,
    normalized,
    tree_of,
)
from cvae_tf.data.folder_listing import Listing, list_pictures
from cvae_tf.data.folder_names import (
    LEFT_OUT,
    TEST,
    TRAIN,
    is_of_images,
    is_of_masks,
    seem_to_be_splits,
)
from cvae_tf.data.masks import without_masks

_MOST_NAMED = 5  # in a message
Place = Callable[[bytes], tuple[int, bytes | None]]  # of a folder: its split and its class


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
    listing = list_pictures(root)
    left_alone.refuse_without_pictures(listing)
    left_alone.warn_of_unread_pictures(listing)
    listing = without_masks(listing)
    return listing, read_classes(listing)


def read_classes(listing: Listing) -> Classes:
    """Reads splits and classes from the names of folders.

    The folders below those of the splits, or directly below the root, are the classes; with a
    picture beside them there are none. `find_layout` says which folders are meant.
    """
    tree = tree_of(listing.paths)
    layout = find_layout(tree)
    splits, found, places = _places_of(listing.paths, layout.place)
    classes = _numbered(splits, found, places)._replace(how=layout.how)
    if classes.splits is None:
        _warn_of_likeness(listing, tree, layout.base)
    _warn_of_left_out(listing, layout, splits)
    if classes.labels is not None:
        _warn_of_empty_classes(listing, tree, layout, places)
        _warn_of_masks(listing, layout, classes.names)
    elif places:
        first = listing.paths[int(np.argmax((splits != LEFT_OUT) & (found < 0)))]
        warn(f"{printable(first)} is in no folder of a class, so there are no classes.")
    return classes


def read_as_before(root: Path) -> tuple[Listing, Classes]:
    """Reads a folder as runs of older versions have, so that they can go on.

    Raises:
        UserError: if a folder cannot be read.
    """
    listing = list_pictures(root)
    tops = {path.partition(b"/")[0] for path in listing.paths if b"/" in path}
    train, *others = [
        {top for top in tops if top.lower() == name}
        for name in (b"train", b"test", b"val", b"valid", b"validation")
    ]
    test = next(filter(None, others), set())
    is_flat = any(b"/" not in path for path in listing.paths)
    if not train or (not test and len(tops) + is_flat > len(train)):
        train = test = set()

    def place(folder: bytes) -> tuple[int, bytes | None]:
        top, _, below = folder.partition(b"/")
        if not train:
            return TRAIN, top or None
        if top not in train | test:
            return LEFT_OUT, None
        return TRAIN if top in train else TEST, below.partition(b"/")[0] or None

    return listing, _numbered(*_places_of(listing.paths, place))


def _places_of(paths: list[bytes], place: Place) -> tuple[np.ndarray, np.ndarray, list[bytes]]:
    """Finds the splits int8 [N] and classes int64 [N] of pictures, and the names of the classes.

    The classes are in the order in which they are found; -1 stands for none.
    """
    places: dict[bytes, int] = {}
    known: dict[bytes, tuple[int, int]] = {}  # by folder, so that a million pictures take no time
    rows = np.empty((len(paths), 2), np.int64)
    for number, path in enumerate(paths):
        folder = path.rpartition(b"/")[0]
        if folder not in known:
            split, name = place(folder)
            known[folder] = split, -1 if name is None else places.setdefault(name, len(places))
        rows[number] = known[folder]
    return rows[:, 0].astype(np.int8), rows[:, 1], list(places)


def _numbered(splits: np.ndarray, found: np.ndarray, places: list[bytes]) -> Classes:
    """Numbers the classes by their names; there are none if a picture that is used has none."""
    known_splits = splits if {TRAIN, TEST} <= set(splits.tolist()) else None
    if not places or np.any(found[splits != LEFT_OUT] < 0):
        return Classes(known_splits, None, None)
    order = sorted(range(len(places)), key=places.__getitem__)
    number_of = np.full(len(places) + 1, -1, np.int64)  # the last one for pictures without a class
    number_of[order] = np.arange(len(order))
    return Classes(known_splits, number_of[found], tuple(printable(places[each]) for each in order))


def _warn_of_left_out(listing: Listing, layout: Layout, splits: np.ndarray) -> None:
    """Names what is in none of the two splits."""
    rows = np.flatnonzero(splits == LEFT_OUT)
    if not len(rows):
        return
    start, depth = len(layout.base) + bool(layout.base), 1 if layout.inner else 0
    outside = {b"/".join(listing.paths[row][start:].split(b"/")[depth : depth + 1]) for row in rows}
    warn(
        f"{len(rows):,} of {len(splits):,} pictures are left out ({listed(sorted(outside))}), "
        f"because there are {layout.how}."
    )


def _warn_of_likeness(listing: Listing, tree: Tree, base: bytes) -> None:
    """Warns of folders that may be splits, but are not read as such."""
    for parent in sorted(tree.below, key=lambda folder: (folder != base, folder)):
        if names := seem_to_be_splits(tree.below[parent]):
            shown = listed([join(parent, name) for name in names])
            where = printable(listing.root / os.fsdecode(parent))
            remedy = "name two train/ and test/, and take the others away"
            remedy = remedy if parent == base else f"give --data_path={where}"
            warn(
                f"{shown} seem to be for training and for testing, but it is not clear which is "
                f"which, and they are not read so. If they are, {remedy}."
            )
            return
    _warn_of_twins(tree, base)


def _warn_of_twins(tree: Tree, base: bytes) -> None:
    """Warns of folders that hold folders of the same names as one beside them, or as are there."""
    twins = folders_alike(tree, base)
    if len(twins) > 1:
        same = set().union(*twins.values())
        warn(
            f"{listed(sorted(twins))} hold folders of the same names ({listed(sorted(same))}), and "
            "each is read as one class. If some are for training and some for testing, name them "
            "train/ and test/; else give one of them to --data_path."
        )
    for name, inner in folders_again(tree, base).items():
        warn(
            f"{printable(name)} holds folders of the same names as those beside it "
            f"({listed(sorted(inner))}), and is read as one class. If it is a copy, take it away."
        )


def _warn_of_masks(listing: Listing, layout: Layout, names: tuple[str, ...]) -> None:
    """Warns of masks that are read as a class, because their names are not those of pictures."""
    masks = [name for name in names if is_of_masks(name)]
    images = [name for name in names if is_of_images(name)]
    if masks and images:
        where = os.fsdecode(join(layout.base, os.fsencode(images[0])))
        alone = f"={printable(listing.root / where)}" if layout.how is None else " a folder of them"
        warn(
            f"{listed([*images, *masks])} are read as classes. To learn from {images[0]} alone, "
            f"give --data_path{alone}."
        )


def _warn_of_empty_classes(
    listing: Listing, tree: Tree, layout: Layout, places: list[bytes]
) -> None:
    """Names folders where classes are expected that hold no pictures, and what they do hold."""
    levels = set(layout.roots)
    if layout.base in levels:  # what is beside the way to it may have been meant as a class, too
        parts = layout.base.split(b"/")
        levels |= {b"/".join(parts[:number]) for number in range(len(parts))}
    empty: dict[bytes, list[bytes]] = {}
    for folder in listing.folders:
        parent, _, name = folder.rpartition(b"/")
        if parent in levels and name not in tree.below.get(parent, ()) and not is_of_masks(name):
            empty.setdefault(normalized(name), []).append(folder)
    for name in places:
        empty.pop(name, None)
    if empty:
        names = sorted(empty)
        first = [_with_contents(listing, name, empty[name]) for name in names[:_MOST_NAMED]]
        shown = listed([*first, *names[_MOST_NAMED:]], _MOST_NAMED)
        warn(f"No pictures are in {shown}; such classes are left out.")


def _with_contents(listing: Listing, name: bytes, folders: list[bytes]) -> str:
    """The name of folders, and which files are in them."""
    inside = [
        each
        for each in listing.left_alone
        if any((each.folder + b"/").startswith(folder + b"/") for folder in folders)
    ]
    found = left_alone.describe(inside)
    return f"{printable(name)} ({found})" if found else printable(name)
