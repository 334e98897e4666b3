"""The losses of discriminator and generator, and random changes of the images.

Each loss is an entry of `GAN_LOSSES`. D(x) is the probability that the discriminator gives to an
image x of being real; its logit is what the network returns.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import tensorflow as tf

from cvae_tf.core.randomness import uniform_of_batch

_LARGEST_SHIFT = 1 / 8  # of a side
_HOLE = 1 / 2  # of a side


class GanLoss(NamedTuple):
    """Losses of images, from the discriminator's logits [B] for real and drawn images."""

    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # real, drawn -> [B]
    generator: Callable[[tf.Tensor], tf.Tensor]  # drawn -> [B]
    gradient_penalty: float = 0.0  # weight of (|gradient| - 1)^2 between real and drawn images
    has_sides: bool = True  # whether a positive logit means "real"

    def of(self, real: tf.Tensor, drawn: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The losses of discriminator and generator, from the logits of images, [B] each."""
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
    """The squared norm of each logit's gradient with respect to pixels [B, H, W, C]: [B]."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(logits(images))
    return tf.reduce_sum(tape.gradient(total, images) ** 2, axis=(1, 2, 3))


def r1_penalty(logits: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor) -> tf.Tensor:
    """Half the mean squared gradient at real images, []; the loss adds it with a weight.

    Mescheder et al., "Which training methods for GANs do actually converge?" (2018), equation 9.
    """
    return tf.reduce_mean(squared_gradients(logits, real)) / 2


def distance_penalty(
    logits: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, drawn: tf.Tensor, shares: tf.Tensor
) -> tf.Tensor:
    """The mean squared distance from one of gradients between real and drawn images, [].

    Args:
        logits: of images.
        real: [B, H, W, C].
        drawn: as many.
        shares: of the real image in each mixture, [B, 1, 1, 1] in [0, 1].
    """
    between = shares * real + (1 - shares) * drawn
    norms = tf.sqrt(squared_gradients(logits, between) + 1e-12)
    return tf.reduce_mean((norms - 1) ** 2)


# Random changes of real and drawn images alike, through which the generator still learns (Zhao et
# al., "Differentiable augmentation for data-efficient GAN training", 2020): the losses see only
# changed images, so that few images are not learned by heart. Gradient penalties see them
# unchanged.


def kinds_of(diff_augment: str) -> tuple[str, ...]:
    """The kinds of change that a setting names; none for "auto", before it is resolved."""
    return () if diff_augment in ("none", "auto") else tuple(diff_augment.split(","))


def augment(images: tf.Tensor, kinds: Iterable[str], key: tf.Tensor) -> tf.Tensor:
    """Changes each image at random; colours may leave [0, 1].

    Args:
        images: [B, H, W, C] in [0, 1].
        kinds: some of `KINDS`.
        key: int32 [2], decides the changes.
    """
    for number, (kind, change) in enumerate(KINDS.items()):
        if kind in kinds:
            images = change(images, tf.random.fold_in(key, number))
    return images


def _uniform(images: tf.Tensor, key: tf.Tensor, number: int) -> tf.Tensor:
    """A number from 0 to 1 for each image, [B, 1, 1, 1]."""
    key = tf.random.fold_in(key, number)
    return uniform_of_batch(key, tf.shape(images)[0], [1, 1, 1])


def _mirror(images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    return tf.where(_uniform(images, key, 0) < 0.5, tf.reverse(images, axis=[2]), images)


def _translate(images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Shifts by matrix products, whose gradients are matrix products too; black comes in."""
    height, width, channels = images.shape[1:]
    rows, columns = (
        _shifts(side, _uniform(images, key, number)) for number, side in enumerate((height, width))
    )
    moved = tf.matmul(rows, tf.reshape(images, [-1, height, width * channels]))
    moved = tf.reshape(moved, [-1, height, width, channels])
    return tf.einsum("bvw,bhwc->bhvc", columns, moved)


def _shifts(side: int, uniform: tf.Tensor) -> tf.Tensor:
    """Matrices [B, side, side] that shift by whole pixels, up to an eighth of the side."""
    largest = int(side * _LARGEST_SHIFT + 0.5)
    shift = tf.cast(tf.floor(uniform[:, 0, 0] * (2 * largest + 1)), tf.int32) - largest  # [B, 1]
    return tf.one_hot(tf.range(side) + shift, side)


def _cut_out(images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Makes a rectangle of half the sides black; its centre is anywhere."""
    inside = True
    for number, side in enumerate(images.shape[1:3]):
        centre = _uniform(images, key, number)[:, 0, 0] * side  # [B, 1]
        is_near = tf.abs(tf.range(side, dtype=tf.float32) + 0.5 - centre) < side * _HOLE / 2
        inside = inside & (is_near[:, :, None] if number == 0 else is_near[:, None, :])
    return tf.where(inside[..., None], 0.0, images)


def _colour(images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Changes brightness, saturation and contrast."""
    images += (_uniform(images, key, 0) - 0.5) / 2
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = grey + (images - grey) * 2 * _uniform(images, key, 1)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * (0.5 + _uniform(images, key, 2))


KINDS = {  # their order decides their noise
    "mirror": _mirror,
    "translation": _translate,
    "cutout": _cut_out,
    "colour": _colour,
}
