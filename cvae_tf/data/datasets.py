"""Data sets: what one is, and how one is made of arrays, in a file of the user's or in memory.

Such a file is an .npz with the arrays of Keras' MNIST, or an .npy of images.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.files import read_npz
from cvae_tf.core.paths import absolute, listed, printable, refuse_missing
from cvae_tf.data.batches import aligned
from cvae_tf.data.inspection import margin_brightness
from cvae_tf.data.labels import CLASS_NAMES, are_classes, number_classes, read_labels, warn_of_gaps
from cvae_tf.data.pictures import ARCHIVES, IN_MEMORY, SUFFIXES, Form

_ARRAYS = ("x_train", "y_train", "x_test", "y_test", CLASS_NAMES)
_LONGEST_BEGINNING = 512  # bytes of a file
_HELD_OUT = 0.1  # part of what is not split
_MOST_CHANNELS = 4  # no image is as small as that


class Split(NamedTuple):
    """Images of one purpose, and their labels."""

    images: np.ndarray  # uint8 [N, H, W, C]; or `MappedImages`, which stay in their file
    labels: np.ndarray | None  # [N]


class Dataset(NamedTuple):
    """What a model is trained and tested on."""

    name: str  # for titles, such as MNIST, or "pictures" for a folder of the user's
    origin: str  # where the images came from, a sentence for people
    train: Split
    test: Split
    licence: str = "that of the images, which are not part of cvae-tf"
    key: str | None = None  # the name in `loading.DATASETS`; None for a file of the user's
    class_names: tuple[str, ...] | None = None  # labels are then int64 numbers into it
    sha256: str | None = None  # what `fingerprint` says, if it is known without reading the images
    margins: float | None = None  # `margin_brightness` of the images, if it is known
    form: Form | None = None  # how its pictures became pixels; None if they were arrays
    test_names: list[str] | None = None  # of the files of the test images, if they were pictures

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
    known = dataset.margins
    return margin_brightness(dataset.train.images) if known is None else known


def with_classes(dataset: Dataset) -> Dataset:
    """Makes the labels of a data set, of any kind, int64 from 0 to Y - 1, with Y `class_names`.

    Raises:
        UserError: if images have no labels, or these are no classes that can be learned.
    """
    train, test = dataset.train, dataset.test
    if train.labels is None or test.labels is None:
        what = "training" if train.labels is None else "test"
        raise UserError(
            f"--conditional: the {what} images ({dataset.name}) have no labels; give y_train "
            "and y_test, or a folder for each class."
        )
    labels, names = number_classes(train.labels, test.labels, dataset.class_names)
    train, test = (
        part._replace(labels=own) for part, own in zip((train, test), labels, strict=True)
    )
    return dataset._replace(train=train, test=test, class_names=names)


def fingerprint_of_labels(dataset: Dataset) -> str:
    """SHA-256 of the classes of all images and of their names, by which they are known again."""
    digest = hashlib.sha256(json.dumps(dataset.class_names).encode())
    for split in (dataset.train, dataset.test):
        digest.update(split.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def load_npz(path: str | Path, seed: int = 0) -> Dataset:
    """Reads images, and labels if there are any, from an .npz, or images alone from an .npy.

    Args:
        path: the file; `~` is the home directory. Its images are [N, H, W] or [N, H, W, C], of the
            values that `to_uint8` takes; its labels [N] or [N, 1], as numbers or texts; its
            `class_names` are texts [Y], then labels are numbers from 0 to Y - 1.
        seed: decides which tenth is held out if there is no `x_test`.

    Raises:
        UserError: if the file does not hold such arrays.
    """
    path = Path(absolute(path))
    return from_arrays(read_arrays(path, _ARRAYS, ["x_train"]), seed, path)


def from_arrays(arrays: dict[str, np.ndarray], seed: int, path: Path | None = None) -> Dataset:
    """Makes a data set of arrays, as `load_npz` does, of a file or in memory."""
    prefix = f"{path}: " if path else ""
    parts = [part for part in ("train", "test") if f"x_{part}" in arrays]
    images = {part: to_uint8(arrays[f"x_{part}"], f"{prefix}x_{part}") for part in parts}
    given = {f"y_{part}": (arrays.get(f"y_{part}"), len(each)) for part, each in images.items()}
    labels, class_names = read_labels(given, arrays.get(CLASS_NAMES), prefix)
    splits = [Split(*each) for each in zip(images.values(), labels, strict=True)]
    name, key = (in_quotes(path), None) if path else ("arrays given in Python", IN_MEMORY)
    origin, held_out = printable(path) if path else name, ""
    if len(splits) == 1:
        splits = hold_out(splits[0], seed, f"{prefix}x_train")
        held_out = ", a tenth of x_train held out for testing"
    train, test = (Split(aligned(split.images), split.labels) for split in splits)
    if train.images.shape[1:] != test.images.shape[1:]:
        shapes = f"{train.images.shape[1:]}, x_test of {test.images.shape[1:]}"
        raise UserError(f"{prefix}x_train has images of shape {shapes}; they must agree.")
    if are_classes(train.labels) and are_classes(test.labels):
        warn_of_gaps(train.labels, test.labels, class_names)
    origin = f"{origin}{held_out}."
    return Dataset(name, origin, train, test, key=key, class_names=class_names)


def in_quotes(path: Path) -> str:
    """Names a file or folder of the user's so that it reads as a name in any sentence."""
    return f'"{printable(path.name or path)}"'


