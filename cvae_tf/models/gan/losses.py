"""What discriminator and generator are to make small; each is an entry of `GAN_LOSSES`.

D(x) is the probability that the discriminator gives to an image x of being real; its logit is what
the network returns.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class GanLoss(NamedTuple):
    """Losses of images, by the discriminator's logits [B] of real and of drawn ones."""

    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # real, drawn -> [B]
    generator: Callable[[tf.Tensor], tf.Tensor]  # drawn -> [B]
    gradient_penalty: float = 0.0  # weight of (|gradient| - 1)^2 between real and drawn images
    has_sides: bool = True  # whether a positive logit means that an image is held to be real

    def of(self, real: tf.Tensor, drawn: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The losses of discriminator and generator, by the logits of images, [B] each."""
        return self.discriminator(real, drawn), self.generator(drawn)


# D: -log D(x) - log(1 - D(G(z))); G: -log D(G(z)). Goodfellow et al. (2014), section 3.
NON_SATURATING = GanLoss(
    discriminator=lambda real, drawn: tf.nn.softplus(-real) + tf.nn.softplus(drawn),
    generator=lambda drawn: tf.nn.softplus(-drawn),
)

# Lim & Ye, "Geometric GAN" (2017), equations 9 and 10.
HINGE = GanLoss(
    discriminator=lambda real, drawn: tf.nn.relu(1 - real) + tf.nn.relu(1 + drawn),
    generator=lambda drawn: -drawn,
)

# Gulrajani et al., "Improved training of Wasserstein GANs" (2017), equation 3.
WGAN_GP = GanLoss(
    discriminator=lambda real, drawn: drawn - real,
    generator=lambda drawn: -drawn,
    gradient_penalty=10.0,
    has_sides=False,
)

GAN_LOSSES = {"non_saturating": NON_SATURATING, "hinge": HINGE, "wgan_gp": WGAN_GP}


def squared_gradients(logits: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor) -> tf.Tensor:
    """The squared norm of the gradient of each image's logit, by its pixels, [B].

    Args:
        logits: of images.
        images: [B, H, W, C].
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(logits(images))
    return tf.reduce_sum(tape.gradient(total, images) ** 2, axis=(1, 2, 3))


def r1_penalty(logits: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor) -> tf.Tensor:
    """Half the mean squared gradient at real images, []; times a weight it is added to the loss.

    Mescheder et al., "Which training methods for GANs do actually converge?" (2018), equation 9.
    """
    return tf.reduce_mean(squared_gradients(logits, real)) / 2


def distance_penalty(
    logits: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, drawn: tf.Tensor, shares: tf.Tensor
) -> tf.Tensor:
    """How far gradients between real and drawn images are from one, squared, mean, [].

    Args:
        logits: of images.
        real: [B, H, W, C].
        drawn: as many.
        shares: of the real one in each mixture, [B, 1, 1, 1] in [0, 1].
    """
    between = shares * real + (1 - shares) * drawn
    norms = tf.sqrt(squared_gradients(logits, between) + 1e-12)
    return tf.reduce_mean((norms - 1) ** 2)
