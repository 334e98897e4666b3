"""Features of images, in which distances between sets of images are measured."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.data.batches import batch_slices
from cvae_tf.data.datasets import Dataset
from cvae_tf.data.labels import MOST_CLASSES


class Features(NamedTuple):
    """Maps images to features, and says which ones they are."""

    name: str  # in `FEATURES`
    title: str  # for people: "those of a classifier of ... (99.0 % of the test images right)"
    function: Callable[[tf.Tensor], tf.Tensor]  # float32 [B, H, W, C] in [0, 1] -> [B, F]

    def of(self, images: Any) -> np.ndarray:
        """Finds the features of images.

        Args:
            images: uint8 [N, H, W, C], also from the disk, or float32 in [0, 1].

        Returns:
            float32 [N, F].
        """
        return self.of_parts(images[own] for own in batch_slices(len(images), images.shape[1:]))

    def of_rows(self, images: Any, rows: np.ndarray) -> np.ndarray:
        """Finds the features of the images of some numbers, a part in memory at a time."""
        return self.of_parts(images[rows[own]] for own in batch_slices(len(rows), images.shape[1:]))

    def of_parts(self, parts: Iterable[np.ndarray]) -> np.ndarray:
        """Finds the features of images that come some at a time."""
        return np.concatenate([self.function(_grey(part)).numpy() for part in parts])


def _grey(images: np.ndarray | tf.Tensor) -> tf.Tensor:
    images = tf.convert_to_tensor(images)
    return tf.cast(images, tf.float32) / 255 if images.dtype == tf.uint8 else images


def has_classes(dataset: Dataset) -> bool:
    """Whether the labels are such that a classifier can be trained: classes, not values."""
    train, test = dataset.train.labels, dataset.test.labels
    if train is None or test is None or train.dtype.kind == "f":
        return False
    return 2 <= len(np.unique(train)) <= min(MOST_CLASSES, len(train) // 2)