def training_arrays(
    x_train: Any, y_train: Any, x_test: Any, y_test: Any, class_names: Any
) -> dict[str, np.ndarray]:
    """Makes the arrays of a data set, by name, of what is in memory; none if nothing was given.

    Raises:
        UserError: if they cannot be arrays, or something is missing beside them.
    """
    arrays = as_arrays(x_train, y_train, ("x_train", "y_train"))
    tests = as_arrays(x_test, y_test, ("x_test", "y_test"))
    if tests and not arrays:
        raise UserError("x_test is given without x_train.")
    if class_names is not None and "y_train" not in arrays:
        raise UserError("class_names is given without y_train.")
    names = {} if class_names is None else {CLASS_NAMES: _array_of(class_names, CLASS_NAMES)}
    return {**arrays, **tests, **names}


def as_arrays(images: Any, labels: Any, names: tuple[str, str]) -> dict[str, np.ndarray]:
    """Makes arrays of images and labels in memory, by their names; none if there are no images.

    Args:
        images: an array or tensor, a list, or a `tf.data.Dataset` of images or of images with
            labels, in batches or not; None for none.
        labels: the same of labels, or None.
        names: what the two are called, also in errors.

    Raises:
        UserError: if they cannot be arrays.
    """
    if images is None and labels is not None:
        raise UserError(f"{names[1]} is given without {names[0]}.")
    if images is None:
        return {}
    if isinstance(images, tf.data.Dataset):
        images, own = _read_tf_dataset(images, names[0])
        if own and labels is not None:
            raise UserError(f"{names[0]} has labels of its own; leave {names[1]} out.")
        labels = own or labels
    arrays = {names[0]: _array_of(images, names[0])}
    if (shape := arrays[names[0]].shape)[2:] and len(shape) == 3 and shape[2] <= _MOST_CHANNELS:
        raise UserError(
            f"{names[0]} has the shape {shape}, that of one image; {names[0]}[np.newaxis] is an "
            "array of it."
        )
    return arrays if labels is None else {**arrays, names[1]: _array_of(labels, names[1])}


def _array_of(given: Any, name: str) -> np.ndarray:
    """Makes an array of what holds images or labels in memory."""
    if isinstance(given, tf.data.Dataset):
        given, _ = _read_tf_dataset(given, name)
    if not isinstance(given, list | tuple) and not hasattr(given, "__array__"):
        path = "; a file or a folder is given by data_path" if isinstance(given, str | Path) else ""
        kind = type(given).__name__
        raise UserError(f"{name} is a {kind}; give an array, a list or a tf.data.Dataset{path}.")
    try:
        parts = [np.asarray(each) for each in given] if isinstance(given, list | tuple) else []
        array = np.stack(parts) if parts else np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(given).__name__
        raise UserError(f"{name} is a {kind} whose parts differ in their shape.") from error
    if array.dtype.kind == "O" and array.size and hasattr(array.flat[0], "__array__"):
        return _array_of(array.tolist(), name)  # such as a column of a table
    are_texts = array.dtype.kind == "O" and all(isinstance(each, str) for each in array.flat)
    return array.astype(str) if are_texts else array


def _read_tf_dataset(dataset: tf.data.Dataset, name: str) -> tuple[list, list]:
    """Takes the images, one by one, and the labels, if there are any, out of a data set."""
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise UserError(f"{name} has no end; leave repeat() out, or give {name}.take(...).")
    spec = dataset.element_spec
    specs = spec if isinstance(spec, tuple) else (spec,)
    if len(specs) > 2 or not all(isinstance(each, tf.TensorSpec) for each in specs):
        raise UserError(
            f"{name}: its elements must be images or (image, label); one of dictionaries becomes "
            f"so by {name}.map(lambda each: (each['image'], each['label']))."
        )
    found: tuple[list, list] = [], []
    try:
        for element in dataset.as_numpy_iterator():
            own = element if isinstance(spec, tuple) else (element,)
            shape = own[0].shape
            is_batch = len(shape) == 4 or (len(shape) == 3 and shape[2] > _MOST_CHANNELS)
            for values, each in zip(found, own, strict=False):
                values.extend(each if is_batch else [each])
    except tf.errors.OpError as error:
        reason = str(error.message).partition("\n")[0]
        raise UserError(f"{name}: cannot be read to its end ({reason}).") from error
    return found


def hold_out(split: Split, seed: int, where: str) -> tuple[Split, Split]:
    """Holds a tenth of images out for testing, by a seed, but of no class the last one.

    Returns:
        The images for training, and those for testing, at least one.

    Raises:
        UserError: if there is one image only; it says `where`.
    """
    if len(split.images) < 2:
        raise UserError(f"{where} has one image; with none for testing at least 2 are needed.")
    order = np.random.default_rng(seed).permutation(len(split.images))
    held_out = _tenth_of(order, split.labels if are_classes(split.labels) else None)

    def take(indices: np.ndarray) -> Split:
        labels = None if split.labels is None else split.labels[indices]
        return Split(split.images[indices], labels)

    return take(order[~np.isin(order, held_out)]), take(held_out)


