"""Labels as classes: numbers, and the names that they stand for."""

import unicodedata
from collections.abc import Sequence

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.messages import warn
from cvae_tf.core.paths import listed

CLASS_NAMES = "class_names"  # the array of a file that holds them
MOST_CLASSES = 1000  # of more different labels each is a value rather than a class

SomeLabels = Sequence[np.ndarray | None]


def composed(name: str) -> str:
    """A name as it can be compared: some systems write letters and their accents apart."""
    return unicodedata.normalize("NFC", name)


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
    labels: SomeLabels, class_names: np.ndarray | None, where: str, as_before: bool = False
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
