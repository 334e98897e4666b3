"""How far two sets of images are from each other by their features: Frechet, precision and recall.

Features are those of a network: with random weights, always the same, for images without labels;
or of a classifier, see `classifier.py`.

The Frechet distance is that between Gaussians: Heusel et al., "GANs trained by a two time-scale
update rule" (2017), equation 6. It is never called FID here, which is a distance in the features of
one published network. Precision and recall say how many drawn images look real, and how much of
what is real is drawn: Kynkaanniemi et al., "Improved precision and recall metric for assessing
generative models" (2019).
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core.randomness import layer_seed
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.data.batches import batch_slices
from cvae_tf.data.datasets import Dataset

MOST_IMAGES = 10_000  # of each kind: the distance depends on how many are compared
NEIGHBOURS = 3  # as in the paper on precision and recall
_AT_ONCE = 1000  # rows of a matrix of distances
_RANDOM_FILTERS, _RANDOM_SEED = (32, 64, 64), 0


class Features(NamedTuple):
    """Maps images to features, and says which ones they are."""

    name: str  # in `FEATURES`
    title: str  # for people: "those of a classifier of ... (99.0 % of the test images right)"
    function: Callable[[tf.Tensor], tf.Tensor]  # float32 [B, H, W, C] in [0, 1] -> [B, F]

    def of(self, images: Any) -> np.ndarray:
        """Finds the features [N, F] of images, uint8 or float32 in [0, 1], [N, H, W, C]."""
        return self.of_rows(images, np.arange(len(images)))

    def of_rows(self, images: Any, rows: np.ndarray) -> np.ndarray:
        """Finds the features of the images of some numbers, a part in memory at a time."""
        return self.of_parts(images[rows[own]] for own in batch_slices(len(rows), images.shape[1:]))

    def of_parts(self, parts: Iterable[np.ndarray]) -> np.ndarray:
        """Finds the features of images that come some at a time."""
        return np.concatenate([self.function(_grey(part)).numpy() for part in parts])


def _grey(images: np.ndarray | tf.Tensor) -> tf.Tensor:
    images = tf.convert_to_tensor(images)
    return tf.cast(images, tf.float32) / 255 if images.dtype == tf.uint8 else images


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


class Statistics(NamedTuple):
    """Mean and covariance of features, in float64."""

    mean: np.ndarray  # [F]
    covariance: np.ndarray  # [F, F]


def statistics(features: np.ndarray) -> Statistics:
    """Describes features [N, F] of N images by a Gaussian; one image alone has no covariance."""
    features = np.asarray(features, np.float64)
    mean = features.mean(axis=0)
    centred = features - mean
    return Statistics(mean, centred.T @ centred / max(len(features) - 1, 1))


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """The squared distance of Frechet between two Gaussians, from 0.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). The eigenvalues of C1 C2 are those of the symmetric
    C1^(1/2) C2 C1^(1/2), which has real roots however nearly singular the covariances are.
    """
    if not all(np.isfinite(part).all() for part in (*first, *second)):
        return float("nan")
    root = _symmetric_root(first.covariance)
    eigenvalues = np.linalg.eigvalsh(root @ second.covariance @ root)
    of_root = np.sqrt(eigenvalues.clip(min=0)).sum()
    of_means = np.sum((first.mean - second.mean) ** 2)
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    return max(float(of_means + traces - 2 * of_root), 0.0)


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    """The square root of a symmetric matrix without negative eigenvalues but by rounding."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


class PrecisionRecall(NamedTuple):
    """Shares from 0 to 1."""

    precision: float  # of drawn images that lie among real ones
    recall: float  # of real images that lie among drawn ones


def precision_recall(
    real: np.ndarray, drawn: np.ndarray, neighbours: int = NEIGHBOURS
) -> PrecisionRecall:
    """Compares two sets of images by their features.

    An image lies among others if one of them has it within the distance of its own k-th neighbour
    (equation 1 of the paper).

    Args:
        real: features of real images, [N, F].
        drawn: features of drawn ones, [M, F].
        neighbours: k; fewer if there are not so many others.

    Returns:
        The two shares.
    """
    real, drawn = (tf.constant(features, tf.float32) for features in (real, drawn))
    return PrecisionRecall(
        _share_among(drawn, real, _radii(real, neighbours)),
        _share_among(real, drawn, _radii(drawn, neighbours)),
    )


def _radii(features: tf.Tensor, neighbours: int) -> tf.Tensor:
    """The squared distance of each image from its k-th neighbour, [N]."""
    nearest = min(neighbours, len(features) - 1) + 1  # itself is the first one
    parts = (
        -tf.math.top_k(-_distances(features[start : start + _AT_ONCE], features), nearest)[0][:, -1]
        for start in range(0, len(features), _AT_ONCE)
    )
    return tf.concat(list(parts), axis=0)


def _share_among(features: tf.Tensor, others: tf.Tensor, radii: tf.Tensor) -> float:
    """The share of images [N, F] that lie within the radius [M] of one of the others [M, F]."""
    found = [
        tf.reduce_any(_distances(features[start : start + _AT_ONCE], others) <= radii, axis=1)
        for start in range(0, len(features), _AT_ONCE)
    ]
    return float(np.mean(np.concatenate(found)))


def _distances(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Squared distances between all rows of [A, F] and [B, F], from 0, [A, B]."""
    squares = tf.reduce_sum(first**2, axis=1)[:, None] + tf.reduce_sum(second**2, axis=1)
    return tf.maximum(squares - 2 * tf.matmul(first, second, transpose_b=True), 0.0)
