"""A data set from a folder of pictures, with the classes and splits that its folders name."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import absolute, printable
from cvae_tf.core.randomness import Purpose, numpy_generator
from cvae_tf.core.terminal import say, warn
from cvae_tf.data.datasets import Dataset, Split, tenth_of_each_class
from cvae_tf.data.folder_layout import TEST, TRAIN, Classes, read_folder
from cvae_tf.data.folder_listing import describe_left_alone
from cvae_tf.data.labels import leave_out_unused, warn_of_gaps
from cvae_tf.data.picture_store import (
    Pictures,
    list_pages,
    read_pictures,
    say_pages_left_out,
)
from cvae_tf.data.pictures import LARGEST_OF_16_BITS
from cvae_tf.data.settings import CACHE_MB, ReadingSettings

_MOST_NAMED = 5  # in a message


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
) -> Dataset:
    """Reads the pictures of a folder.

    Args:
        path: the folder; `~` is the home directory. Its folders are the classes, or those for
            training and for testing, with the classes in each; `folder_layout` knows them.
        seed: from 0; decides which tenth of each class is held out if no folders say so.
        reading: how pictures become images of one size.
        cache_mb: megabytes up to which the images are held in memory; None for 2,048.

    Returns:
        The data set; its images are arrays, or `MappedImages` if there are too many.

    Raises:
        UserError: if there are too few pictures, some cannot be read, or they are of several sizes.
    """
    path = Path(absolute(path))
    if not path.is_dir():
        raise UserError(f"{printable(path)}: no such folder.")
    listing, classes = read_folder(path)
    if reading.pages == "all":
        listing, numbers = list_pages(listing)
        classes = _only(classes, numbers)
    pictures = read_pictures(listing, reading)
    _check_bad(pictures, reading.skip_bad)
    _say_guesses(pictures)
    classes = _only(classes, pictures.numbers)
    rows = _split(path, classes, pictures.facts.count, seed)
    cache_mb = CACHE_MB if cache_mb is None else cache_mb
    train, test = (pictures.images(part, cache_mb) for part in (rows.train, rows.test))
    labels, names = _labels(classes, rows)
    if names and len(names) == 1:
        say(f"{printable(path)}: all pictures are in {names[0]}/; one class alone is none.")
        labels = names = None
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
    some = [f"{printable(listing.paths[row])} ({reason})" for row, reason in bad[:_MOST_NAMED]]
    others = f" and {len(bad) - len(some):,} more" if len(bad) > len(some) else ""
    what = f"{len(bad):,} of {len(listing.paths):,} pictures cannot be read"
    if skip_bad and pictures.facts.count:
        say(f"{what} and are left out: {', '.join(some)}{others}.")
        return
    remedy = "\nMend or remove them, or give --skip_bad." if pictures.facts.count else ""
    raise UserError(f"{printable(listing.root)}: {what}: {', '.join(some)}{others}.{remedy}")


def _only(classes: Classes, numbers: np.ndarray) -> Classes:
    """Takes what is known of some pictures."""
    parts = (None if part is None else part[numbers] for part in (classes.splits, classes.labels))
    return Classes(*parts, classes.names, classes.how)


def _split(path: Path, classes: Classes, count: int, seed: int) -> _Rows:
    """Decides which rows are for training and which for testing; raises a UserError if too few."""
    if classes.splits is not None:
        rows = [np.flatnonzero(classes.splits == split) for split in (TRAIN, TEST)]
        for part, name in zip(rows, ("training", "testing"), strict=True):
            if not len(part):
                raise UserError(f"{printable(path)}: none of its pictures for {name} can be read.")
        return _Rows(*rows, classes.how or "split as its folders are")
    if count < 2:
        raise UserError(f"{printable(path)}: holds one picture; at least 2 are needed.")
    order = numpy_generator(seed, Purpose.HELD_OUT).permutation(count)
    test = np.sort(tenth_of_each_class(order, classes.labels))
    train = np.setdiff1d(np.arange(count), test)
    return _Rows(train, test, "a tenth held out for testing")


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
