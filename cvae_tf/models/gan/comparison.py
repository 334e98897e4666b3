"""How the images that a GAN draws compare with test images, and what is told of it."""

from typing import Any

import numpy as np
import tensorflow as tf

from cvae_tf.core.parts import slices
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.data.datasets import Dataset
from cvae_tf.data.shown_images import spread_rows
from cvae_tf.distances import for_dataset
from cvae_tf.distances.frechet import MOST_IMAGES, frechet_distance, statistics

_SURE = 0.995  # of images judged right: from when on a discriminator tells all apart
_ALIKE = 0.05  # of the variance of real images: below it drawn ones hardly differ

SCORE = "judges how real they look"
LIMITS = (
    "It has no encoder and no likelihood: it can neither reconstruct an image nor say how probable "
    "one is. The logit of the discriminator tells real images from drawn ones, not usual ones from "
    "unusual ones."
)


class TestImages:
    """The test images of a data set, in features, to compare drawn ones with."""

    def __init__(self, dataset: Dataset):
        """Takes the data set; its features may have to be learned first."""
        self.features = for_dataset(dataset)
        images, labels = dataset.test
        rows = spread_rows(len(images), MOST_IMAGES)
        self._statistics = statistics(self.features.of_rows(images, rows))
        self.num_drawn = len(rows)
        self._labels = None if labels is None else labels[rows]

    def compare(self, model: Any) -> dict[str, float]:
        """Draws as many images as there are; the distance, and how much they vary beside them."""
        drawn = statistics(self.features.of_parts(self._drawn(model)))
        own = self._statistics
        variance = float(np.trace(own.covariance))
        return {
            "frechet_distance": frechet_distance(own, drawn),
            "spread": float(np.trace(drawn.covariance)) / variance if variance else 1.0,
        }

    def _drawn(self, model: Any) -> Any:
        """Draws images, of a conditional model of the classes of the test images, in parts."""
        key = derived_key(model.seed, Purpose.DRAWN_IMAGES)
        latents = model.sample_latents(self.num_drawn, key)
        for own in slices(self.num_drawn, model.image_shape):
            labels = tf.constant(self._labels[own], tf.int32) if model.num_classes else None
            yield model.decode(latents[own], labels)


def warnings(row: dict[str, float], has_sides: bool = True) -> list[str]:
    """Says what has gone wrong in an epoch, and what to try.

    Args:
        row: of `metrics.csv`.
        has_sides: whether the sign of a logit says what an image is held to be.
    """
    found = []
    if has_sides and row["train_accuracy"] > _SURE:
        found.append(
            "the discriminator tells all images apart, so the generator learns little; try a "
            "larger --r1 or more --diff_augment."
        )
    if row["test_spread"] < _ALIKE:
        found.append(
            "the drawn images hardly differ from each other; try a smaller --learning_rate, more "
            "--diff_augment or another --seed."
        )
    return found
