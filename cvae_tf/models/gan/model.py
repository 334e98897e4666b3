"""The generative adversarial network as a Keras model: how generator and discriminator learn."""

import functools
from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.core.messages import say
from cvae_tf.core.randomness import Purpose, derived_key, normal_of_images
from cvae_tf.data.datasets import Dataset
from cvae_tf.drawing.curves import CurveGroup
from cvae_tf.drawing.panels import Panel
from cvae_tf.models import sample_panels
from cvae_tf.models.base import Signatures
from cvae_tf.models.batch_parts import images_and_labels, inputs_of
from cvae_tf.models.dropout import seed_dropout
from cvae_tf.models.gan import comparison, diff_augment, signatures
from cvae_tf.models.gan.generator_discriminator import GeneratorDiscriminator
from cvae_tf.models.gan.recipe import Recipe
from cvae_tf.models.measures import Measure
from cvae_tf.models.networks import GAN_NETWORKS, GanNetworks, ImageShape, build_gan_networks

_DISTANCE = Measure("frechet_distance", "Frechet distance", "", higher_is_better=False)
_SPREAD = Measure("spread", "spread", "of theirs")
_TRAINED = {
    "discriminator_loss": Measure("discriminator_loss", "loss of D", "", False),
    "generator_loss": Measure("generator_loss", "loss of G", "", False),
    "probability_of_real": Measure("probability_of_real", "D(real)", ""),
    "probability_of_drawn": Measure("probability_of_drawn", "D(drawn)", ""),
    "accuracy": Measure("accuracy", "right", ""),
}


