"""Data sets: what one is, and how one is made of arrays, such as those of a file of the user's.

Such a file is an .npz with the arrays of Keras' MNIST, or an .npy of images.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import absolute, printable
from cvae_tf.data import file_kinds, safe_npz
from cvae_tf.data.inspection import margin_brightness
from cvae_tf.data.labels import (
    CLASS_NAMES,
    are_classes,
    check_named,
    name_classes,
    number_classes,
    to_labels,
    warn_of_gaps,
)
from cvae_tf.data.pictures import Form

OWN_LICENCE = "that of the images, which are not part of cvae-tf"
IMAGES_AND_LABELS = ("x_train", "y_train", "x_test", "y_test")
ARRAYS = (*IMAGES_AND_LABELS, CLASS_NAMES)
HELD_OUT = 0.1  # part of a file without x_test
_MOST_LISTED = 5  # arrays
_CHANNELS = range(1, 5)  # no image is as small as that
_SMALLEST_FLAT = 64  # pixels of an image of 8 x 8
_ROUNDING = 0.01  # by which floats may have left [0, 1], as where images were resized
_LARGEST_LEVELS = (255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits


class Split(NamedTuple):
    """Images of one purpose, and their labels."""

    images: np.ndarray  # uint8 [N, H, W, C]; or `MappedImages`, which stay in their file
    labels: np.ndarray | None  # [N]


class Dataset(NamedTuple):
    """What a model is trained and tested on."""

    name: str  # a title for people
    origin: str  # where the images came from, a sentence for people
    train: Split
    test: Split
    licence: str = OWN_LICENCE
    key: str | None = None  # the name in `loading.DATASETS`; None for a file of the user's
    class_names: tuple[str, ...] | None = None  # labels are then int64 numbers into it
    sha256: str | None = None  # what `fingerprint` says, if it is known without reading the images
    margins: float | None = None  # `margin_brightness` of the images, if it is known
    form: Form | None = None  # how its pictures became pixels; None if they were arrays

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.train.images.shape[1:]


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 of all images, by which a data set can be known again."""
    if dataset.sha256:
        return dataset.sha256
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.test):
        digest.update(np.ascontiguousarray(split.images))
    return digest.hexdigest()


def training_margins(dataset: Dataset) -> float:
    """The `margin_brightness` of the images for training, if need be by looking at them."""
    if dataset.margins is not None:
        return dataset.margins
    return margin_brightness(dataset.train.images)


def with_classes(dataset: Dataset) -> Dataset:
    """Makes the labels of a data set numbers of classes.

    Args:
        dataset: with labels of any kind.

    Returns:
        The same images; labels are int64 from 0 to Y - 1, and `class_names` has Y names.

    Raises:
        UserError: if images have no labels, or there are too many different ones to be classes, or
            one of the test images is of a class that no training image has.
    """
    for split, what in ((dataset.train, "training"), (dataset.test, "test")):
        if split.labels is None:
            raise UserError(
                f"--conditional: the {what} images ({dataset.name}) have no labels; give y_train "
                "and y_test in an .npz, or a folder for each class."
            )
    if dataset.class_names is not None:
        check_named(dataset.train.labels, dataset.class_names)
        return dataset
    train, test, names = number_classes(dataset.train.labels, dataset.test.labels)
    return dataset._replace(
        train=dataset.train._replace(labels=train),
        test=dataset.test._replace(labels=test),
        class_names=names,
    )


