"""Data sets by name, from a folder of pictures or a file; and the images of a run again."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from cvae_tf.core import paths
from cvae_tf.core.errors import MissingPathError, UserError
from cvae_tf.core.paths import printable
from cvae_tf.core.randomness import Purpose, numpy_generator
from cvae_tf.core.settings import find
from cvae_tf.core.terminal import say
from cvae_tf.data import named_sets
from cvae_tf.data.datasets import (
    Dataset,
    Split,
    fingerprint,
    from_arrays,
    in_quotes,
    load_npz,
    tenth_of_each_class,
)
from cvae_tf.data.folder import TEST, TRAIN, Classes, describe_left_alone, read_folder
from cvae_tf.data.labels import warn_of_gaps
from cvae_tf.data.picture_store import Pictures, list_pages, read_pictures, say_pages_left_out
from cvae_tf.data.pictures import CACHE_MB, IN_MEMORY, LARGEST_OF_16_BITS, ReadingSettings

_TFDS = "tfds:"  # before the name of a set of TensorFlow Datasets
_SECONDS_IF_OPTIONAL = 30  # to wait for MNIST where the digits do as well
_MOST_NAMED = 5  # pictures in a message
_IF_MOVED = (
    " If the images of the training were moved, name their new place: train.py --resume "
    "--run_dir=RUN --data_path=NEW_PLACE; they are known by their SHA-256."
)
_NOT_KEPT = (
    "The images of the training were arrays, which are not kept: give them again, as in "
    "cvae_tf.resume(run_dir, x_train, ...) and generate(model, images=...), or as a file, by "
    "numpy.savez('images.npz', x_train=x_train, ...) and --data_path=images.npz."
)


def load_dataset(
    name: str = "auto",
    data_path: str | Path | None = None,
    seed: int = 0,
    reading: ReadingSettings | None = None,
    cache_mb: int | None = None,
    arrays: dict[str, np.ndarray] | None = None,
) -> Dataset:
    """Loads a data set by its name, or a user's own images.

    Args:
        name: one of `DATASETS`, such as "auto", "cifar10" or "tfds:kmnist"; not looked at
            if a path is given.
        data_path: a folder of pictures, an .npz with `x_train` and optionally `x_test`, `y_train`,
            `y_test` and `class_names`, or an .npy of images; `~` is the home directory.
        seed: from 0; decides the variations of the digits, and the images held out of a lone
            `x_train` or of a folder without splits.
        reading: how pictures of a folder become images of one size; None for as they are.
        cache_mb: megabytes up to which the images of a folder are held in memory; more of them
            are read from their file as they are needed. None for 2,048.
        arrays: those of an .npz, in memory; then it is these, wherever else images are.

    Returns:
        The data set.

    Raises:
        UserError: if there is no such name, the data set cannot be had, or a file does not hold
            images.
    """
    reading, seed = reading or ReadingSettings(), int(seed)
    path = None if data_path is None or arrays else Path(paths.absolute(data_path))
    if path is not None:
        paths.refuse_missing(path)
        if path.is_dir():
            return _load_folder(path, seed, reading, CACHE_MB if cache_mb is None else cache_mb)
    fields = dataclasses.fields(ReadingSettings)
    given = [each.name for each in fields if getattr(reading, each.name) != each.default]
    if given := given + ["cache_mb"] * bool(cache_mb):
        what = "and x_train is none" if arrays else "in --data_path"
        what = what if path is None else f"and {path} is none"
        raise UserError(f"--{given[0]} is for a folder of pictures, {what}.")
    if arrays:
        return from_arrays(arrays, seed)
    return _load_by_key(name, seed) if path is None else load_npz(path, seed)


def _load_auto(seed: int) -> Dataset:
    """Loads MNIST if that is quickly had, else the bundled digits, whose origin then says so."""
    try:
        return _load_by_key("mnist", seed, seconds=_SECONDS_IF_OPTIONAL)
    except UserError as error:
        digits, reason = _load_by_key("digits", seed), str(error).splitlines()[0]
        return digits._replace(origin=f"{digits.origin} Not MNIST: {reason}")


def _load_by_key(key: str, seed: int, **options: Any) -> Dataset:
    if key not in DATASETS and key.removeprefix(_TFDS) not in (key, ""):
        dataset = named_sets.load_tfds(key.removeprefix(_TFDS), seed)
    else:
        dataset = find("dataset", DATASETS, key)(seed, **options)
    return dataset if dataset.key else dataset._replace(key=key)


def _refuse_arrays(seed: int) -> Dataset:
    raise UserError(f"--dataset={IN_MEMORY}: is for arrays, as in cvae_tf.train(x_train).")


DATASETS = {
    "auto": _load_auto,
    "mnist": named_sets.MNIST.load,
    "digits": named_sets.load_digits,
    "fashion_mnist": named_sets.FASHION_MNIST.load,
    "cifar10": named_sets.CIFAR10.load,
    "cifar100": named_sets.CIFAR100.load,
    IN_MEMORY: _refuse_arrays,
}


def load_again(
    recorded: dict[str, Any],
    data_path: str | None,
    seed: int,
    reading: ReadingSettings | None = None,
    cache_mb: int | None = None,
    moved_to: str | None = None,
    arrays: dict[str, np.ndarray] | None = None,
) -> Dataset:
    """Loads what a run has learned from, also if it was only found by `--dataset=auto`.

    Args:
        recorded: what the run recorded of its data: their `key` in `DATASETS`, if they have one,
            and their `sha256`.
        data_path: this and the following as in `load_dataset`.
        seed: from 0.
        reading: of a folder.
        cache_mb: of a folder.
        moved_to: where the images are now, if they are at `data_path` no more.
        arrays: the images, if they are in memory now, as in `load_dataset`.

    Raises:
        UserError: if it is not recorded which one it was, or its images are others now; else as in
            `load_dataset`.
    """
    key, known = recorded.get("key"), recorded.get("sha256")
    path = moved_to or data_path
    if key == IN_MEMORY and not (path or arrays):
        raise UserError(_NOT_KEPT)
    if (path is None and key is None and not arrays) or ((moved_to or arrays) and not known):
        raise UserError("It is not recorded which images the model was trained on.")
    try:
        dataset = load_dataset(key, path, seed, reading, cache_mb, arrays)
    except MissingPathError as error:
        raise UserError(f"{error}{'' if moved_to else _IF_MOVED}") from error
    if known and fingerprint(dataset) != known:
        which = "x_train, x_test" if arrays else path or dataset.name
        again = " (in the order of then, and with y_train)" if arrays else ""
        raise UserError(f"{which}: the images are not those of the training{again}.")
    return dataset


def _load_folder(path: Path, seed: int, reading: ReadingSettings, cache_mb: int) -> Dataset:
    """Reads the pictures of a folder, with the classes and splits that its folders name."""
    listing, classes = read_folder(path)
    if reading.pages == "all":
        listing, numbers = list_pages(listing)
        classes = classes.of_rows(numbers)
    pictures = read_pictures(listing, reading)
    _check_bad(pictures, reading.skip_bad)
    _say_guesses(pictures)
    classes = classes.of_rows(pictures.numbers)
    rows = _split(path, classes, len(pictures.pixels), seed)
    labels, names = _used_classes(path, classes, rows)
    train, test = (
        Split(pictures.images(part, cache_mb), None if labels is None else labels[part])
        for part in rows
    )
    return Dataset(
        name=in_quotes(path),
        origin=_origin(path, pictures, classes.how, names, len(train.images) + len(test.images)),
        train=train,
        test=test,
        class_names=names,
        sha256=_sha256(pictures, [*rows, labels], names),
        margins=pictures.facts.margins,
        form=pictures.form,
        test_names=[pictures.listing.name(row) for row in pictures.numbers[rows[1]]],
    )


def _check_bad(pictures: Pictures, skip_bad: bool) -> None:
    """Refuses pictures that cannot be read, or says how many are left out."""
    bad, listing = pictures.facts.bad, pictures.listing
    if not bad:
        return
    some = [f"{printable(listing.paths[row])} ({reason})" for row, reason in bad[:_MOST_NAMED]]
    others = f" and {len(bad) - len(some):,} more" if len(bad) > len(some) else ""
    what = f"{len(bad):,} of {len(listing.paths):,} pictures cannot be read"
    if skip_bad and len(pictures.pixels):
        say(f"{what} and are left out: {', '.join(some)}{others}.")
        return
    remedy = "\nMend or remove them, or give --skip_bad." if len(pictures.pixels) else ""
    raise UserError(f"{printable(listing.root)}: {what}: {', '.join(some)}{others}.{remedy}")


def _say_guesses(pictures: Pictures) -> None:
    """Says what was guessed of pictures of 16 bits, and what pages and small pictures become."""
    facts = pictures.facts
    if facts.num_small:
        height, width = pictures.pixels.shape[1:3]
        say(
            f"images:  {facts.num_small:,} of {len(pictures.pixels):,} pictures are smaller than "
            f"{height}x{width}; enlarging them adds no detail"
        )
    if facts.deep_white_level not in (None, LARGEST_OF_16_BITS):
        bits = int(facts.deep_white_level).bit_length()
        say(
            f"images:  no picture of 16 bits uses more than {bits} of them, so the level "
            f"{facts.deep_white_level} is white (--white_level=65535 takes them as they are)"
        )
    say_pages_left_out(facts.num_pages_left_out, "--pages=all makes each one an image")


def _split(path: Path, classes: Classes, count: int, seed: int) -> list[np.ndarray]:
    """Decides which rows are for training and which for testing; raises a UserError if too few."""
    if classes.splits is not None:
        rows = [np.flatnonzero(classes.splits == split) for split in (TRAIN, TEST)]
        for part, name in zip(rows, ("training", "testing"), strict=True):
            if not len(part):
                raise UserError(f"{printable(path)}: none of its pictures for {name} can be read.")
        return rows
    if count < 2:
        raise UserError(f"{printable(path)}: holds one picture; at least 2 are needed.")
    order = numpy_generator(seed, Purpose.HELD_OUT).permutation(count)
    test = np.sort(tenth_of_each_class(order, classes.labels))
    return [np.setdiff1d(np.arange(count), test), test]


def _used_classes(
    path: Path, classes: Classes, rows: list[np.ndarray]
) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Numbers the classes of the images that are used, if there are two at least."""
    labels, names = classes.labels, classes.names
    if names is None:
        return None, None
    warn_of_gaps(*(labels[part] for part in rows), names)
    used = np.unique(labels[np.concatenate(rows)])
    if len(used) == 1:
        say(f"{printable(path)}: all pictures are in {names[used[0]]}/, so there are no classes.")
        return None, None
    return np.searchsorted(used, labels), tuple(names[label] for label in used)


def _sha256(
    pictures: Pictures, parts: list[np.ndarray | None], names: tuple[str, ...] | None
) -> str:
    """What the data set can be known by: its pixels, their splits and their classes."""
    digest = hashlib.sha256(pictures.facts.sha256.encode())
    for part in parts:
        digest.update(b"-" if part is None else part.astype("<i8"))
    digest.update("\0".join(names or ()).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _origin(
    path: Path, pictures: Pictures, splits: str | None, names: tuple[str, ...] | None, count: int
) -> str:
    height, width, channels = pictures.pixels.shape[1:]
    kind = "grey" if channels == 1 else "colour"
    classes = f" of {len(names):,} classes" if names else ""
    others = describe_left_alone(pictures.listing.left_alone)
    others = f"; left alone: {others}" if others else ""
    return (
        f"{printable(path)}, {count:,} pictures{classes}, {height} x {width} in {kind}, "
        f"{splits or 'a tenth held out for testing'}{others}."
    )
