"""What a score is to be expected of an image as complex as this one.

Any likelihood is high for simple images and low for complex ones, whatever was learned from (Serra
et al., "Input complexity and out-of-distribution detection with likelihood-based generative
models", 2020). A score says more beside those of usual images that are as complex. And an image of
which a model sees a part only is reconstructed as a simpler one: so it is compared by both, by how
complex it is and by how complex its reconstruction is, and the lower result counts.
"""

import functools
import math

import numpy as np
import tensorflow as tf

_DEGREE, _DIGITS = 2, 5  # of the trend; by which logarithms differ by more than rounding
TRENDS_SHAPE = (2, _DEGREE + 3)  # for each complexity the coefficients, and where they hold


def complexities(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """How complex images are, and how complex a model thinks them, [B, 2].

    Args:
        images: grey levels or colours, [B, H, W, C].
        reconstructions: theirs, [B, H, W, C].
    """
    return tf.stack([log_total_variation(each) for each in (images, reconstructions)], axis=1)


def log_total_variation(images: tf.Tensor) -> tf.Tensor:
    """How much neighbouring pixels differ, for each number of an image, as a logarithm, [B].

    One is added to the sum, so that an image of one grey has a logarithm too.

    Args:
        images: grey levels or colours, [B, H, W, C].
    """
    height, width, channels = images.shape[1:]
    differences = [images[:, 1:] - images[:, :-1], images[:, :, 1:] - images[:, :, :-1]]
    total = tf.add_n([tf.reduce_sum(tf.abs(each), axis=(1, 2, 3)) for each in differences])
    return tf.math.log(total + 1) - math.log(height * width * channels)


def fit_trends(known: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fits parabolas of both complexities to the scores of usual images.

    Args:
        known: complexities of N images, [N, 2].
        scores: theirs, [N].

    Returns:
        What `relative_scores` takes, TRENDS_SHAPE; and relative scores of these images, [N], each
        by parabolas that were fitted to the others: those of new images are like them.
    """
    trends, above = zip(*(fit_trend(own, scores) for own in known.T), strict=True)
    return np.stack(trends), np.min(above, axis=0)


def relative_scores(scores: tf.Tensor, known: tf.Tensor, trends: tf.Tensor) -> tf.Tensor:
    """Scores less those of usual images as complex, by the complexity that expects more.

    Args:
        scores: of images, [B].
        known: their complexities, [B, 2].
        trends: as `fit_trends` returns them.

    Returns:
        [B], in the unit of the scores.
    """
    both = zip(tf.unstack(known, axis=1), tf.unstack(trends), strict=True)
    return scores - functools.reduce(tf.maximum, (expected_score(*each) for each in both))


def fit_trend(complexity: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fits a parabola of the complexity to the scores of usual images, by least squares.

    Args:
        complexity: of N images, [N].
        scores: theirs, [N]; what is not finite is left out.

    Returns:
        What `expected_score` takes, a row of TRENDS_SHAPE; and what each score is above a parabola
        that was fitted to the other images, [N]: new images are above it by as much as these.
    """
    known, above = np.isfinite(scores) & np.isfinite(complexity), np.array(scores, np.float64)
    if not known.any():
        return np.zeros(TRENDS_SHAPE[1]), above
    places, own = complexity[known].astype(np.float64), above[known]
    least, most = places.min(), places.max()
    degree = min(_DEGREE, len(np.unique(places.round(_DIGITS))) - 1)
    powers = np.vander(places - (least + most) / 2, degree + 1, increasing=True)
    basis, upper = np.linalg.qr(powers)
    coefficients = np.linalg.solve(upper, basis.T @ own)
    influence = np.square(basis).sum(axis=1)  # of a score on its own fit
    above[known] = (own - powers @ coefficients) / np.maximum(1 - influence, 1e-3)
    return np.array([*np.pad(coefficients, (0, _DEGREE - degree)), least, most]), above


def expected_score(complexity: tf.Tensor, trend: tf.Tensor) -> tf.Tensor:
    """The score of usual images as complex as these; of the nearest ones, where there were none.

    Args:
        complexity: of images, [B].
        trend: as `fit_trend` returns it.

    Returns:
        [B], in the unit of the scores.
    """
    constant, slope, bend, least, most = tf.unstack(trend)
    inside = tf.clip_by_value(complexity, least, most) - (least + most) / 2
    return constant + inside * (slope + inside * bend)
