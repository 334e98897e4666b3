"""Generator and discriminator with what both are used for, which `model.GAN` trains."""

from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.arrays import also_of_arrays
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.batch_parts import inputs_of
from cvae_tf.models.gan.layers import seed_vectors
from cvae_tf.models.networks.building import GanNetworks

_SETTLED_ON = 2048  # drawn images, by which batch normalisation is settled; fewer large ones
_SETTLED_PIXELS, _FEWEST_SETTLED = 2**21, 32


class GeneratorDiscriminator(GenerativeModel):
    """The two networks, each with an optimizer of its own; `labels`, if any, are int32 [B]."""

    def __init__(self, networks: GanNetworks, seed: int, num_classes: int = 0, **kwargs: Any):
        """Joins a generator and a discriminator.

        Args:
            networks: the pair.
            seed: decides all noise.
            num_classes: Y, if the networks take labels.
            **kwargs: passed on to `keras.Model`.
        """
        super().__init__(seed, **kwargs)
        self.generator, self.discriminator = networks
        seed_vectors(self.discriminator, seed)
        self.num_classes = num_classes
        self.latent_dim = self.generator.inputs[0].shape[-1]
        self.image_shape = tuple(self.discriminator.inputs[0].shape[1:])

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Generator and discriminator."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    @property
    def optimized_variables(self) -> list[keras.Variable]:
        """Those of the generator: they are averaged, evaluated and exported."""
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
        self.discriminator_optimizer = type(self.optimizer).from_config(settings)
        for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
            if hasattr(self.optimizer, name):  # which Keras does not write into its settings
                setattr(self.discriminator_optimizer, name, getattr(self.optimizer, name))
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def follow_learning_rate(self) -> None:
        """Gives the discriminator the generator's learning rate, which a callback may change."""
        learning_rate = self.optimizer.learning_rate
        if isinstance(learning_rate, keras.Variable):  # else both follow the same schedule
            self.discriminator_optimizer.learning_rate = learning_rate.value

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

    def fit(self, *arguments: Any, **options: Any) -> keras.callbacks.History:
        """Trains as Keras does; see `keras.Model.fit`.

        Raises:
            ValueError: if the optimizer keeps averages, which Keras would look for of all weights.
        """
        if self.compiled and self.optimizer.use_ema:
            raise ValueError("`fit` knows no averages of the generator alone; leave use_ema out.")
        history = super().fit(*arguments, **options)
        self.settle()
        return history

    def settle(self) -> None:
        """Finds the statistics of batch normalisation by images that are drawn now."""
        norms = [
            layer
            for layer in self.generator._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        if not norms:
            return
        height, width, _ = self.image_shape
        num = max(min(_SETTLED_ON, _SETTLED_PIXELS // (height * width)), _FEWEST_SETTLED)
        key = derived_key(self.seed, Purpose.NORMALIZATION_STATISTICS)
        latents = tf.random.stateless_normal([num, self.latent_dim], key)
        labels = tf.range(num) * self.num_classes // num if self.num_classes else None
        usual = [norm.momentum for norm in norms]
        try:
            for norm in norms:
                norm.momentum = 0.0  # these images alone count
            self.generator(inputs_of(latents, labels), training=True)
        finally:
            for norm, momentum in zip(norms, usual, strict=True):
                norm.momentum = momentum
