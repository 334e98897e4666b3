"""Scores of images that were not learned from: beside them, a new score is unusual or not."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core import amounts
from cvae_tf.core.parts import slices
from cvae_tf.core.progress import progress
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.data.batches import grey_levels
from cvae_tf.data.datasets import Split
from cvae_tf.data.shown_images import spread_rows
from cvae_tf.models.base import Signatures
from cvae_tf.models.signature_parts import with_label_argument
from cvae_tf.models.vae import complexity

_MOST, _FEWEST = 2000, 200  # images; fewer if they are large or take many passes
_MOST_PIXELS = 50_000_000  # of all passes through a network
_SIGNATURES = {  # by the kind of score: by which posterior, or how much the refined one brings
    "encoders": "p_values",
    "refined": "p_values_refined",
    "regret": "p_values_regret",
    "relative": "p_values_relative",
}


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
        empty = np.full(_MOST, np.inf, np.float32)
        self._sorted = {
            kind: keras.Variable(empty, trainable=False, name=kind) for kind in _SIGNATURES
        }
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
        places = np.full(_MOST, np.inf)
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


def p_value_signatures(model: Any, reconstruct: Callable[..., Any]) -> Signatures:
    """What the SavedModel of a VAE can say of scores.

    Args:
        model: a `CVAE`.
        reconstruct: the signature of that name, without its arguments.

    Returns:
        p_values: scores [B], as `score` gives them in the mean of eight calls -> p_values [B];
        p_values_refined: the same for those of `score_refined` by eight samples; p_values_regret:
        the same for the first minus the second; score_relative: images and their mean scores as for
        p_values -> scores [B] less those of usual images as complex; p_values_relative: the same
        as p_values for these. Only those of which held-out scores are known.
    """
    scores = tf.TensorSpec([None], tf.float32, "scores")

    def of_kind(kind: str) -> Callable[..., dict[str, tf.Tensor]]:
        def p_values(scores: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"p_values": model.held_out_scores.p_values(kind, scores)}

        return p_values

    def score_relative(
        images: tf.Tensor, scores: tf.Tensor, *labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        complexities = _complexities(model, images, reconstruct(images, *labels))
        return {"scores": model.held_out_scores.relative(complexities, scores)}

    known = model.held_out_scores.known
    found = {_SIGNATURES[kind]: (of_kind(kind), [scores]) for kind in known}
    if "relative" in known:
        images = tf.TensorSpec([None, *model.image_shape], tf.float32, "images")
        found["score_relative"] = with_label_argument(model, score_relative, [images, scores])
    return found


def _complexities(model: Any, images: tf.Tensor, reconstructed: dict[str, tf.Tensor]) -> tf.Tensor:
    return complexity.complexities(model.pixels.likeliest(images), reconstructed["images"])


def measure(model: Any, split: Split) -> None:
    """Scores held-out images as an exported model does, and keeps the scores in the model.

    Args:
        model: a `CVAE`.
        split: its test images.
    """
    signatures, samples = model.signatures(), amounts.SCORE_SAMPLES
    name = model.pixels.terms["elbo"].name
    score, reconstruct = (_traced(signatures[each][0]) for each in ("score", "reconstruct"))

    def mean_score(images: tf.Tensor, key: tf.Tensor, *labels: tf.Tensor) -> np.ndarray:
        keys = [tf.random.fold_in(key, number) for number in range(samples)]
        return np.mean([score(images, each, *labels)[name] for each in keys], axis=0)

    def with_complexities(images: tf.Tensor, key: tf.Tensor, *labels: tf.Tensor) -> np.ndarray:
        complexities = _complexities(model, images, reconstruct(images, *labels))
        return np.column_stack([mean_score(images, key, *labels), complexities])

    found = _of_images(model, with_complexities, split, 2 * samples)
    encoders, complexities = found[:, 0], found[:, 1:]
    model.held_out_scores.take("encoders", encoders)
    model.held_out_scores.take_relative(complexities, encoders)
    if not model.can_refine:
        return
    refine, steps = _traced(signatures["score_refined"][0]), amounts.STEPS

    def refined_score(images: tf.Tensor, key: tf.Tensor, *labels: tf.Tensor) -> np.ndarray:
        return refine(images, key, tf.constant(steps), tf.constant(samples), *labels)[name].numpy()

    passes = (model.latent_dim + 1) * (steps + 1) + samples
    refined = _of_images(model, refined_score, split, passes)
    model.held_out_scores.take("refined", refined)
    if len(refined) < len(encoders):  # they are of other images
        encoders = _of_images(model, mean_score, split, passes)
    model.held_out_scores.take("regret", encoders - refined)


def _traced(function: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(function, reduce_retracing=True)


def _of_images(
    model: Any, score: Callable[..., np.ndarray], split: Split, passes: int
) -> np.ndarray:
    """Scores images from the whole set, some at a time.

    Args:
        model: a `CVAE`.
        score: images, a key and labels, if there are any, to scores.
        split: the images.
        passes: through a network, that each of them takes.
    """
    height, width, _ = model.image_shape
    affordable = _MOST_PIXELS // (height * width * passes)
    rows = spread_rows(len(split.images), min(max(affordable, _FEWEST), _MOST))
    key, found = derived_key(model.seed, Purpose.HELD_OUT_SCORES), []
    with progress("scoring") as show:
        for part in slices(len(rows), model.image_shape):
            own = rows[part]
            labels = [tf.constant(split.labels[own], tf.int32)] if model.num_classes else []
            images = grey_levels(tf.constant(split.images[own]))
            found.append(score(images, tf.random.fold_in(key, part.start), *labels))
            show(part.stop / len(rows))
    return np.concatenate(found)
