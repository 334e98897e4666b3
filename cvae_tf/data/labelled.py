"""Labels as a conditional model takes them: numbers of classes, each of which has a name."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import listed
from cvae_tf.data.classes import MOST_CLASSES, composed
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.given_images import Images

MOST_LISTED = 20  # classes in a message


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
        _check_named(dataset)
        return dataset
    classes = _classes_of(dataset.train.labels)
    splits = (
        Split(split.images, _numbers(split.labels, classes))
        for split in (dataset.train, dataset.test)
    )
    names = tuple(str(label) for label in classes.tolist())
    train, test = splits
    return dataset._replace(train=train, test=test, class_names=names)


def fingerprint_of_labels(dataset: Dataset) -> str:
    """SHA-256 of the classes of all images and of their names, by which they are known again."""
    digest = hashlib.sha256(json.dumps(dataset.class_names).encode())
    for split in (dataset.train, dataset.test):
        digest.update(split.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _check_named(dataset: Dataset) -> None:
    """Raises a UserError if there are too few or too many classes, or one is never trained."""
    names = dataset.class_names
    _check_number(len(names), names)
    counts = np.bincount(dataset.train.labels, minlength=len(names))
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


def class_numbers(images: Images, class_names: tuple[str, ...]) -> np.ndarray:
    """Finds the classes of images as a conditional model takes them.

    Args:
        images: N images given to the model.
        class_names: of the model, [Y].

    Returns:
        int32 [N], from 0 to Y - 1.

    Raises:
        UserError: if the images have no labels, or others than the model knows.
    """
    if images.labels is None:
        raise UserError(
            "This model is a conditional one and needs labelled images, such as an .npz with "
            "y_test, or a folder for each class."
        )
    shown = images.shown_labels.astype(str).tolist()
    number_of = {label: class_number(label, class_names) for label in dict.fromkeys(shown)}
    for label, number in number_of.items():
        if number is None:
            raise UserError(
                f"{images.origin}: has the label {label}, which the model does not know; it knows "
                f"{listed(class_names, MOST_LISTED)}."
            )
    return np.array([number_of[label] for label in shown], np.int32)


def class_number(label: str, class_names: tuple[str, ...]) -> int | None:
    """The number of a class by its name, or if none is called so, by that number itself."""
    names = [composed(name) for name in class_names]  # a run of an older version has both forms
    if composed(label) in names:
        return class_names.index(label) if label in class_names else names.index(composed(label))
    is_number = label.isdecimal() and int(label) < len(class_names)
    return int(label) if is_number else None
