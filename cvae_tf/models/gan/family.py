"""How a GAN is trained, compared with test images, shown, described and exported."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.core.terminal import say
from cvae_tf.data.batches import batch_slices
from cvae_tf.data.datasets import Dataset
from cvae_tf.data.inspection import evenly_spaced_indices
from cvae_tf.distances import MOST_IMAGES, for_dataset, frechet_distance, statistics
from cvae_tf.drawing.mosaics import Panel
from cvae_tf.drawing.plots import CurveGroup
from cvae_tf.models.base import Measure, inputs_of
from cvae_tf.models.family import Family, sample_panel
from cvae_tf.models.gan.losses import kinds_of
from cvae_tf.models.gan.model import GAN, Recipe
from cvae_tf.models.networks import GAN_NETWORKS, ImageShape, build_gan_networks
from cvae_tf.models.saved_model import Signatures, batch_signature, decoding_signatures

_DISTANCE = Measure("frechet_distance", "Frechet distance", "", higher_is_better=False)
_SPREAD = Measure("spread", "spread", "of real images")
_TRAINED = (
    Measure("discriminator_loss", "loss of D", "", False),
    Measure("generator_loss", "loss of G", "", False),
    Measure("probability_of_real", "D(real)", ""),
    Measure("probability_of_drawn", "D(drawn)", ""),
    Measure("accuracy", "right", ""),
)
_SURE = 0.995  # of images judged right: above it a discriminator tells all apart
_ALIKE = 0.05  # of the variance of real images: below it drawn ones hardly differ

_LIMITS = (
    "It has no encoder and no likelihood: it can neither reconstruct an image nor say how probable "
    "one is. The logit of the discriminator tells real images from drawn ones, not usual ones from "
    "unusual ones."
)


class GanFamily(Family):
    """The generative adversarial networks, `GAN`."""

    title = "generative adversarial network"
    model_class = GAN
    evaluations = ("distance",)
    network_table, takes = GAN_NETWORKS, ("labels",)

    def build(
        self, config: Any, image_shape: ImageShape, steps_per_epoch: int, num_classes: int
    ) -> GAN:
        """Builds the GAN of a configuration."""
        networks = build_gan_networks(
            config.network,
            image_shape,
            config.latent_dim,
            config.seed,
            config.precision,
            num_classes,
            config.spectral_norm,
        )
        recipe = Recipe(config.gan_loss, config.r1, kinds_of(config.diff_augment))
        return GAN(networks, config.seed, recipe, num_classes)

    def train_measures(self, model: GAN) -> dict[str, Measure]:
        """Losses, and how the discriminator judges."""
        return {measure.name: measure for measure in _TRAINED}

    def test_measures(self, model: GAN) -> tuple[Measure, ...]:
        """How far drawn images are from test images, and how much they vary in comparison."""
        return _DISTANCE, _SPREAD

    def set_measure(self, model: GAN, dataset: Dataset) -> Callable[[], dict[str, float]]:
        """Compares drawn images with all test images, in features that may have to be learned."""
        test, rows = dataset.test, evenly_spaced_indices(len(dataset.test.images), MOST_IMAGES)

        @functools.cache
        def of_test_images() -> tuple[Any, Any]:
            """The features, which may have to be learned, and their statistics."""
            features = for_dataset(dataset)
            model.compared_in = features.title
            say(f"Drawn and test images are compared by features {features.title}.")
            return features, statistics(features.of(test.images, rows))

        def measure() -> dict[str, float]:
            features, own = of_test_images()
            classes = test.labels[rows] if model.num_classes else None
            drawn = statistics(features.of_parts(_drawn(model, len(rows), classes)))
            variance = float(np.trace(own.covariance))
            return {
                "frechet_distance": frechet_distance(own, drawn),
                "spread": float(np.trace(drawn.covariance)) / variance if variance else 1.0,
            }

        return measure

    def warnings(self, model: GAN, row: dict[str, float]) -> list[str]:
        """Says whether one of the two has won."""
        found = []
        if model.recipe.terms.has_sides and row["train_accuracy"] > _SURE:
            found.append(
                "the discriminator tells all images apart, so the generator learns little; try a "
                "larger --r1 or more --diff_augment."
            )
        if row["test_spread"] < _ALIKE:
            found.append(
                "the drawn images hardly differ from each other; try a smaller --learning_rate, "
                "more --diff_augment or another --seed."
            )
        return found

    def epoch_panels(
        self, model: GAN, grey: tf.Tensor, labels: tf.Tensor | None, seed: tf.Tensor
    ) -> list[Panel]:
        """Shows samples, always of the same latents, beside real images."""
        return [sample_panel(model, seed), Panel("Test images", [grey.numpy()])]

    def curves(self, model: GAN) -> list[CurveGroup]:
        """Draws losses, probabilities, and the distance."""
        lines = [{f"train_{each.name}": "-" for each in of} for of in (_TRAINED[:2], _TRAINED[2:])]
        return [
            CurveGroup("Losses", "", lines[0]),
            CurveGroup("Probability of being real", "", lines[1]),
            CurveGroup("Frechet distance", "", {f"test_{_DISTANCE.name}": "-"}),
            CurveGroup("Spread", _SPREAD.unit, {f"test_{_SPREAD.name}": "-"}),
        ]

    def signatures(self, model: GAN) -> Signatures:
        """What its SavedModel can do: sample, decode, and score, which gives logits."""

        def score(images: tf.Tensor, labels: tf.Tensor | None) -> dict[str, tf.Tensor]:
            return {"logit": model.logits(images, labels)}

        return {**decoding_signatures(model), "score": batch_signature(model, "images", score)}

    @usual_settings()
    def standalone_parts(self, model: GAN) -> dict[str, keras.Model]:
        """The networks as other runtimes take them, with named results."""
        latents = keras.Input((model.latent_dim,), name="latents")
        images = keras.Input(model.image_shape, name="images")
        labels = keras.Input((), dtype="int32", name="labels") if model.num_classes else None
        drawn = {"images": model.generator(inputs_of(latents, labels))}
        logits = {"logit": model.discriminator(inputs_of(images, labels))}
        return {
            "generator": keras.Model(inputs_of(latents, labels), drawn, name="generator"),
            "discriminator": keras.Model(inputs_of(images, labels), logits, name="discriminator"),
        }

    def describe(self, model: GAN, metrics: dict[str, float] | None = None) -> dict[str, Any]:
        """What `model.json` says about it, and how drawn images compare with test images."""
        said = {**super().describe(model, metrics), "limits": _LIMITS}
        if metrics:
            where = f" in features {model.compared_in}" if model.compared_in else ""
            said["numbers"] += (
                f"\n\nDrawn and test images are compared{where}; the smaller the distance, the "
                "better. The spread is the variance of drawn images there, of that of test images."
            )
        return said


def _drawn(model: GAN, num: int, labels: np.ndarray | None) -> Iterator[tf.Tensor]:
    """Draws `num` images, of these labels [num] if the model takes any, in parts."""
    latents = model.sample_latents(num, derived_key(model.seed, Purpose.DRAWN_IMAGES))
    for own in batch_slices(num, model.image_shape):
        of_class = None if labels is None else tf.constant(labels[own], tf.int32)
        yield model.decode(latents[own], of_class)
