"""A data set from a folder of pictures, with the classes and splits that its folders name."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import absolute, listed, printable
from cvae_tf.core.randomness import Purpose, numpy_generator
from cvae_tf.core.terminal import say, warn
from cvae_tf.data.datasets import HELD_OUT, Dataset, Split, tenth_of
from cvae_tf.data.folder_layout import (
    Layout,
    Tree,
    find_layout,
    folders_again,
    folders_alike,
    join,
    normalized,
    tree_of,
    without_masks,
)
from cvae_tf.data.folder_listing import (
    Listing,
    describe_left_alone,
    list_pictures,
    refuse_without_pictures,
    warn_of_tables,
    warn_of_unread_pictures,
)
from cvae_tf.data.folder_names import (
    LEFT_OUT,
    TEST,
    TRAIN,
    is_of_images,
    is_of_masks,
    seem_to_be_splits,
)
from cvae_tf.data.labels import leave_out_unused, sort_classes, warn_of_gaps
from cvae_tf.data.picture_store import (
    Pictures,
    list_pages,
    read_pictures,
    say_pages_left_out,
)
from cvae_tf.data.pictures import LARGEST_OF_16_BITS
from cvae_tf.data.settings import CACHE_MB, ReadingSettings

_MOST_NAMED = 5  # in a message
Place = Callable[[bytes], tuple[int, bytes | None]]  # of a folder: its split and its class


class _Rows(NamedTuple):
    """Which of the pictures that can be read are for what."""

    train: np.ndarray
    test: np.ndarray
    how: str  # they were split, for people


class Classes(NamedTuple):
    """What is known of each picture by the folder that it is in."""

    splits: np.ndarray | None  # int8 [N]: TRAIN, TEST or LEFT_OUT; None if no folders say so
    labels: np.ndarray | None  # int64 [N], numbers into `names`, -1 for pictures that are left out
    names: tuple[str, ...] | None
    how: str | None = None  # says to people which folders are the splits


def load(
    path: str | Path,
    seed: int,
    reading: ReadingSettings,
    cache_mb: int | None = None,
    as_before: bool = False,
) -> Dataset:
    """Reads the pictures of a folder.

    Args:
        path: the folder; `~` is the home directory. Its folders are the classes, or those for
            training and for testing, with the classes in each; `folder_layout` knows them.
        seed: from 0; decides which tenth of each class is held out if no folders say so.
        reading: how pictures become images of one size.
        cache_mb: megabytes up to which the images are held in memory; None for 2,048.
        as_before: whether splits and classes are found by the rules of older versions.

    Returns:
        The data set; its images are arrays, or `MappedImages` if there are too many.

    Raises:
        UserError: if there are too few pictures, some cannot be read, or they are of several sizes.
    """
    path = Path(absolute(path))
    if not path.is_dir():
        raise UserError(f"{printable(path)}: no such folder.")
    listing, classes = read_as_before(path) if as_before else read_folder(path)
    if reading.pages == "all":
        listing, numbers = list_pages(listing)
        classes = _only(classes, numbers)
    pictures = read_pictures(listing, reading)
    _check_bad(pictures, reading.skip_bad)
    _say_guesses(pictures)
    classes = _only(classes, pictures.numbers)
    rows = _split(path, classes, pictures.facts.count, seed, as_before)
    cache_mb = CACHE_MB if cache_mb is None else cache_mb
    train, test = (pictures.images(part, cache_mb) for part in (rows.train, rows.test))
    labels, names = _labels(classes, rows)
    if names and len(names) == 1 and not as_before:
        say(f"{printable(path)}: all pictures are in {names[0]}/; one class alone is none.")
        labels = names = None
    if names is None:
        warn_of_tables(listing)
    return Dataset(
        name=printable(path.name or path),
        origin=_origin(path, rows, pictures, names),
        train=Split(train, None if labels is None else labels[rows.train]),
        test=Split(test, None if labels is None else labels[rows.test]),
        class_names=names,
        sha256=_sha256(pictures, rows, labels, names),
        margins=pictures.facts.margins,
        form=pictures.form,
    )


def _say_guesses(pictures: Pictures) -> None:
    """Says what was guessed of pictures of 16 bits, and that pages of files are left out."""
    facts = pictures.facts
    if facts.deep_white_level not in (None, LARGEST_OF_16_BITS):
        bits = int(facts.deep_white_level).bit_length()
        say(
            f"images:  no picture of 16 bits uses more than {bits} of them, so the level "
            f"{facts.deep_white_level} is white (--white_level=65535 takes them as they are)"
        )
    say_pages_left_out(facts.num_pages_left_out, "--pages=all makes each one an image")
    if vanished := facts.num_vanished:
        background = pictures.form.background
        warn(
            f"{vanished:,} transparent pictures are of one level on a background of {background}; "
            f"give --background={0 if background > 127 else 255} if it hides what is on them."
        )


def _sha256(pictures: Pictures, rows: _Rows, labels: np.ndarray | None, names: Any) -> str:
    """What the data set can be known by: its pixels, their splits and their classes."""
    digest = hashlib.sha256(pictures.facts.sha256.encode())
    for part in (rows.train, rows.test, labels):
        digest.update(b"-" if part is None else part.astype("<i8"))
    digest.update("\0".join(names or ()).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _check_bad(pictures: Pictures, skip_bad: bool) -> None:
    """Refuses pictures that cannot be read, or says how many are left out."""
    bad, listing = pictures.facts.bad, pictures.listing
    if not bad:
        return
    what = f"{len(bad):,} of {len(listing.paths):,} pictures cannot be read"
    if skip_bad and pictures.facts.count:
        say(f"{what} and are left out: {_describe_bad(bad, listing, most=1)}.")
        return
    remedy = "Mend or remove them, or give --skip_bad." if pictures.facts.count else ""
    named = _describe_bad(bad, listing, _MOST_NAMED)
    raise UserError(f"{printable(listing.root)}: {what}: {named}.\n{remedy}".rstrip())


def _describe_bad(bad: list[tuple[int, str]], listing: Listing, most: int) -> str:
    """Names the first pictures that cannot be read, those with the same reason together."""
    by_reason: dict[str, list[bytes]] = {}
    for number, reason in bad:
        by_reason.setdefault(reason, []).append(listing.paths[number])
    parts = [f"{listed(each, most)} ({reason})" for reason, each in by_reason.items()]
    others = sum(len(each) for each in list(by_reason.values())[most:])
    return "; ".join(parts[:most]) + (f"; and {others:,} more" if others else "")


def _only(classes: Classes, numbers: np.ndarray) -> Classes:
    """Takes what is known of some pictures."""
    parts = (None if part is None else part[numbers] for part in (classes.splits, classes.labels))
    return Classes(*parts, classes.names, classes.how)


def _split(path: Path, classes: Classes, count: int, seed: int, as_before: bool) -> _Rows:
    """Decides which rows are for training and which for testing; raises a UserError if too few."""
    if classes.splits is not None:
        rows = [np.flatnonzero(classes.splits == split) for split in (TRAIN, TEST)]
        for part, name in zip(rows, ("training", "testing"), strict=True):
            if not len(part):
                raise UserError(f"{printable(path)}: none of its pictures for {name} can be read.")
        return _Rows(*rows, classes.how or "split as its folders are")
    if count < 2:
        raise UserError(f"{printable(path)}: holds one picture; at least 2 are needed.")
    test = np.sort(_held_out(classes.labels, count, seed, as_before))
    train = np.setdiff1d(np.arange(count), test)
    return _Rows(train, test, "a tenth held out for testing")


def _held_out(labels: np.ndarray | None, count: int, seed: int, as_before: bool) -> np.ndarray:
    """Chooses a tenth of each class by a seed, or of all pictures if the classes are too small.

    Returns:
        int [M], at least one of the pictures and not all.
    """
    order = numpy_generator(seed, Purpose.HELD_OUT).permutation(count)
    groups = np.zeros(count, np.int64) if labels is None else labels
    sizes = np.bincount(groups)
    quotas = np.rint(sizes * HELD_OUT).astype(np.int64)
    if not quotas.any():
        return tenth_of(order, None if as_before else labels)
    order = order[np.argsort(groups[order], kind="stable")]  # class by class
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(count) - starts[groups[order]]  # within its class
    return order[rank < quotas[groups[order]]]


def _labels(classes: Classes, rows: _Rows) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Numbers the classes of the images that are used, and warns of those that cannot be learned.

    Returns:
        int64 [M], numbers into the names, and the names; None if there are no classes.
    """
    if classes.labels is None:
        return None, None
    warn_of_gaps(classes.labels[rows.train], classes.labels[rows.test], classes.names)
    return leave_out_unused(classes.labels, classes.names, np.concatenate([rows.train, rows.test]))


def _origin(path: Path, rows: _Rows, pictures: Pictures, names: tuple[str, ...] | None) -> str:
    height, width, channels = pictures.facts.image_shape
    kind = "grey" if channels == 1 else "colour"
    classes = f" of {len(names):,} classes" if names else ""
    count = len(rows.train) + len(rows.test)
    others = describe_left_alone(pictures.listing.left_alone)
    others = f"; left alone: {others}" if others else ""
    return (
        f"{printable(path)}, {count:,} pictures{classes}, {height} x {width} in {kind}, "
        f"{rows.how}{others}."
    )


def read_folder(root: Path) -> tuple[Listing, Classes]:
    """Finds the pictures of a folder, without masks that lie beside them, and their classes.

    Raises:
        UserError: if there are none, or a folder cannot be read.
    """
    listing = list_pictures(root)
    refuse_without_pictures(listing)
    warn_of_unread_pictures(listing)
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
    labels, names = sort_classes(found, places)
    return Classes(known_splits, labels, tuple(printable(name) for name in names))


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
    found = describe_left_alone(inside)
    return f"{printable(name)} ({found})" if found else printable(name)