def fingerprint_of_labels(dataset: Dataset) -> str:
    """SHA-256 of the classes of all images and of their names, by which they are known again."""
    digest = hashlib.sha256(json.dumps(dataset.class_names).encode())
    for split in (dataset.train, dataset.test):
        digest.update(split.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def load_npz(path: str | Path, seed: int = 0, as_before: bool = False) -> Dataset:
    """Reads images, and labels if there are any, from an .npz, or images alone from an .npy.

    Args:
        path: the file; `~` is the home directory. Its images are [N, H, W] or [N, H, W, C], of the
            values that `to_uint8` takes; its labels [N] or [N, 1], as numbers or texts; its
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


def read_arrays(path: Path, names: Sequence[str], images: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads arrays by name, of which one at least has images.

    Args:
        path: an .npz, or an .npy, whose one array is then called by the last of `images`. What it
            is, its content says.
        names: of the arrays that are looked at.
        images: those of them that may be the images, any of which will do.

    Returns:
        The arrays that are there, by name.

    Raises:
        UserError: if it is another kind of file, holds none of `images`, or is damaged.
    """
    if file_kinds.kind_of(path) == file_kinds.NPY:
        return {images[-1]: safe_npz.read_npy(path)}
    arrays = safe_npz.read_npz(path, tuple(names))
    if not set(images) & set(arrays):
        raise UserError(_without_images(path, images))
    return arrays


def _without_images(path: Path, images: Sequence[str]) -> str:
    """Says which arrays an .npz holds, and how to call them."""
    headers = safe_npz.read_headers(path)
    listed = [f"{name} {header.dtype}{list(header.shape)}" for name, header in headers.items()]
    wanted = " or ".join(filter(None, (", ".join(images[:-1]), images[-1])))
    more = f" and {len(listed) - _MOST_LISTED} more" if listed[_MOST_LISTED:] else ""
    given = ", ".join(
        f"{role}=data[{name!r}]" for role, name in _roles(headers).items() if name is not None
    )
    return (
        f"{path}: holds no array {wanted}; it holds "
        f"{', '.join(listed[:_MOST_LISTED])}{more}. Call the images x_train, as by data = "
        f"numpy.load({path.name!r}); numpy.savez('images.npz', {given or 'x_train=...'})."
    )


def _roles(headers: dict[str, safe_npz.Header]) -> dict[str, str | None]:
    """Which arrays look like images and like their labels."""
    images = next((name for name, each in headers.items() if len(each.shape) in (3, 4)), None)
    count = headers[images].shape[:1] if images else None
    labels = next((name for name, each in headers.items() if each.shape == count), None)
    return {"x_train": images, "y_train": labels}


def to_uint8(images: np.ndarray, where: str) -> np.ndarray:
    """Brings images to the form that a data set keeps.

    Args:
        images: [N, H, W] or [N, H, W, C]; whole numbers from 0 to 255, floats in [0, 1], or bool,
            where True is white.
        where: names the array in an error.

    Returns:
        uint8 [N, H, W, C], contiguous.

    Raises:
        UserError: if the array has another form.
    """
    order = _order_to_mend(images.shape)
    if order or images.ndim not in (3, 4):
        raise UserError(
            f"{where} has the shape {images.shape}; it must be [N, H, W] or [N, H, W, C].{order}"
        )
    if images.size == 0:
        raise UserError(f"{where} is empty (shape {images.shape}).")
    images = np.ascontiguousarray(_levels(images, where))
    return images if images.ndim == 4 else images[..., np.newaxis]


def _order_to_mend(shape: tuple[int, ...]) -> str:
    """Says how an array [N, H, W, C] is had of one whose shape looks like another order of it."""
    if len(shape) == 2 and shape[1] >= _SMALLEST_FLAT:
        side = math.isqrt(shape[1])
        sides = f"{side}, {side}" if side**2 == shape[1] else "height, width"
        return f" Its rows seem to be images: x.reshape(-1, {sides})."
    if len(shape) != 4 or shape[3] in _CHANNELS:
        return ""
    if shape[1] in _CHANNELS:
        return " Its channels come first ([N, C, H, W]): np.moveaxis(x, 1, -1)."
    if shape[2] in _CHANNELS:
        return " Its images come last ([H, W, C, N]): np.moveaxis(x, -1, 0)."
    return ""


def _levels(images: np.ndarray, where: str) -> np.ndarray:
    """Makes the 256 grey levels of any values that can mean them."""
    kind = images.dtype.kind
    if kind == "b":
        return images.astype(np.uint8) * 255
    if kind == "f":
        low, high = float(np.min(images)), float(np.max(images))
        if not (low >= 0 and high <= 1):  # also true for NaN
            raise UserError(
                f"{where} has floats from {low} to {high}; they must lie in [0, 1], without NaN."
                f"{_range_to_mend(low, high)}"
            )
        return np.rint(images * 255).astype(np.uint8)
    if kind not in "iu":
        raise UserError(
            f"{where} is {images.dtype}; it must be uint8, whole numbers from 0 to 255, floats in "
            "[0, 1], or bool."
        )
    low, high = int(images.min()), int(images.max())
    if low < 0 or high > 255:
        raise UserError(
            f"{where} has values from {low} to {high}; they must lie in 0 to 255, or be floats in "
            f"[0, 1].{_range_to_mend(low, high)}"
        )
    if high == 1:
        raise UserError(
            f"{where} is {images.dtype} with values 0 and 1 only; white must be 255: x * 255."
        )
    return images.astype(np.uint8, copy=False)


def _range_to_mend(low: float, high: float) -> str:
    """Says how values become floats in [0, 1], as far as their range tells."""
    if not math.isfinite(high - low):
        return ""
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return " Cut them off: np.clip(x, 0, 1)."
    if -1 <= low < 0 and high <= 1:
        return " If they are from -1 to 1: (x + 1) / 2."
    if low < 0:
        return f" Scale them: (x - {low:g}) / {high - low:g}.".replace("- -", "+ ")
    largest = next((each for each in _LARGEST_LEVELS if high <= each), high)
    return f" Scale them: x / {largest:g}, or by what is white in them."
