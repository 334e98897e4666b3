"""A data set from a folder of pictures, with the classes and splits that its folders name."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.messages import say, warn
from cvae_tf.core.paths import absolute, listed, printable
from cvae_tf.core.randomness import Purpose, numpy_generator
from cvae_tf.data import left_alone, memory
from cvae_tf.data.classes import warn_of_gaps
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.decoding import LARGEST_OF_16_BITS, list_pages, say_pages_left_out
from cvae_tf.data.folder_classes import Classes, read_as_before, read_folder
from cvae_tf.data.folder_listing import Listing
from cvae_tf.data.folder_names import TEST, TRAIN
from cvae_tf.data.own_file import HELD_OUT, tenth_of
from cvae_tf.data.picture_store import MEGABYTE, Pictures, read_pictures
from cvae_tf.data.settings import ReadingSettings

_MOST_BAD = 5  # named in a message


class _Rows(NamedTuple):
    """Which of the pictures that can be read are for what."""

    train: np.ndarray
    test: np.ndarray
    how: str  # they were split, for people


def load(
    path: str | Path,
    seed: int,
    reading: ReadingSettings,
    cache_mb: int | None = None,
    disk_mb: int | None = None,
    as_before: bool = False,
) -> Dataset:
    """Reads the pictures of a folder.

    Args:
        path: the folder; `~` is the home directory. Its folders are the classes, or those for
            training and for testing, with the classes in each; `folder_layout` knows them.
        seed: from 0; decides which tenth of each class is held out if no folders say so.
        reading: how pictures become images of one size.
        cache_mb: the most megabytes of images to keep in memory; None for half of what is free.
        disk_mb: the most megabytes to keep on disk, as `picture_store.read_pictures` does.
        as_before: whether splits and classes are found by the rules of older versions.

    Returns:
        The data set; its images are arrays if there is room for them, else they are read from disk
        when they are asked for.

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
    pictures = read_pictures(listing, reading, disk_mb)
    _check_bad(pictures, reading.skip_bad)
    _say_guesses(pictures)
    classes = _only(classes, pictures.numbers)
    rows = _split(path, classes, pictures.facts.count, seed, as_before)
    room = memory.free_bytes() // 2 if cache_mb is None else cache_mb * MEGABYTE
    train, test = (_images(pictures, part, room) for part in (rows.train, rows.test))
    labels, names = _labels(classes, rows)
    if names and len(names) == 1 and not as_before:
        say(f"{printable(path)}: all pictures are in {names[0]}/; one class alone is none.")
        labels = names = None
    if names is None:
        left_alone.warn_of_tables(listing)
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
    named = _describe_bad(bad, listing, _MOST_BAD)
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
    used = np.unique(classes.labels[np.concatenate([rows.train, rows.test])])
    names = tuple(classes.names[label] for label in used)
    warn_of_gaps(classes.labels[rows.train], classes.labels[rows.test], classes.names)
    return np.searchsorted(used, classes.labels), names


def _images(pictures: Pictures, rows: np.ndarray, room: int):
    """Images in memory if all of the data set have room there, else such as stay on disk."""
    images = pictures.images(rows)
    needed = pictures.facts.count * int(np.prod(pictures.facts.image_shape))
    return images[:] if needed <= room else images


def _origin(path: Path, rows: _Rows, pictures: Pictures, names: tuple[str, ...] | None) -> str:
    height, width, channels = pictures.facts.image_shape
    kind = "grey" if channels == 1 else "colour"
    classes = f" of {len(names):,} classes" if names else ""
    count = len(rows.train) + len(rows.test)
    others = left_alone.describe(pictures.listing.left_alone)
    others = f"; left alone: {others}" if others else ""
    return (
        f"{printable(path)}, {count:,} pictures{classes}, {height} x {width} in {kind}, "
        f"{rows.how}{others}."
    )
