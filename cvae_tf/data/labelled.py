"""Labels as a conditional model takes them: numbers of classes, each of which has a name."""

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.given_images import Images

MOST_CLASSES = 1000


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
        return dataset
    classes = _classes_of(dataset.train.labels)
    splits = (
        Split(split.images, _numbers(split.labels, classes))
        for split in (dataset.train, dataset.test)
    )
    names = tuple(str(label) for label in classes.tolist())
    train, test = splits
    return dataset._replace(train=train, test=test, class_names=names)


def _classes_of(labels: np.ndarray) -> np.ndarray:
    """The different labels, sorted."""
    classes = np.unique(labels)
    if len(classes) > MOST_CLASSES or labels.dtype.kind == "f":
        raise UserError(
            f"--conditional: the images have {len(classes)} different labels ({classes[0]}, "
            f"{classes[1]}, ...); these are values, not classes."
        )
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
    numbers = {name: number for number, name in enumerate(class_names)}
    texts = images.shown_labels.astype(str).tolist()
    unknown = sorted(set(texts) - set(numbers))
    if unknown:
        raise UserError(
            f"{images.origin}: has the label {unknown[0]}, which the model does not know; it knows "
            f"{listed(class_names)}."
        )
    return np.array([numbers[text] for text in texts], np.int32)


def listed(names: tuple[str, ...], most: int = 20) -> str:
    """Names the classes, but not hundreds of them."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
