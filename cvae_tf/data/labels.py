"""Labels as classes: numbers, and the names that they stand for.

Here alone labels of any kind become numbers: those of arrays, of folders, of a conditional model.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import listed
from cvae_tf.core.terminal import warn

CLASS_NAMES = "class_names"  # the array of a file that holds them
MOST_CLASSES = 1000  # of more different labels each is a value rather than a class
MOST_LISTED = 20  # classes in a message
_LARGEST_WHOLE_FLOAT = 2.0**53  # beyond it floats cannot tell whole numbers from their neighbours


def composed(name: str) -> str:
    """A name as it can be compared: some systems write letters and their accents apart."""
    return unicodedata.normalize("NFC", name)


def to_labels(labels: np.ndarray | None, num_images: int, where: str) -> np.ndarray | None:
    """Brings labels to the form that a data set keeps.

    Args:
        labels: one for each image, [N] or [N, 1] as Keras stores those of CIFAR-10; or None.
        num_images: N.
        where: names the array in an error.

    Returns:
        [N], of whole numbers where all floats are whole; None if there are none.

    Raises:
        UserError: if there are not as many labels as images.
    """
    if labels is None:
        return None
    if labels.shape not in ((num_images,), (num_images, 1)):
        raise UserError(
            f"{where} has the shape {labels.shape}; it must be one label for each of "
            f"the {num_images} images."
        )
    labels = labels.reshape(num_images)
    return labels.astype(np.int64) if _are_whole_floats(labels) else labels


def _are_whole_floats(labels: np.ndarray) -> bool:
    if labels.dtype.kind != "f":
        return False
    values = labels.astype(np.float64)
    is_exact = np.all(np.abs(values) <= _LARGEST_WHOLE_FLOAT)  # false for NaN
    return bool(is_exact and np.all(values == np.rint(values)))


def are_classes(labels: np.ndarray | None) -> bool:
    """Whether labels [N] can be classes rather than values."""
    if labels is None or labels.dtype.kind not in "biu":
        return False
    return len(np.unique(labels)) <= MOST_CLASSES


def warn_of_gaps(train: np.ndarray, test: np.ndarray, names: Sequence[str] | None) -> None:
    """Warns of classes that only one of the two splits has.

    Args:
        train: the labels of the images for training, [N].
        test: those of the images for testing.
        names: of the classes; None if labels are their own names.
    """
    untrained, untested = np.setdiff1d(test, train), np.setdiff1d(train, test)
    warnings = [
        f"No image {purpose} is of these classes{where}: "
        f"{listed([names[label] if names else str(label) for label in labels])}."
        for labels, purpose, where in (
            (untrained, "for training", " of the test images"),
            (untested, "for testing", ""),
        )
        if len(labels)
    ]
    if warnings:
        warn(" ".join(warnings))


def name_classes(
    labels: Sequence[np.ndarray | None],
    class_names: np.ndarray | None,
    where: str,
    as_before: bool = False,
) -> tuple[list[np.ndarray | None], tuple[str, ...] | None]:
    """Brings labels to one form: numbers, with the names of the classes if they have any.

    Args:
        labels: of the parts of a data set, each [N], numbers or texts, or None.
        class_names: texts, [Y], or None; without them texts are their own names, sorted.
        where: the file, for an error.
        as_before: whether names that differ in nothing but how accents are written are of two
            classes, as in older versions.

    Returns:
        The labels of the parts, and the names of the classes. With names, labels are int64 from 0
        to Y - 1; without, they are as they were.

    Raises:
        UserError: if the names are not texts, each another, or a label is not the number of one.
    """
    given = [part for part in labels if part is not None]
    if not given:
        return list(labels), None
    if class_names is not None:
        names = _checked_names(class_names, f"{where}: {CLASS_NAMES}", as_before)
        return [_checked(part, len(names), where) for part in labels], names
    if not any(_are_texts(part) for part in given):
        return list(labels), None
    texts = np.concatenate([_texts(part, where, as_before) for part in given])
    names, numbers = np.unique(texts, return_inverse=True)
    ends = np.cumsum([len(part) for part in given])[:-1]
    parts = iter(np.split(numbers.astype(np.int64), ends))
    return [None if part is None else next(parts) for part in labels], tuple(names.tolist())


def _checked_names(class_names: np.ndarray, where: str, as_before: bool) -> tuple[str, ...]:
    if class_names.ndim != 1 or not class_names.size or not _are_texts(class_names):
        raise UserError(
            f"{where} is {class_names.dtype} of shape {class_names.shape}; it must be texts, one "
            "for each class."
        )
    texts = _texts(class_names, where, as_before)
    names, counts = np.unique(texts, return_counts=True)
    if counts.max() > 1:
        raise UserError(f"{where} has '{names[counts.argmax()]}' more than once.")
    return tuple(texts.tolist())


def _checked(labels: np.ndarray | None, num: int, where: str) -> np.ndarray | None:
    """Makes int64 of labels, all of which must be numbers of classes."""
    if labels is None:
        return None
    wanted = f"with {num} {CLASS_NAMES} they must be whole numbers from 0 to {num - 1}."
    if labels.dtype.kind not in "iu":
        raise UserError(f"{where}: has labels of {labels.dtype}; {wanted}")
    if labels.min() < 0 or labels.max() >= num:
        raise UserError(f"{where}: has labels from {labels.min()} to {labels.max()}; {wanted}")
    return labels.astype(np.int64)


def _are_texts(array: np.ndarray) -> bool:
    return array.dtype.kind in "US"


def _texts(array: np.ndarray, where: str, as_before: bool) -> np.ndarray:
    """The values of an array as texts that can be written."""
    if array.dtype.kind == "S":
        texts = [value.decode(errors="replace") for value in array.tolist()]
    else:
        try:
            texts = array.astype(str).tolist()
        except (ValueError, SystemError) as error:  # numbers that are no letters
            raise UserError(f"{where}: has texts that cannot be read ({error}).") from error
        texts = [text.encode(errors="replace").decode() for text in texts]
    return np.array(texts if as_before else [composed(text) for text in texts])


def sort_classes(labels: np.ndarray, names: Sequence[Any]) -> tuple[np.ndarray, list[Any]]:
    """Numbers classes anew in the order of their names.

    Args:
        labels: int64 [N], numbers into the names; -1 for what is in no class, which stays.
        names: of the classes, [Y], in any order.

    Returns:
        The labels, and the names in their order.
    """
    order = sorted(range(len(names)), key=names.__getitem__)
    number_of = np.full(len(names) + 1, -1, np.int64)  # the last one for those without a class
    number_of[order] = np.arange(len(order))
    return number_of[labels], [names[each] for each in order]


def leave_out_unused(
    labels: np.ndarray, names: Sequence[str], rows: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers anew the classes that some rows, int [M], have; labels of other rows may be any.

    Returns:
        The labels of all rows, int64 [N], and the names of these classes.
    """
    used = np.unique(labels[rows])
    return np.searchsorted(used, labels), tuple(names[label] for label in used)


