"""Scores of images that were not learned from: beside them, a new score is unusual or not."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core.progress import progress
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.data.batches import grey_levels
from cvae_tf.data.datasets import Split
from cvae_tf.data.shown_images import spread_rows
from cvae_tf.models.base import Signatures
from cvae_tf.models.vae import refinement_steps
from cvae_tf.models.vae.refined_signatures import refined_signatures

SAMPLES = 8  # of each posterior, over which a score is averaged
_MOST = 2000  # images
_MOST_DECODED = 2**16  # latents, for the refined scores
_AT_ONCE = 256  # images


class HeldOutScores(tf.Module):
    """Sorted scores of each kind; infinite where there are fewer images than places."""

    if_missing = "its scores come without p-values"

    def __init__(self):
        """Makes places for scores, and knows none yet."""
        super().__init__(name="held_out_scores")
        self._sorted = {
            name: keras.Variable(np.full(_MOST, np.inf, np.float32), trainable=False, name=name)
            for name in ("elbo", "elbo_refined")
        }

    @property
    def variables(self) -> list[keras.Variable]:
        """What a run and an exported model keep."""
        return list(self._sorted.values())

    @property
    def known(self) -> list[str]:
        """The kinds of which there are scores."""
        return [name for name, scores in self._sorted.items() if np.isfinite(scores.numpy()[0])]

    def take(self, name: str, scores: np.ndarray) -> None:
        """Takes scores [N] of one kind, of at most so many images as there are places."""
        places = np.full(_MOST, np.inf)
        places[: len(scores)] = np.sort(scores)
        self._sorted[name].assign(places)

    def p_values(self, name: str, scores: tf.Tensor) -> tf.Tensor:
        """The share of images like the held-out ones that score as low, or lower.

        It is the conformal p-value, (1 + number of held-out scores up to this one) / (1 + number of
        held-out scores): at most a share p of usual images gets one up to p (Vovk, Gammerman &
        Shafer, "Algorithmic learning in a random world", 2005, section 2.2).

        Args:
            name: the kind of score.
            scores: [B], each the mean over `SAMPLES` samples.

        Returns:
            [B], above 0, at most 1.
        """
        known = tf.convert_to_tensor(self._sorted[name])
        lower = tf.searchsorted(known, scores, side="right")
        num = tf.reduce_sum(tf.cast(tf.math.is_finite(known), tf.int32))
        # Infinite places are not scores, though an infinite score would count them.
        return tf.cast(1 + tf.minimum(lower, num), tf.float32) / tf.cast(1 + num, tf.float32)


def p_value_signatures(model: Any) -> Signatures:
    """What the SavedModel of a VAE can say of scores.

    Args:
        model: a `CVAE`.

    Returns:
        p_values: scores [B], as `score` gives them in the mean of eight calls -> p_values [B];
        p_values_refined: the same for those of `score_refined` by eight samples.
        Only those of which held-out scores are known.
    """
    scores = tf.TensorSpec([None], tf.float32, "scores")

    def of_kind(kind: str) -> Any:
        def p_values(scores: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"p_values": model.held_out_scores.p_values(kind, scores)}

        return p_values

    names = {"elbo": "p_values", "elbo_refined": "p_values_refined"}
    return {names[kind]: (of_kind(kind), [scores]) for kind in model.held_out_scores.known}


def measure(model: Any, score: Any, split: Split) -> None:
    """Scores held-out images as an exported model does, and keeps the scores in the model.

    Args:
        model: a `CVAE`.
        score: what its signature `score` does.
        split: its test images.
    """
    rows = spread_rows(len(split.images), _MOST)
    key = derived_key(model.seed, Purpose.HELD_OUT_SCORES)
    keys = [tf.random.fold_in(key, number) for number in range(SAMPLES)]
    own = model.pixels.terms["elbo"].name

    def mean_score(images: tf.Tensor, first: tf.Tensor, *labels: tf.Tensor) -> tf.Tensor:
        draws = [score(images, tf.random.fold_in(key, first), *labels)[own] for key in keys]
        return tf.reduce_mean(draws, axis=0)

    model.held_out_scores.take("elbo", _of_images(model, mean_score, split, rows))
    if not model.can_refine:
        return
    refined = refined_signatures(model)["score_refined"][0]
    steps = tf.constant(refinement_steps.DEFAULT)

    def refined_score(images: tf.Tensor, first: tf.Tensor, *labels: tf.Tensor) -> tf.Tensor:
        own_key = tf.random.fold_in(key, first)
        return refined(images, own_key, steps, tf.constant(SAMPLES), *labels)[own]

    each = (model.latent_dim + 1) * (refinement_steps.DEFAULT + 1) + SAMPLES
    rows = spread_rows(len(split.images), min(_MOST, _MOST_DECODED // each))
    model.held_out_scores.take("elbo_refined", _of_images(model, refined_score, split, rows))


def _of_images(model: Any, score: Any, split: Split, rows: np.ndarray) -> np.ndarray:
    """Scores the images of these rows, some at a time."""
    traced, found = tf.function(score, reduce_retracing=True), []
    with progress("scoring") as show:
        for first in range(0, len(rows), _AT_ONCE):
            own = rows[first : first + _AT_ONCE]
            labels = [tf.constant(split.labels[own], tf.int32)] if model.num_classes else []
            images = grey_levels(tf.constant(split.images[own]))
            found.append(traced(images, tf.constant(first), *labels).numpy())
            show(min((first + _AT_ONCE) / len(rows), 1.0))
    return np.concatenate(found)
