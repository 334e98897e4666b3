"""The GAN as it is trained, compared with test images, shown, told of and exported."""

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
from cvae_tf.distances import Features, for_dataset
from cvae_tf.distances.distances import MOST_IMAGES, Statistics, frechet_distance, statistics
from cvae_tf.drawing.image_pages import Panel
from cvae_tf.drawing.plots import CurveGroup
from cvae_tf.models.base import Measure, inputs_of
from cvae_tf.models.family import Family, Signatures, sample_panel
from cvae_tf.models.gan.diff_augment import kinds_of
from cvae_tf.models.gan.model import GAN, Recipe
from cvae_tf.models.networks import GAN_NETWORKS, ImageShape, build_gan_networks
from cvae_tf.models.signature_parts import (
    checked_labels,
    decoding_signatures,
    first_results,
    with_an_image,
    with_label_argument,
)

_DISTANCE = Measure("frechet_distance", "Frechet distance", "", higher_is_better=False)
_SPREAD = Measure("spread", "spread", "of theirs")
_TRAINED = {
    "discriminator_loss": Measure("discriminator_loss", "loss of D", "", False),
    "generator_loss": Measure("generator_loss", "loss of G", "", False),
    "probability_of_real": Measure("probability_of_real", "D(real)", ""),
    "probability_of_drawn": Measure("probability_of_drawn", "D(drawn)", ""),
    "accuracy": Measure("accuracy", "right", ""),
}
_SURE = 0.995  # of images judged right: from when on a discriminator tells all apart
_ALIKE = 0.05  # of the variance of real images: below it drawn ones hardly differ

_SCORE = "judges how real they look"
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
    network_table, takes_labels = GAN_NETWORKS, True
    preset = "gan"

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

    def optimizer_options(self, config: Any) -> dict[str, Any]:
        """How far Adam looks back, which matters more here than elsewhere."""
        return {"beta_1": config.beta1, "beta_2": config.beta2}

    def train_measures(self, model: GAN) -> dict[str, Measure]:
        """Losses, and how the discriminator judges."""
        return _TRAINED

    def test_measures(self, model: GAN) -> tuple[Measure, ...]:
        """How far drawn images are from test images, and how much they vary beside them."""
        return _DISTANCE, _SPREAD

    def set_measure(self, model: GAN, dataset: Dataset) -> Callable[[], dict[str, float]]:
        """Compares drawn images with all test images, in features that may have to be learned."""
        return _Comparison(model, dataset).measure

    def describe_test(self, model: GAN, values: dict[str, float]) -> str:
        """Says how far drawn images are from test images, and how much they vary beside them."""
        distance, spread = values[_DISTANCE.name], values[_SPREAD.name]
        return f"{_DISTANCE.title} {distance:.2f}, spread {spread:.2f} of theirs"

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
        """Shows drawn images, always of the same latents, beside real ones."""
        drawn = sample_panel(model, seed, "Drawn, always of the same latents")
        return [drawn, Panel("Test images", [grey.numpy()])]

    def curves(self, model: GAN) -> list[CurveGroup]:
        """Draws losses, probabilities, and the distance."""
        names = list(_TRAINED)
        return [
            CurveGroup("Losses", "", {f"train_{name}": "-" for name in names[:2]}),
            CurveGroup(
                "Probability of being real", "", {f"train_{name}": "-" for name in names[2:]}
            ),
            CurveGroup("Frechet distance", "", {f"test_{_DISTANCE.name}": "-"}),
            CurveGroup("Spread", _SPREAD.unit, {f"test_{_SPREAD.name}": "-"}),
        ]

    def signatures(self, model: GAN) -> Signatures:
        """What its SavedModel can do: sample, decode, and score, which gives logits."""
        images = tf.TensorSpec([None, *model.image_shape], tf.float32, "images")

        def score(images: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
            of_class = checked_labels(model, labels, tf.shape(images)[0])
            return first_results({"logit": model.logits(with_an_image(images), of_class)}, images)

        return {**decoding_signatures(model), "score": with_label_argument(model, score, [images])}

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

    def describe(self, model: GAN) -> dict[str, Any]:
        """What `model.json` says of it."""
        return {"limits": _LIMITS, "score": _SCORE}

    def describe_numbers(self, model: GAN, metrics: dict[str, float]) -> str:
        """Says for the model card how drawn images compare with test images."""
        features = f", in features {model.compared_in}" if model.compared_in else ""
        distance, spread = (metrics[f"test_{each.name}"] for each in (_DISTANCE, _SPREAD))
        return (
            f"- {_DISTANCE.title} between drawn and test images{features}: {distance:.4g} "
            "(smaller is better)\n"
            f"- Variance of drawn images in these features, of that of test images: {spread:.2g}"
        )


class _Comparison:
    """The images that a GAN draws beside the test images of a data set, in features."""

    def __init__(self, model: GAN, dataset: Dataset):
        self._model, self._dataset = model, dataset

    def measure(self) -> dict[str, float]:
        """Draws as many images as there are; the distance, and how much they vary beside them."""
        features, own = self._features, self._statistics
        drawn = statistics(features.of_parts(self._drawn()))
        variance = float(np.trace(own.covariance))
        return {
            "frechet_distance": frechet_distance(own, drawn),
            "spread": float(np.trace(drawn.covariance)) / variance if variance else 1.0,
        }

    @functools.cached_property
    def _features(self) -> Features:
        """Those of the data set, which may have to be learned first."""
        features = for_dataset(self._dataset)
        self._model.compared_in = features.title
        say(f"Drawn and test images are compared in features {features.title}.")
        return features

    @functools.cached_property
    def _rows(self) -> np.ndarray:
        return evenly_spaced_indices(len(self._dataset.test.images), MOST_IMAGES)

    @functools.cached_property
    def _statistics(self) -> Statistics:
        return statistics(self._features.of_rows(self._dataset.test.images, self._rows))

    def _drawn(self) -> Iterator[tf.Tensor]:
        """Draws images, of a conditional model of the classes of the test images, in parts."""
        model, labels = self._model, self._dataset.test.labels
        key = derived_key(model.seed, Purpose.DRAWN_IMAGES)
        latents = model.sample_latents(len(self._rows), key)
        for own in batch_slices(len(self._rows), model.image_shape):
            of_class = tf.constant(labels[self._rows[own]], tf.int32) if model.num_classes else None
            yield model.decode(latents[own], of_class)
