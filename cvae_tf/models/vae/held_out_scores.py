"""Scores of images that were not learned from: beside them, a new score is unusual or not."""

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.models.vae import complexity

MOST_SCORES = 2000  # of a kind
_KINDS = ("encoders", "refined", "regret", "relative")


class HeldOutScores(tf.Module):
    """Sorted scores of each kind; +inf in the places that are not filled.

    The kinds are the ELBO of the encoder's posterior, that of the refined one, the first minus
    the second, which is minus the likelihood regret (Xiao et al., "Likelihood regret", 2020,
    equation 4), and the first less what is to be expected of images that are, or are
    reconstructed, as complex (`complexity.py`). The usual images have high ones.
    """

    if_missing = "its scores come without p-values"

    def __init__(self):
        """Makes places for scores, and knows none yet."""
        super().__init__(name="held_out_scores")
        empty = np.full(MOST_SCORES, np.inf, np.float32)
        self._sorted = {kind: keras.Variable(empty, trainable=False, name=kind) for kind in _KINDS}
        empty = np.zeros(complexity.TRENDS_SHAPE, np.float32)
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
        trends, above = complexity.fit_trends(complexities, scores)
        self._trends.assign(trends)
        self.take("relative", above)

    def relative(self, complexities: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """Scores [B] less those of usual images as complex, whichever expects more."""
        return complexity.relative_scores(scores, complexities, tf.convert_to_tensor(self._trends))

    def p_values(self, kind: str, scores: tf.Tensor) -> tf.Tensor:
        """The share of images like the held-out ones that score as low, or lower.

        It is the conformal p-value, (1 + number of held-out scores up to this one) / (1 + number of
        held-out scores): of usual images at most a share p gets one up to p, in the mean over
        held-out images (Vovk, Gammerman & Shafer, "Algorithmic learning in a random world", 2005,
        section 2.2). Held-out images that helped to choose the epoch are a little too usual.

        Args:
            kind: "encoders", "refined", "regret" or "relative".
            scores: [B], each the mean over `amounts.SCORE_SAMPLES` samples; NaN is the lowest.

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
