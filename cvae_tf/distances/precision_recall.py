"""Precision and recall of drawn images: how many look real, how much of what is real is drawn.

Kynkaanniemi et al., "Improved precision and recall metric for assessing generative models" (2019).
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

NEIGHBOURS = 3  # as in the paper
_AT_ONCE = 1000  # rows of a matrix of distances


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
