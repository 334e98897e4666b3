"""Generator and discriminator with what both are used for, which `model.GAN` trains."""

from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.batch_parts import inputs_of
from cvae_tf.models.networks.building import GanNetworks

_SETTLED_ON = 512  # drawn images, by which batch normalisation is settled; fewer large ones
_SETTLED_PIXELS = 2**19


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
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def decode_mean(self, latents: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Draws the image of latents [B, Z]: [B, H, W, C] in [0, 1]."""
        return self.generator(inputs_of(latents, labels), training=False)

    def call(self, inputs: Any) -> tf.Tensor:
        """Draws the images of latents [B, Z]; a conditional model takes latents and labels."""
        return self.decode_mean(*inputs) if self.num_classes else self.decode_mean(inputs)

    def logits(
        self, images: tf.Tensor, labels: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Judges images [B, H, W, C] in [0, 1]: the log-odds of being real, [B]."""
        return self.discriminator(inputs_of(images, labels), training=training)

    def settle(self) -> None:
        """Finds the statistics of batch normalisation by images that are drawn now."""
        norms = keras.layers.BatchNormalization
        if not any(isinstance(layer, norms) for layer in self.generator.layers):
            return
        height, width, _ = self.image_shape
        num = max(min(_SETTLED_ON, _SETTLED_PIXELS // (height * width)), 16)
        key = derived_key(self.seed, Purpose.NORMALIZATION_STATISTICS)
        latents = tf.random.stateless_normal([num, self.latent_dim], key)
        labels = tf.range(num) % self.num_classes if self.num_classes else None
        self.generator(inputs_of(latents, labels), training=True)
