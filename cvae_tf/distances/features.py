"""Features of images, in which distances between sets of images are measured.

Those of a network with random weights, always the same, are for images without labels. Those of the
Inception network of ImageNet are in Keras' weights: the FID of publications has other weights and
another way to enlarge images, so that these distances do not compare with it, and are not called
so.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import layer_seed
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.data.batches import batch_slices
from cvae_tf.data.datasets import Dataset
from cvae_tf.data.labels import MOST_CLASSES

_RANDOM_FILTERS = (32, 64, 64)
_RANDOM_SEED = 0
_INCEPTION_SIDE = 299
_INCEPTION_TITLE = "of the Inception network of ImageNet (Keras' weights)"


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


def load_random(dataset: Dataset) -> Features:
    """Makes the features for images of this shape."""
    network = build_random(dataset.image_shape)
    spec = tf.TensorSpec([None, *dataset.image_shape], tf.float32)
    function = tf.function(network, input_signature=[spec])
    return Features("random", "of a network with random weights, always the same", function)


@usual_settings()
def build_random(image_shape: tuple[int, int, int]) -> keras.Model:
    """Builds the network: strided convolutions, and the mean and spread of what each one finds."""
    images = keras.Input(image_shape)
    features, found = images - 0.5, []
    for number, filters in enumerate(_RANDOM_FILTERS):
        initializer = keras.initializers.Orthogonal(
            gain=2.0, seed=layer_seed(_RANDOM_SEED, "random_features", f"conv_{number}")
        )
        features = keras.layers.Conv2D(
            filters,
            4,
            strides=2,
            padding="same",
            activation="leaky_relu",
            kernel_initializer=initializer,
        )(features)
        mean = keras.ops.mean(features, axis=(1, 2))
        found += [mean, keras.ops.std(features, axis=(1, 2))]
    return keras.Model(images, keras.layers.Concatenate()(found))


@usual_settings()
def load_inception(dataset: Dataset) -> Features:
    """Loads Keras' weights from its cache, or downloads them.

    Raises:
        UserError: if they are neither there nor can be downloaded.
    """
    try:
        network = keras.applications.InceptionV3(include_top=False, pooling="avg")
    except Exception as error:  # a download fails in many ways
        raise UserError(
            "--features=inception: the weights are not in the Keras cache and cannot be downloaded "
            f"({str(error).partition(chr(10))[0] or type(error).__name__})."
        ) from error
    channels = dataset.image_shape[-1]

    def of_some(images: tf.Tensor) -> tf.Tensor:
        large = tf.image.resize(images, [_INCEPTION_SIDE, _INCEPTION_SIDE])
        colours = tf.image.grayscale_to_rgb(large) if channels == 1 else large
        return network(2 * colours - 1)

    spec = tf.TensorSpec([None, *dataset.image_shape], tf.float32)
    traced = tf.function(of_some, input_signature=[spec])

    def features(images: tf.Tensor) -> tf.Tensor:
        parts = batch_slices(
            len(images), (_INCEPTION_SIDE, _INCEPTION_SIDE)
        )  # as large as they become
        return tf.concat([traced(images[own]) for own in parts], axis=0)

    return Features("inception", _INCEPTION_TITLE, features)
