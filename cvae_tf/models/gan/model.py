"""The generative adversarial network as a Keras model: how generator and discriminator learn."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.core.randomness import (
    Purpose,
    derived_key,
    normal_of_batch,
    normal_of_images,
    uniform_of_batch,
)
from cvae_tf.core.settings import find
from cvae_tf.models.arrays import also_of_arrays
from cvae_tf.models.base import GenerativeModel, images_and_labels, inputs_of
from cvae_tf.models.gan import losses
from cvae_tf.models.gan.losses import GAN_LOSSES, GanLoss
from cvae_tf.models.layers import seed_dropout
from cvae_tf.models.networks.gan_pairs import seed_vectors
from cvae_tf.models.networks.layer_maker import GanNetworks

R1_EVERY = 16  # steps; the penalty then counts as many times (Karras et al. 2020, section 3.1)
_DRAWN_FOR_STATISTICS = 2048  # images, for batch normalisation; fewer if they are large
_PIXELS_FOR_STATISTICS, _FEWEST_FOR_STATISTICS = 2**21, 32
_MEANS = (
    "discriminator_loss",
    "generator_loss",
    "probability_of_real",
    "probability_of_drawn",
    "accuracy",
)

Judge = Callable[[tf.Tensor], tf.Tensor]  # images [B, H, W, C] -> logits [B]


class Recipe(NamedTuple):
    """How the two networks learn from each other."""

    loss: str = "non_saturating"  # in `GAN_LOSSES`
    r1: float = 0.0  # weight of the gradient penalty at real images
    augment: tuple[str, ...] = ()  # some of `losses.KINDS`

    @property
    def terms(self) -> GanLoss:
        """The losses by their name."""
        return find("gan_loss", GAN_LOSSES, self.loss)

    def gradient_penalty(
        self, judge: Judge, real: tf.Tensor, drawn: tf.Tensor, key: tf.Tensor
    ) -> tf.Tensor | float:
        """The penalty on gradients between real images [B, H, W, C] and drawn ones.

        The key, int32 [2], decides where between them. It is 0 for a loss without this penalty.
        """
        weight = self.terms.gradient_penalty
        if not weight:
            return 0.0
        shares = uniform_of_batch(key, tf.shape(real)[0], [1, 1, 1])
        return weight * losses.distance_penalty(judge, real, tf.stop_gradient(drawn), shares)

    def with_r1(
        self,
        gradients: list[tf.Tensor],
        judge: Judge,
        real: tf.Tensor,
        variables: list[keras.Variable],
        step: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Adds the gradients of R1 at every sixteenth step.

        Args:
            gradients: of the discriminator's loss, by its `variables`.
            judge: the discriminator.
            real: images [B, H, W, C].
            variables: of the discriminator.
            step: gradient steps so far.
        """
        if not self.r1:
            return gradients
        values = [variable.value for variable in variables]

        def with_penalty() -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                penalty = self.r1 * R1_EVERY * losses.r1_penalty(judge, real)
            zero = tf.UnconnectedGradients.ZERO
            found = tape.gradient(penalty, values, unconnected_gradients=zero)
            return [own + more for own, more in zip(gradients, found, strict=True)]

        return tf.cond(step % R1_EVERY == 0, with_penalty, lambda: gradients)


