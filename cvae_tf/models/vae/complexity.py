"""What a score is to be expected of an image as complex as this one.

Any likelihood is high for simple images and low for complex ones, whatever was learned from (Serra
et al., "Input complexity and out-of-distribution detection with likelihood-based generative
models", 2020). A score says more beside those of usual images that are as complex.
"""

import math

import numpy as np
import tensorflow as tf

TREND_SIZE = 5  # numbers: three coefficients, and the range in which they hold
_DEGREE = 2


def log_total_variation(images: tf.Tensor) -> tf.Tensor:
    """How much neighbouring pixels differ: log of the mean over an image, [B].

    Args:
        images: grey levels or colours, [B, H, W, C].
    """
    height, width, channels = images.shape[1:]
    differences = [images[:, 1:] - images[:, :-1], images[:, :, 1:] - images[:, :, :-1]]
    total = tf.add_n([tf.reduce_sum(tf.abs(each), axis=(1, 2, 3)) for each in differences])
    return tf.math.log(total + 1) - math.log(height * width * channels)


def fit_trend(complexity: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Fits a parabola of the complexity to the scores of usual images, by least squares.

    Args:
        complexity: of N images, [N].
        scores: theirs, [N]; those that are not finite are left out.

    Returns:
        What `expected_score` takes, [TREND_SIZE].
    """
    known = np.isfinite(scores)
    complexity, scores = complexity[known].astype(np.float64), scores[known].astype(np.float64)
    if not len(scores):
        return np.zeros(TREND_SIZE)
    degree = min(_DEGREE, len(np.unique(complexity)) - 1)
    coefficients = np.polynomial.polynomial.polyfit(complexity, scores, degree)
    padded = np.pad(coefficients, (0, _DEGREE - degree))
    return np.array([*padded, complexity.min(), complexity.max()])


def expected_score(complexity: tf.Tensor, trend: tf.Tensor) -> tf.Tensor:
    """The score of usual images as complex as these; of the nearest ones, where there were none.

    Args:
        complexity: of images, [B].
        trend: as `fit_trend` returns it.

    Returns:
        [B], in the unit of the scores.
    """
    constant, slope, bend, least, most = tf.unstack(trend)
    inside = tf.clip_by_value(complexity, least, most)
    return constant + inside * (slope + inside * bend)
