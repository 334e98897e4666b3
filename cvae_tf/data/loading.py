"""Data sets by name or from a path, and the images of a run again."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cvae_tf.core import paths
from cvae_tf.core.errors import MissingPathError, UserError
from cvae_tf.core.files import read_npz
from cvae_tf.core.settings import find
from cvae_tf.data import datasets, file_kinds, folder, keras_sets, tfds_sets
from cvae_tf.data.batches import WarpRange, random_transforms, warp
from cvae_tf.data.datasets import Dataset, Split, fingerprint
from cvae_tf.data.settings import ReadingSettings

_TFDS = "tfds:"  # before the name of a set of TensorFlow Datasets
_SECONDS_IF_OPTIONAL = 30  # to wait for MNIST where the digits do as well
_IF_MOVED = (
    " If the images of the training were moved, name their new place: train.py --resume "
    "--run_dir=RUN --data_path=NEW_PLACE; they are known by their SHA-256."
)
_DIGITS_FOR_TRAINING = 1500
_COPIES = 16  # of a digit for training: one as it is, the others warped
_SPREAD_OF_DIGITS = WarpRange(degrees=6.0, scale=0.07, shear=0.1, shift=0.7)


def load_dataset(
    name: str = "auto",
    data_path: str | Path | None = None,
    seed: int = 0,
    reading: ReadingSettings | None = None,
    cache_mb: int | None = None,
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

    Returns:
        The data set.

    Raises:
        UserError: if there is no such name, the data set cannot be had, or a file does not hold
            images.
    """
    reading, seed = reading or ReadingSettings(), int(seed)
    path = None if data_path is None else paths.expand(data_path)
    if path is not None and file_kinds.kind_of(path) == file_kinds.FOLDER:
        return folder.load(path, seed, reading, cache_mb)
    if not_usual := [*reading.changed_fields(), *(["cache_mb"] if cache_mb else [])]:
        what = "in --data_path" if path is None else f"and {path} is a file of arrays"
        raise UserError(f"--{not_usual[0]} is for a folder of pictures, {what}.")
    return _load_by_key(name, seed) if path is None else datasets.load_npz(path, seed)


def load_auto(seed: int) -> Dataset:
    """Loads MNIST if that is quickly had, else the bundled digits, whose origin then says so."""
    try:
        return _load_by_key("mnist", seed, seconds=_SECONDS_IF_OPTIONAL)
    except UserError as error:
        digits, reason = _load_by_key("digits", seed), str(error).splitlines()[0]
        return digits._replace(origin=f"{digits.origin} Not MNIST: {reason}")


def load_digits(seed: int = 0) -> Dataset:
    """Loads 24,000 variations of digits for training, and 297 originals of others for testing.

    They are scans of 8 x 8 pixels, enlarged and varied into images like those of MNIST: the test
    part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine
    Learning Repository, CC BY 4.0).

    Args:
        seed: decides the variations.

    Returns:
        The data set, uint8 [N, 28, 28, 1].
    """
    scans = read_npz(Path(__file__).with_name("digits.npz"), ("images", "labels"))
    images, labels = scans["images"], scans["labels"]
    cut = _DIGITS_FOR_TRAINING
    varied = [
        _enlarge_digits(images[:cut], WarpRange() if copy == 0 else _SPREAD_OF_DIGITS, [seed, copy])
        for copy in range(_COPIES)
    ]
    return Dataset(
        name="bundled digits",
        origin="The bundled digits (UCI, 1,797 scans).",
        train=Split(np.concatenate(varied), np.tile(labels[:cut], _COPIES)),
        test=Split(_enlarge_digits(images[cut:], WarpRange(), [seed, 0]), labels[cut:]),
        licence="Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, UCI): "
        "CC BY 4.0",
    )


def _enlarge_digits(images: np.ndarray, spread: WarpRange, seed: list[int]) -> np.ndarray:
    """Makes 8 x 8 scans in 0..16 into 20 x 20 digits centred in 28 x 28, as MNIST has them."""
    grey = tf.constant(images[..., np.newaxis] / 16, tf.float32)
    smooth = tf.image.resize(grey, [80, 80], "bicubic")  # four pixels for each one of the result
    transforms = random_transforms(len(images), seed, spread, (80, 80), (20, 20))
    result = warp(smooth, transforms, (28, 28))
    return np.rint(np.clip(result, 0, 1) * 255).astype(np.uint8)


def _load_by_key(key: str, seed: int, **options: Any) -> Dataset:
    if key not in DATASETS and key.removeprefix(_TFDS) not in (key, ""):
        dataset = tfds_sets.load(key.removeprefix(_TFDS), seed)
    else:
        dataset = find("dataset", DATASETS, key)(seed, **options)
    return dataset if dataset.key else dataset._replace(key=key)


DATASETS = {
    "auto": load_auto,
    "mnist": keras_sets.MNIST.load,
    "digits": load_digits,
    "fashion_mnist": keras_sets.FASHION_MNIST.load,
    "cifar10": keras_sets.CIFAR10.load,
    "cifar100": keras_sets.CIFAR100.load,
}


def load_again(
    recorded: dict[str, Any],
    data_path: str | None,
    seed: int,
    reading: ReadingSettings | None = None,
    cache_mb: int | None = None,
    moved_to: str | None = None,
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

    Returns:
        The data set.

    Raises:
        UserError: if it is not recorded which one it was, or its images are others now; else as in
            `load_dataset`.
    """
    key, known = recorded.get("key"), recorded.get("sha256")
    path = moved_to or data_path
    if (path is None and key is None) or (moved_to and not known):
        raise UserError("It is not recorded which images the model was trained on.")
    try:
        dataset = load_dataset(key, path, seed, reading, cache_mb)
    except MissingPathError as error:
        raise UserError(f"{error}{'' if moved_to else _IF_MOVED}") from error
    if known and fingerprint(dataset) != known:
        raise UserError(f"{path or dataset.name}: the images are not those of the training.")
    return dataset