def _tenth_of(order: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Takes the first tenth of N images in an order, int [N], at least one.

    Of each of their classes, [N], if there are any, the last image stays, if not each has but one.
    """
    num = max(1, round(len(order) * _HELD_OUT))
    if labels is not None:
        _, from_end = np.unique(labels[order][::-1], return_index=True)
        others = np.delete(order, len(order) - 1 - from_end)
        order = others if len(others) else order
    return order[:num]


def tenth_of_each_class(order: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Takes the first tenth of each class of N images in an order, int [N], by their labels, [N].

    If there are no classes, or all are too small, it is a tenth of all images, at least one.
    """
    groups = np.zeros(len(order), np.int64) if labels is None else labels
    sizes = np.bincount(groups)
    quotas = np.rint(sizes * _HELD_OUT).astype(np.int64)
    if not quotas.any():
        return _tenth_of(order, labels)
    order = order[np.argsort(groups[order], kind="stable")]  # class by class
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(order)) - starts[groups[order]]  # within its class
    return order[rank < quotas[groups[order]]]


def read_arrays(path: Path, names: Sequence[str], images: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads arrays by name, of which one at least has images.

    Args:
        path: an .npz, or an .npy, whose one array is then called by the last of `images`.
        names: of the arrays that are looked at.
        images: those of them that may be the images, any of which will do.

    Returns:
        The arrays that are there, by name.

    Raises:
        UserError: if it is another kind of file, holds none of `images`, or is damaged.
    """
    _refuse_other_kinds(path)
    arrays = read_npz(path, names, lone=images[-1])
    if set(images) & set(arrays):
        return arrays
    with np.load(path) as held:
        names = held.files
    raise UserError(
        f"{path}: holds no array {' or '.join(images)}; it holds {listed(names) or 'none at all'}. "
        f"Call the images x_train and the labels y_train, as by data = numpy.load({path.name!r}); "
        f"numpy.savez('images.npz', x_train=data[{next(iter(names), 'NAME')!r}])."
    )


def _refuse_other_kinds(path: Path) -> None:
    """Refuses what is no .npz or .npy by how it begins, and says what to do with it."""
    refuse_missing(path)
    start, suffix = b"-", path.suffix.lower()  # of a pipe, which could be waited for without an end
    try:
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(_LONGEST_BEGINNING)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    is_packed = start.startswith(b"PK") and suffix not in ARCHIVES
    if not is_packed and not start.startswith(b"\x93NUMPY"):
        raise UserError(f"{path}: {_remedy(start, suffix)}.")


def _remedy(start: bytes, suffix: str) -> str:
    """Says what a file is that cannot be read, and what to do with it."""
    if not start:
        return "empty; it may not have been copied or downloaded to its end"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page; download the file itself, which this page may lead to"
    if suffix in ARCHIVES:
        return "an archive; unpack it, and give the folder, or the file that is in it"
    if suffix in SUFFIXES:
        return "one picture; give the folder that holds all of them"
    return (
        "not a picture, an .npz or .npy, or a damaged one; give a folder of pictures, or write "
        "its arrays by numpy.savez('images.npz', x_train=images, y_train=labels)"
    )


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
    shape = images.shape
    comes_channel_first = len(shape) == 4 and shape[1] <= _MOST_CHANNELS < shape[3]
    if len(shape) not in (3, 4) or comes_channel_first or images.size == 0:
        raise UserError(
            f"{where} has the shape {shape}; it must be [N, H, W] or [N, H, W, C], and not empty. "
            "x.reshape(-1, height, width) makes images of rows, np.moveaxis(x, 1, -1) puts "
            "channels last."
        )
    images = np.ascontiguousarray(_levels(images, where))
    return images if images.ndim == 4 else images[..., np.newaxis]


def _levels(images: np.ndarray, where: str) -> np.ndarray:
    """Makes the 256 grey levels of any values that can mean them."""
    kind = images.dtype.kind
    if kind == "b":
        return images.astype(np.uint8) * 255
    wanted = "it must be whole numbers from 0 to 255, floats in [0, 1] without NaN, or bool."
    if kind not in "fiu":
        raise UserError(f"{where} is {images.dtype}; {wanted}")
    low, high = images.min().item(), images.max().item()
    are_floats = kind == "f"
    is_in_range = low >= 0 and high <= (1 if are_floats else 255)  # false for NaN
    if not is_in_range or (high == 1 and not are_floats):
        raise UserError(
            f"{where} is {images.dtype} with values from {low:g} to {high:g}; {wanted} Divide by "
            "the level that is white, such as x / 255; of -1 to 1 take (x + 1) / 2, of 0 and 1 "
            "x * 255."
        )
    levels = np.rint(images * 255) if are_floats else images
    return levels.astype(np.uint8, copy=False)
