"""Labels as classes: numbers, and the names that they stand for.

Only here labels become numbers: those of arrays, of folders, of a conditional model.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import listed
from cvae_tf.core.terminal import say, warn

CLASS_NAMES = "class_names"  # the array in a file that holds them
MOST_CLASSES = 1000  # more different labels are values rather than classes
MOST_LISTED = 20  # classes in a message


def composed(name: str) -> str:
    """A name that can be compared: some systems write letters and their accents apart."""
    return unicodedata.normalize("NFC", name)


def are_classes(labels: np.ndarray | None) -> bool:
    """Whether labels [N] can be classes rather than values."""
    if labels is None or labels.dtype.kind not in "biu":
        return False
    return len(np.unique(labels)) <= MOST_CLASSES


def warn_of_gaps(train: np.ndarray, test: np.ndarray, names: Sequence[str] | None) -> None:
    """Warns of classes that only one of two splits has, given their labels, [N], and names."""
    for one, other, what in (
        (test, train, "for training is of these classes of the test images"),
        (train, test, "for testing is of these classes"),
    ):
        if len(labels := np.setdiff1d(one, other)):
            missing = [names[label] if names else str(label) for label in labels]
            warn(f"No image {what}: {listed(missing)}.")


def read_labels(
    given: dict[str, tuple[np.ndarray | None, int]], class_names: np.ndarray | None, prefix: str
) -> tuple[list[np.ndarray | None], tuple[str, ...] | None]:
    """Brings labels to one form: numbers, with the names of the classes if they have any.

    Args:
        given: for each array name the labels of N images, [N] or [N, 1], numbers or texts, or
            one-hot, [N, Y], or None; and N.
        class_names: texts, [Y], or None; without them texts are their own names, sorted.
        prefix: the file and a colon, for error messages; empty for arrays in memory.

    Returns:
        The labels, each [N], and the names of the classes. With names, labels are int64 from 0 to
        Y - 1; without, whole floats are whole numbers, and others are as they were.

    Raises:
        UserError: if the labels or the names are not valid.
    """
    labels = [
        None if own is None else one_of_each(own, num, f"{prefix}{name}")
        for name, (own, num) in given.items()
    ]
    known = [own for own in labels if own is not None]
    if class_names is not None and known:
        names = _check_names(class_names, known, prefix)
    elif any(_are_texts(own) for own in known):
        names = np.unique(np.concatenate([_texts(own) for own in known]))
        labels = [None if own is None else np.searchsorted(names, _texts(own)) for own in labels]
    else:
        return labels, None
    return [None if own is None else own.astype(np.int64) for own in labels], tuple(names.tolist())


def one_of_each(labels: np.ndarray, num_images: int, where: str) -> np.ndarray:
    """Checks that there is a label for each image, [N], [N, 1], or one-hot, [N, Y].

    Returns:
        The labels, [N]. One-hot ones become numbers, which is said; whole floats whole numbers.

    Raises:
        UserError: if they are anything else; `where` names them.
    """
    if labels.dtype.kind not in "biufUS":
        raise UserError(f"{where} is {labels.dtype}; labels must be numbers, texts or one-hot.")
    if labels.ndim == 2 and labels.shape[1] > 1 and _are_one_hot(labels):
        say(f"{where}: one-hot, taken as the numbers of {labels.shape[1]:,} classes.")
        labels = labels.argmax(axis=1)
    if labels.shape not in ((num_images,), (num_images, 1)):
        raise UserError(
            f"{where} has the shape {labels.shape}; it must be one label for each of "
            f"the {num_images} images."
        )
    labels = labels.reshape(num_images)
    if labels.dtype.kind != "f":
        return labels
    with np.errstate(invalid="ignore"):  # for what cannot be a whole number, such as NaN
        whole = labels.astype(np.int64)
    return whole if np.array_equal(whole, labels) else labels


def _are_one_hot(labels: np.ndarray) -> bool:
    """Whether each row of [N, Y] is zeros and a single one."""
    if labels.dtype.kind not in "biuf":
        return False
    return bool(np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(axis=1) == 1))


def _check_names(class_names: np.ndarray, labels: list[np.ndarray], prefix: str) -> np.ndarray:
    """Refuses what cannot be class names, and labels that are not numbers of classes."""
    if class_names.ndim != 1 or not class_names.size or not _are_texts(class_names):
        raise UserError(
            f"{prefix}{CLASS_NAMES} is {class_names.dtype} of shape {class_names.shape}; it must "
            "be texts, one for each class."
        )
    names = _texts(class_names)
    if len(set(names)) < len(names):
        raise UserError(f"{prefix}{CLASS_NAMES} has names more than once.")
    for own in labels:
        if own.dtype.kind not in "iu" or own.min() < 0 or own.max() >= len(names):
            raise UserError(
                f"{prefix}labels go from {own.min()} to {own.max()} ({own.dtype}); with "
                f"{len(names)} {CLASS_NAMES} they must be whole numbers from 0 to {len(names) - 1}."
            )
    return names


def _are_texts(array: np.ndarray) -> bool:
    return array.dtype.kind in "US"


def _texts(array: np.ndarray) -> np.ndarray:
    """The values of an array as texts that can be compared."""
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    return np.array([composed(text) for text in array.astype(str).tolist()])


def number_classes(
    train: np.ndarray, test: np.ndarray, names: tuple[str, ...] | None
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[str, ...]]:
    """Turns labels into class numbers, as a conditional model needs them.

    Args:
        train: the labels of the images for training, [N].
        test: those of the images for testing.
        names: of the classes, if the labels are their numbers; None if labels are of any kind.

    Returns:
        Both as int64 from 0 to Y - 1, and the Y names, which by default are the labels as texts.

    Raises:
        UserError: if there are too few or too many classes, or one has no training images.
    """
    classes = np.unique(train)
    labels = classes.tolist() if names is None else names
    if len(labels) < 2:
        raise UserError(
            f"--conditional: all images are of one class ({labels[0]}); it takes two or more."
        )
    if train.dtype.kind == "f" or len(labels) > MOST_CLASSES:
        raise UserError(
            f"--conditional: the images have {len(labels)} different labels ({labels[0]}, "
            f"{labels[1]}, ...); these are values, not classes."
        )
    if names is not None:
        if len(unseen := np.setdiff1d(np.arange(len(names)), classes)):
            raise UserError(f"--conditional: no training image is of the class {names[unseen[0]]}.")
        return (train, test), names
    if len(unseen := np.setdiff1d(test, classes)):
        raise UserError(
            f"--conditional: a test image has the label {unseen[0]}, which no training image has."
        )
    numbers = np.searchsorted(classes, train), np.searchsorted(classes, test)
    return numbers, tuple(str(label) for label in labels)


def class_number(label: str, class_names: tuple[str, ...]) -> int | None:
    """The number of a class, given its name, or its number if no class has such a name."""
    names = [composed(name) for name in class_names]
    if composed(label) in names:
        return names.index(composed(label))
    is_number = label.isdecimal() and int(label) < len(class_names)
    return int(label) if is_number else None


def find_classes(labels: np.ndarray, class_names: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """Looks up labels among the classes of a model, by `class_number`.

    Returns:
        Their numbers, int32, of the shape of the labels; and the labels that are unknown, sorted.
    """
    texts, places = np.unique(labels.astype(str), return_inverse=True)
    numbers = [class_number(text, class_names) for text in texts.tolist()]
    unknown = [str(text) for text, each in zip(texts, numbers, strict=True) if each is None]
    known = np.array([-1 if each is None else each for each in numbers], np.int32)
    return known[places].reshape(labels.shape), unknown