def number_classes(
    train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Makes labels of any kind, without names, numbers of the classes of the training images.

    Args:
        train: the labels of the images for training, [N].
        test: those of the images for testing.

    Returns:
        Both as int64 from 0 to Y - 1, and the Y names: the labels as texts, in their order.

    Raises:
        UserError: if there are too many different ones to be classes, or one of the test images is
            of a class that no training image has.
    """
    classes = _classes_of(train)
    names = tuple(str(label) for label in classes.tolist())
    return _numbers(train, classes), _numbers(test, classes), names


def check_named(labels: np.ndarray, names: tuple[str, ...]) -> None:
    """Raises a UserError if there are too few or too many classes, or one is never trained.

    Args:
        labels: of the images for training, int64 [N], from 0 to Y - 1.
        names: of the classes, [Y].
    """
    _check_number(len(names), names)
    counts = np.bincount(labels, minlength=len(names))
    if not counts.all():
        raise UserError(
            f"--conditional: no training image is of the class {names[int(counts.argmin())]}."
        )


def _check_number(count: int, labels: Sequence[Any]) -> None:
    if count < 2:
        raise UserError(
            f"--conditional: all images are of one class ({labels[0]}); it takes two or more."
        )
    if count > MOST_CLASSES:
        some = ", ".join(str(label) for label in labels[:2])
        raise UserError(
            f"--conditional: the images have {count} different labels ({some}, ...); these are "
            "values, not classes."
        )


def _classes_of(labels: np.ndarray) -> np.ndarray:
    """The different labels, sorted."""
    classes = np.unique(labels)
    if labels.dtype.kind == "f":
        raise UserError(
            f"--conditional: the labels are numbers with fractions ({classes[0]}, ...); these are "
            "values, not classes."
        )
    _check_number(len(classes), classes.tolist())
    return classes


def _numbers(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The numbers of labels [N] in their classes [Y]."""
    numbers = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    is_known = classes[numbers] == labels
    if not is_known.all():
        raise UserError(
            f"--conditional: a test image has the label {labels[~is_known][0]}, which no training "
            "image has."
        )
    return numbers.astype(np.int64)


def class_number(label: str, class_names: tuple[str, ...]) -> int | None:
    """The number of a class by its name, or if none is called so, by that number itself."""
    names = [composed(name) for name in class_names]  # a run of an older version has both forms
    if composed(label) in names:
        return class_names.index(label) if label in class_names else names.index(composed(label))
    is_number = label.isdecimal() and int(label) < len(class_names)
    return int(label) if is_number else None
