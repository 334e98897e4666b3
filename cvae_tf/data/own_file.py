"""A data set from a file of the user's: an .npz with the arrays of Keras' MNIST, or an .npy."""

from pathlib import Path

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import absolute, printable
from cvae_tf.data.array_files import read_arrays
from cvae_tf.data.arrays import to_uint8
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.labels import CLASS_NAMES, are_classes, name_classes, to_labels, warn_of_gaps

IMAGES_AND_LABELS = ("x_train", "y_train", "x_test", "y_test")
ARRAYS = (*IMAGES_AND_LABELS, CLASS_NAMES)
HELD_OUT = 0.1  # part of a file without x_test


def load_npz(path: str | Path, seed: int = 0, as_before: bool = False) -> Dataset:
    """Reads images, and labels if there are any, from an .npz, or images alone from an .npy.

    Args:
        path: the file; `~` is the home directory. Its images are [N, H, W] or [N, H, W, C], of the
            values that `arrays.to_uint8` takes; its labels [N] or [N, 1], as numbers or texts; its
            `class_names` are texts [Y], then labels are numbers from 0 to Y - 1.
        seed: decides which tenth is held out if there is no `x_test`.
        as_before: whether classes are as in older versions, so that their runs can go on.

    Returns:
        The data set, named after the file.

    Raises:
        UserError: if the file does not hold such arrays.
    """
    path = Path(absolute(path))
    return from_arrays(path, read_arrays(path, ARRAYS, ["x_train"]), seed, as_before)


def from_arrays(
    path: Path, arrays: dict[str, np.ndarray], seed: int, as_before: bool = False
) -> Dataset:
    """Makes a data set of the arrays of a file; arguments and errors as in `load_npz`."""
    if "x_train" not in arrays:
        raise UserError(f"{path}: holds no array x_train (and optionally x_test).")
    splits = [
        _checked_split(path, part, arrays[f"x_{part}"], arrays.get(f"y_{part}"))
        for part in ("train", "test")
        if f"x_{part}" in arrays
    ]
    labels, class_names = name_classes(
        [split.labels for split in splits], arrays.get(CLASS_NAMES), str(path), as_before
    )
    splits = [Split(split.images, own) for split, own in zip(splits, labels, strict=True)]
    if len(splits) == 1:
        train, test = hold_out(splits[0], seed, f"{path}: x_train", as_before)
        origin = f"{printable(path)}, a tenth of x_train held out for testing."
    else:
        train, test = splits
        origin = f"{printable(path)}."
    if train.images.shape[1:] != test.images.shape[1:]:
        raise UserError(
            f"{path}: x_train has images of shape {train.images.shape[1:]}, "
            f"x_test of {test.images.shape[1:]}; they must agree."
        )
    if are_classes(train.labels) and are_classes(test.labels):
        warn_of_gaps(train.labels, test.labels, class_names)
    return Dataset(printable(path.name), origin, train, test, class_names=class_names)


def _checked_split(path: Path, part: str, images: np.ndarray, labels: np.ndarray | None) -> Split:
    images = to_uint8(images, f"{path}: x_{part}")
    return Split(images, to_labels(labels, len(images), f"{path}: y_{part}"))


def hold_out(split: Split, seed: int, where: str, as_before: bool = False) -> tuple[Split, Split]:
    """Holds a tenth of images out for testing, but of no class the last one.

    Args:
        split: all images.
        seed: decides which.
        where: names them in an error.
        as_before: whether a class may lose its last image, as in older versions.

    Returns:
        The images for training, and those for testing, at least one.

    Raises:
        UserError: if there is one image only.
    """
    if len(split.images) < 2:
        raise UserError(f"{where} has one image; with none for testing at least 2 are needed.")
    order = np.random.default_rng(seed).permutation(len(split.images))
    is_of_classes = are_classes(split.labels) and not as_before
    held_out = tenth_of(order, split.labels if is_of_classes else None)

    def take(indices: np.ndarray) -> Split:
        labels = None if split.labels is None else split.labels[indices]
        return Split(split.images[indices], labels)

    return take(order[~np.isin(order, held_out)]), take(held_out)


def tenth_of(order: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Takes the first tenth of all images, but of each class the last one stays.

    Args:
        order: of the N images, int [N].
        labels: their classes, [N]; None if there are none.

    Returns:
        At least one image, in their order. If each class has one image, some lose theirs.
    """
    num = max(1, round(len(order) * HELD_OUT))
    if labels is not None:
        _, from_end = np.unique(labels[order][::-1], return_index=True)
        others = np.delete(order, len(order) - 1 - from_end)
        order = others if len(others) else order
    return order[:num]
