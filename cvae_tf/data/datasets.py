"""Data sets: what one is, and the SHA-256 of its images."""

import hashlib
import json
from typing import NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.data.labels import check_named, number_classes
from cvae_tf.data.pictures import Form

OWN_LICENCE = "that of the images, which are not part of cvae-tf"


class Split(NamedTuple):
    """Images of one purpose, and their labels."""

    images: np.ndarray  # uint8 [N, H, W, C]; or `StoredImages`, which reads it from disk
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


def margin_brightness(images: np.ndarray) -> float:
    """Tells images of bright things on black from images of dark things on white.

    Args:
        images: uint8 [N, H, W, C].

    Returns:
        The mean grey level of the outermost rows and columns: 0 if all are black, 1 if white.
    """
    margins = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    return float(np.mean([margin.mean() for margin in margins])) / 255


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