@keras.saving.register_keras_serializable(package="cvae_tf")
class GAN(GeneratorDiscriminator):
    """A generator that draws images of latents, and a discriminator that tells them from real ones.

    `compile(optimizer)` and `fit(images)` work as with any Keras model, on images [B, H, W, C] in
    [0, 1]; a conditional one takes `fit(images, labels)`. The discriminator gets an optimizer of
    the same kind. All noise follows from `seed` and the optimizer's step.
    """

    title = "generative adversarial network"
    network_table, takes_labels, preset = GAN_NETWORKS, True, "gan"
    network_table, takes_labels, preset = GAN_NETWORKS, True, "gan"
    evaluations = ("distance",)
    measures_sets = True

    def __init__(
        self,
        networks: GanNetworks,
        seed: int = 0,
        recipe: Recipe = Recipe(),  # noqa: B008 (it cannot change)
        num_classes: int = 0,
        **kwargs: Any,
    ):
        """Joins a generator and a discriminator.

        Args:
            networks: the pair.
            seed: decides all noise.
            recipe: how they learn.
            num_classes: Y, if the networks take labels.
            **kwargs: passed on to `keras.Model`.
        """
        super().__init__(networks, seed, num_classes, **kwargs)
        self.recipe = recipe
        self.means = {name: keras.metrics.Mean(name, "float32") for name in _TRAINED}
        self._dataset: Dataset | None = None
        self._compared: comparison.TestImages | None = None

    @classmethod
    def from_settings(
        cls, config: Any, image_shape: ImageShape, steps_per_epoch: int, num_classes: int = 0
    ) -> "GAN":
        """Builds the GAN of a configuration; see `GenerativeModel.from_settings`."""
        networks = build_gan_networks(
            config.network,
            image_shape,
            config.latent_dim,
            config.seed,
            config.precision,
            num_classes,
            config.spectral_norm,
        )
        kinds = diff_augment.kinds_of(config.diff_augment)
        return cls(networks, config.seed, Recipe(config.gan_loss, config.r1, kinds), num_classes)

    @classmethod
    def optimizer_options(cls, config: Any) -> dict[str, Any]:
        """How far Adam looks back, which matters more here than elsewhere."""
        return {"beta_1": config.beta1, "beta_2": config.beta2}

    def get_config(self) -> dict[str, Any]:
        """Returns what the model is made again from, without its weights."""
        networks = self.networks.values()
        return {
            "networks": [keras.saving.serialize_keras_object(each) for each in networks],
            "seed": self.seed,
            "recipe": self.recipe._asdict(),
            "num_classes": self.num_classes,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "GAN":
        """Makes a model from what `get_config` returned."""
        config = dict(config)
        networks = [keras.saving.deserialize_keras_object(n) for n in config.pop("networks")]
        recipe = config.pop("recipe")
        recipe = Recipe(**{**recipe, "augment": tuple(recipe["augment"])})
        return cls(GanNetworks(*networks), recipe=recipe, **config)

    # Training.

    def train_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Takes one step of both, each against the other as it was before.

        Args:
            batch: images, float32 [B, H, W, C] in [0, 1]; of a conditional model with labels [B]
                beside them.

        Returns:
            The means since the last `reset_metrics()`.
        """
        real, labels = images_and_labels(batch, self.num_classes)
        step = self.steps
        seed_dropout(self.networks.values(), derived_key(self.seed, Purpose.DROPOUT, step))
        key = derived_key(self.seed, Purpose.TRAINING_NOISE, step)
        latents = replicas.own_rows(
            lambda num: tf.random.stateless_normal([num, self.latent_dim], key), tf.shape(real)[0]
        )
        judge = functools.partial(self.logits, labels=labels)
        with tf.GradientTape(persistent=True) as tape:
            drawn = self.generator(inputs_of(latents, labels), training=True)
            logits = self._judged(real, drawn, labels, training=True)
            losses = self.recipe.terms.of(*logits)
            of_discriminator, of_generator = (tf.reduce_mean(each) for each in losses)
            key = derived_key(self.seed, Purpose.GRADIENT_PENALTY, step)
            of_discriminator += self.recipe.gradient_penalty(judge, real, drawn, key)
        judging = self.discriminator.trainable_variables
        drawing = self.generator.trainable_variables
        of_judging = tape.gradient(of_discriminator, judging)
        of_drawing = tape.gradient(of_generator, drawing)
        del tape
        of_judging = self.recipe.with_r1(of_judging, judge, real, judging, step)
        self.follow_learning_rate()
        replicas.apply(self.discriminator_optimizer, of_judging, judging)
        replicas.apply(self.optimizer, of_drawing, drawing)
        return self._update_means(losses, logits)

    def test_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Measures a batch without learning, as training does."""
        real, labels = images_and_labels(batch, self.num_classes)
        key = derived_key(self.seed, Purpose.EVALUATION_NOISE)
        first, num = self.means["probability_of_real"].count, tf.shape(real)[0]
        drawn = self.decode(normal_of_images(key, first, num, self.latent_dim), labels)
        logits = self._judged(real, drawn, labels, training=False)
        return self._update_means(self.recipe.terms.of(*logits), logits)

    def _judged(
        self, real: tf.Tensor, drawn: tf.Tensor, labels: tf.Tensor | None, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits [B] of real and of drawn images, changed alike by chance in training."""
        both = (real, drawn)
        if training:
            key = derived_key(self.seed, Purpose.DIFFERENTIABLE_AUGMENTATION, self.steps)
            both = [
                diff_augment.augment(images, self.recipe.augment, tf.random.fold_in(key, number))
                for number, images in enumerate(both)
            ]
        return tuple(self.logits(images, labels, training) for images in both)

    def _update_means(
        self, losses: tuple[tf.Tensor, ...], logits: tuple[tf.Tensor, ...]
    ) -> dict[str, tf.Tensor]:
        """Adds losses and logits of images, of both networks and both kinds, each [B]."""
        real, drawn = logits
        right = tf.concat([real > 0, drawn < 0], axis=0)
        values = (*losses, *(tf.sigmoid(each) for each in logits), tf.cast(right, tf.float32))
        replicas.update_means(self.means, dict(zip(self.means, values, strict=True)))
        return {name: mean.result() for name, mean in self.means.items()}

    # What is measured.

    train_measures = _TRAINED
    test_measures = (_DISTANCE, _SPREAD)

    def describe_test(self, values: dict[str, float]) -> str:
        """Says how far drawn images are from test images, and how much they vary beside them."""
        distance, spread = (values[measure.name] for measure in self.test_measures)
        return f"{_DISTANCE.title} {distance:.2f}, spread {spread:.2f} of theirs"

    def look_at(self, dataset: Dataset) -> None:
        """Remembers the data set, with whose test images drawn ones are compared."""
        self._dataset, self._compared = dataset, None

    def measure_set(self, images: Any, means: Any) -> dict[str, float]:
        """Compares drawn images with all test images, in features that may have to be learned."""
        if self._compared is None:
            self._compared = comparison.TestImages(self._dataset)
            say(f"Drawn and test images are compared in features {self._compared.features.title}.")
        return self._compared.compare(self)

    def warnings(self, row: dict[str, float]) -> list[str]:
        """Says what has gone wrong in an epoch; see `comparison.warnings`."""
        return comparison.warnings(row, self.recipe.terms.has_sides)

    # What is shown and exported.

    def epoch_panels(
        self, grey: tf.Tensor, labels: tf.Tensor | None, seed: tf.Tensor
    ) -> list[Panel]:
        """Shows drawn images, always of the same latents, beside real ones."""
        drawn = sample_panels.samples(self, seed, "Drawn, always of the same latents")
        return [drawn, Panel("Test images", [grey.numpy()])]

    @property
    def curves(self) -> list[CurveGroup]:
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

    def signatures(self) -> Signatures:
        """What its SavedModel can do: sample, decode, score."""
        return signatures.signatures(self)

    def standalone_parts(self) -> dict[str, keras.Model]:
        """Generator and discriminator, each for itself."""
        return signatures.standalone_parts(self)

    def describe(self) -> dict[str, Any]:
        """What `model.json` says of it."""
        return {"limits": comparison.LIMITS, "score": comparison.SCORE}

    def describe_numbers(self, metrics: dict[str, float]) -> str:
        """Says for the model card how drawn images compare with test images."""
        features = f", in features {self._compared.features.title}" if self._compared else ""
        distance, spread = (metrics[f"test_{measure.name}"] for measure in self.test_measures)
        return (
            f"- {_DISTANCE.title} between drawn and test images{features}: {distance:.4g} "
            "(smaller is better)\n"
            f"- Variance of drawn images in these features, of that of test images: {spread:.2g}"
        )
