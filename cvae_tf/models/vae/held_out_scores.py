"""Scores of images that were not learned from: beside them, a new score is unusual or not.

Any likelihood is high for simple images and low for complex ones, whatever was learned from (Serra
et al., "Input complexity and out-of-distribution detection with likelihood-based generative
models", 2020). A score says more beside those of usual images that are as complex. And an image of
which a model sees a part only is reconstructed as a simpler one: so it is compared by both, by how
complex it is and by how complex its reconstruction is, and the lower result counts.
"""

import functools
import math

import keras
import numpy as np
import tensorflow as tf

MOST_SCORES = 2000  # of a kind
_KINDS = ("encoders", "refined", "regret", "relative")
_DEGREE, _DIGITS = 2, 5  # of the trend; by which logarithms differ by more than rounding
TRENDS_SHAPE = (2, _DEGREE + 3)  # for each complexity the coefficients, and where they hold


class HeldOutScores(tf.Module):
    """Sorted scores of each kind; +inf in the places that are not filled.

    The kinds are the ELBO of the encoder's posterior, that of the refined one, the first minus
    the second, which is minus the likelihood regret (Xiao et al., "Likelihood regret", 2020,
    equation 4), and the first less what is to be expected of images that are, or are
    reconstructed, as complex (`complexities`). The usual images have high ones.
    """

    if_missing = "its scores come without p-values"

    def __init__(self):
        """Makes places for scores, and knows none yet."""
        super().__init__(name="held_out_scores")
        empty = np.full(MOST_SCORES, np.inf, np.float32)
        self._sorted = {kind: keras.Variable(empty, trainable=False, name=kind) for kind in _KINDS}
        empty = np.zeros(TRENDS_SHAPE, np.float32)
        self._trends = keras.Variable(empty, trainable=False, name="trends")

    @property
    def variables(self) -> list[keras.Variable]:
        """What a run and an exported model keep."""
        return [*self._sorted.values(), self._trends]

    @property
    def known(self) -> dict[str, int]:
        """How many scores there are of each kind, if there are any."""
        counts = {kind: int(_count(scores)) for kind, scores in self._sorted.items()}
        return {kind: count for kind, count in counts.items() if count}

    def take(self, kind: str, scores: np.ndarray) -> None:
        """Takes scores [N] of one kind, of at most so many images as there are places."""
        places = np.full(MOST_SCORES, np.inf)
        places[: len(scores)] = np.sort(np.where(np.isnan(scores), -np.inf, scores))
        self._sorted[kind].assign(places)

    def take_relative(self, complexities: np.ndarray, scores: np.ndarray) -> None:
        """Takes encoder's scores [N] and the complexities of their images [N, 2], to compare by."""
        trends, above = fit_trends(complexities, scores)
        self._trends.assign(trends)
        self.take("relative", above)

    def relative(self, complexities: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """Scores [B] less those of usual images as complex, whichever expects more."""
        return relative_scores(scores, complexities, tf.convert_to_tensor(self._trends))

    def p_values(self, kind: str, scores: tf.Tensor) -> tf.Tensor:
        """The share of images like the held-out ones that score as low, or lower.

        It is the conformal p-value, (1 + number of held-out scores up to this one) / (1 + number of
        held-out scores): of usual images at most a share p gets one up to p, in the mean over
        held-out images (Vovk, Gammerman & Shafer, "Algorithmic learning in a random world", 2005,
        section 2.2). Held-out images that helped to choose the epoch are a little too usual.

        Args:
            kind: "encoders", "refined", "regret" or "relative".
            scores: [B], each the mean over `SCORE_SAMPLES` samples; NaN is the lowest.

        Returns:
            [B], above 0, at most 1.
        """
        known = tf.convert_to_tensor(self._sorted[kind])
        least = tf.where(tf.math.is_nan(scores), -np.inf, scores)
        num = _count(known)
        lower = tf.minimum(tf.searchsorted(known, least, side="right"), num)
        return tf.cast(1 + lower, tf.float32) / tf.cast(1 + num, tf.float32)


def _count(scores: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(tf.convert_to_tensor(scores) < np.inf, tf.int32))


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