@keras.saving.register_keras_serializable(package="cvae_tf")
class GAN(GenerativeModel):
    """A generator draws images from latents, and a discriminator tells them from real ones.

    `compile(optimizer)` and `fit(images)` work as with any Keras model, on images [B, H, W, C] in
    [0, 1]; a conditional one takes `fit(images, labels)`. The discriminator gets an optimizer of
    the same kind. All noise follows from `seed` and the optimizer's step.
    """

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
            recipe: how they learn from each other.
            num_classes: Y, if the networks take labels.
            **kwargs: passed on to `keras.Model`.
        """
        super().__init__(seed, **kwargs)
        self.generator, self.discriminator = networks
        seed_vectors(self.discriminator, seed)
        self.recipe, self.num_classes = recipe, num_classes
        self.latent_dim = self.generator.inputs[0].shape[-1]
        self.image_shape = tuple(self.discriminator.inputs[0].shape[1:])
        self.means = {name: keras.metrics.Mean(name, "float32") for name in _MEANS}
        self.compared_in = ""  # the features in which drawn images were compared, for people

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Generator and discriminator."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    @also_of_arrays
    def decode(self, latents: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Draws the image of latents [B, Z]: [B, H, W, C] in [0, 1]."""
        return self.generator(inputs_of(latents, labels), training=False)

    def call(self, inputs: Any) -> tf.Tensor:
        """Draws the images of latents [B, Z]; a conditional model takes latents and labels."""
        return self.decode(*inputs) if self.num_classes else self.decode(inputs)

    def logits(
        self, images: tf.Tensor, labels: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Judges images [B, H, W, C] in [0, 1]: the log-odds of being real, [B]."""
        return self.discriminator(inputs_of(images, labels), training=training)

    # Training.

    def train_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Takes one step of both networks, each against the other as it was before.

        Args:
            batch: images, float32 [B, H, W, C] in [0, 1]; of a conditional model with labels [B]
                beside them.

        Returns:
            The means since the last `reset_metrics()`; `loss` is the generator's.
        """
        real, labels = images_and_labels(batch, self.num_classes)
        step = self.steps
        seed_dropout(self.networks.values(), derived_key(self.seed, Purpose.DROPOUT, step))
        key = derived_key(self.seed, Purpose.TRAINING_NOISE, step)
        latents = normal_of_batch(key, tf.shape(real)[0], [self.latent_dim])
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
        for optimizer, gradients, variables in (
            (self.discriminator_optimizer, of_judging, judging),
            (self.optimizer, of_drawing, drawing),
        ):
            optimizer.apply(replicas.averaged(optimizer, gradients), variables)
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
        """Logits [B] of real and of drawn images, in training after the same random changes."""
        both = (real, drawn)
        if training:
            key = derived_key(self.seed, Purpose.DIFFERENTIABLE_AUGMENTATION, self.steps)
            both = [
                losses.augment(images, self.recipe.augment, tf.random.fold_in(key, number))
                for number, images in enumerate(both)
            ]
        return tuple(self.logits(images, labels, training) for images in both)

    def _update_means(
        self, losses: tuple[tf.Tensor, ...], logits: tuple[tf.Tensor, ...]
    ) -> dict[str, tf.Tensor]:
        """Adds the losses of both networks and the logits of both kinds of images, each [B]."""
        real, drawn = logits
        right = tf.concat([real > 0, drawn < 0], axis=0)
        values = (*losses, *(tf.sigmoid(each) for each in logits), tf.cast(right, tf.float32))
        replicas.update_means(self.means, dict(zip(self.means, values, strict=True)))
        results = {name: mean.result() for name, mean in self.means.items()}
        return {**results, "loss": results["generator_loss"]}

    @property
    def optimized_variables(self) -> list[keras.Variable]:
        """The generator's variables, which are averaged, evaluated and exported."""
        return self.generator.trainable_variables

    @property
    def checkpoint_parts(self) -> dict[str, Any]:
        """Both networks with their optimizers, and the means."""
        own = {"discriminator_optimizer": self.discriminator_optimizer}
        return {**super().checkpoint_parts, **own}

    def compile(self, optimizer: str | keras.Optimizer = "adam", **options: Any) -> None:
        """Prepares both networks; see `GenerativeModel.compile`."""
        super().compile(optimizer, **options)
        settings = {**self.optimizer.get_config(), "use_ema": False, "name": "of_discriminator"}
        schedule = settings["learning_rate"]
        is_line = isinstance(schedule, dict) and "ends_at" in schedule["config"]
        if is_line and not self.num_classes:  # without labels it wins if it slows down, too
            schedule["config"]["ends_at"] = 1.0
        self.discriminator_optimizer = type(self.optimizer).from_config(settings)
        for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
            if hasattr(self.optimizer, name):  # Keras does not write these into its settings
                setattr(self.discriminator_optimizer, name, getattr(self.optimizer, name))
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def follow_learning_rate(self) -> None:
        """Gives the discriminator the generator's learning rate, which a callback may change."""
        learning_rate = self.optimizer.learning_rate
        if isinstance(learning_rate, keras.Variable):  # else both follow the same schedule
            self.discriminator_optimizer.learning_rate = learning_rate.value

    def fit(self, *arguments: Any, **options: Any) -> keras.callbacks.History:
        """Trains as Keras does; see `keras.Model.fit`.

        Raises:
            ValueError: if the optimizer keeps averages, which Keras would expect for all weights.
        """
        if self.compiled and self.optimizer.use_ema:
            raise ValueError("`fit` knows no averages of the generator alone; leave use_ema out.")
        history = super().fit(*arguments, **options)
        self.update_batchnorm_statistics()
        return history

    def update_batchnorm_statistics(self) -> None:
        """Finds the statistics of batch normalisation from newly drawn images."""
        norms = [
            layer
            for layer in self.generator._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        if not norms:
            return
        height, width, _ = self.image_shape
        affordable = _PIXELS_FOR_STATISTICS // (height * width)
        num = max(min(_DRAWN_FOR_STATISTICS, affordable), _FEWEST_FOR_STATISTICS)
        key = derived_key(self.seed, Purpose.NORMALIZATION_STATISTICS)
        latents = tf.random.stateless_normal([num, self.latent_dim], key)
        labels = tf.range(num) * self.num_classes // num if self.num_classes else None
        usual = [norm.momentum for norm in norms]
        try:
            for norm in norms:
                norm.momentum = 0.0  # only these images count
            self.generator(inputs_of(latents, labels), training=True)
        finally:
            for norm, momentum in zip(norms, usual, strict=True):
                norm.momentum = momentum

    # Copies.

    def get_config(self) -> dict[str, Any]:
        """Returns what rebuilds the model, without its weights."""
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
