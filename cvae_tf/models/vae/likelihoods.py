"""The likelihoods p(x|z) of pixels: densities, means, all images under all latents at once."""

import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from cvae_tf.models.layers import ImageLogvar
from cvae_tf.models.vae.posterior import LOG_2PI, log_normal

ops = keras.ops  # in what exported models of Keras use too

_OF_AN_IMAGE = (1, 2, 3)  # axes
_NEAR_ZERO = 0.1  # logits for which the continuous Bernoulli needs its series


Products = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def matrix_product(features: tf.Tensor, natural: tf.Tensor) -> tf.Tensor:
    """Products of B features and G natural parameters, [B, G]."""
    return tf.matmul(features, natural, transpose_b=True)


class Likelihood(NamedTuple):
    """A family of distributions; a decoder's outputs [B, H, W, P] are its parameters.

    Many images are compared with many latents by
    log p(x|z) = products(features(x), natural(z)) - log_normalizer(z). Of exponential families the
    products are those of matrices; others have a function of their own.
    """

    log_prob: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # images, outputs -> [B], nats
    mean: Callable[[tf.Tensor], tf.Tensor]  # outputs -> images [B, H, W, C] in [0, 1]
    features: Callable[[tf.Tensor], tf.Tensor]  # images -> [B, F]
    natural: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]  # outputs -> [B, F] and [B]
    more_channels: int = 0  # that a decoder makes beside those of an image
    head: Callable[[], keras.Layer] | None = None  # makes the parameters of what a decoder makes
    channels_each: int = 1  # that a decoder makes for each one of an image
    products: Products = matrix_product  # [B, F], [G, F] -> [B, G]
    information: Callable[[tf.Tensor], tf.Tensor] | None = None  # outputs -> that of Fisher of each

    @property
    def is_matrix_product(self) -> bool:
        """Whether it compares many images with many latents by a matrix product, which is fast."""
        return self.products is matrix_product

    def decoder_channels(self, channels: int) -> int:
        """Counts the channels that a decoder makes of images with so many."""
        return self.channels_each * channels + self.more_channels

    def log_prob_of_all(self, images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Log-probability of each of B images under each of G outputs, [B, G], nats."""
        natural, log_normalizer = self.natural(outputs)
        return self.products(self.features(images), natural) - log_normalizer


def bernoulli_log_prob(images: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Log-probability of binary images whose pixels are independent given the latents.

    Args:
        images: pixels 0 or 1, [B, H, W, C].
        logits: log-odds of a pixel being 1, [B, H, W, C].

    Returns:
        [B], nats, summed over the pixels. For grey levels it is the negative cross-entropy, which
        is no log-density.
    """
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=logits)
    return -_sum(cross_entropy)


def continuous_bernoulli_log_prob(images: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Log-density of grey levels under the continuous Bernoulli.

    Loaiza-Ganem & Cunningham, "The continuous Bernoulli" (2019), equations 6 and 7.

    Args:
        images: grey levels in [0, 1], [B, H, W, C].
        logits: log-odds of its parameter lambda, [B, H, W, C].

    Returns:
        [B], nats, summed over the pixels.
    """
    return bernoulli_log_prob(images, logits) + _sum(_log_constant(logits))


def _log_constant(logits: tf.Tensor) -> tf.Tensor:
    """Logarithm of C(lambda) = log(l / tanh(l / 2)), l the logit of lambda; by a series near 0."""
    near = tf.abs(logits) < _NEAR_ZERO
    size = tf.where(near, tf.ones_like(logits), tf.abs(logits))  # no 0 / 0 in the gradient either
    squared = tf.square(logits / 2)
    series = math.log(2) + squared / 3 - 7 * tf.square(squared) / 90
    return tf.where(near, series, tf.math.log(size) - tf.math.log(tf.tanh(size / 2)))


def continuous_bernoulli_mean(logits: tf.Tensor) -> tf.Tensor:
    """Mean grey level, 1 / (1 - exp(-l)) - 1 / l (the same paper, equation 8)."""
    near = ops.abs(logits) < _NEAR_ZERO
    away = ops.where(near, ops.ones_like(logits), logits)
    return ops.where(near, 0.5 + logits / 12, 1 / (1 - ops.exp(-away)) - 1 / away)


def gaussian_log_prob(images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Log-density of grey levels under Gaussians.

    Args:
        images: grey levels, [B, H, W, C].
        outputs: logits of the means beside the logarithms of the variances, [B, H, W, 2 * C].
            Where all images are compared with all outputs, an image has one variance.

    Returns:
        [B], nats, summed over the pixels.
    """
    mean, logvar = _gaussian_parameters(outputs)
    return log_normal(images, mean, logvar, axis=_OF_AN_IMAGE)


def _gaussian_parameters(outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    logits, logvar = ops.split(outputs, 2, axis=-1)
    return ops.sigmoid(logits), logvar


def _sum(pixels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(pixels, axis=_OF_AN_IMAGE)


def _bernoulli_information(logits: tf.Tensor) -> tf.Tensor:
    """The variance of a pixel, which is the Fisher information of its logit."""
    white = tf.sigmoid(logits)
    return white * (1 - white)


def _continuous_bernoulli_information(logits: tf.Tensor) -> tf.Tensor:
    """The variance of a grey level: the derivative of the mean by the logit."""
    near = tf.abs(logits) < _NEAR_ZERO
    size = tf.where(near, tf.ones_like(logits), tf.abs(logits))
    # exp(-l) / (1 - exp(-l))^2, which unlike sinh does not overflow
    variance = 1 / tf.square(size) - tf.exp(-size) / tf.square(tf.math.expm1(-size))
    return tf.where(near, 1 / 12 - tf.square(logits) / 240, variance)


def _gaussian_information(outputs: tf.Tensor) -> tf.Tensor:
    mean, logvar = _gaussian_parameters(outputs)
    of_logits = tf.square(mean * (1 - mean)) * tf.exp(-logvar)
    return tf.concat([of_logits, 0.5 * tf.ones_like(logvar)], axis=-1)


def flat(images: tf.Tensor) -> tf.Tensor:
    """Lays images [B, H, W, C] out as vectors, [B, H * W * C]."""
    return tf.reshape(images, [tf.shape(images)[0], math.prod(images.shape[1:])])


def _natural_bernoulli(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return flat(logits), _sum(tf.nn.softplus(logits))


def _natural_continuous_bernoulli(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return flat(logits), _sum(tf.nn.softplus(logits) - _log_constant(logits))


def _natural_gaussian(outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    # Terms of opposite signs grow with the precision, and all but cancel: too much for float32.
    mean, logvar = (tf.cast(flat(part), tf.float64) for part in _gaussian_parameters(outputs))
    precision = tf.exp(-logvar[:, :1])  # `ImageLogvar`: the same for all pixels of an image
    natural = tf.concat([mean * precision, -0.5 * precision], axis=1)
    return natural, 0.5 * tf.reduce_sum(tf.square(mean) * precision + logvar + LOG_2PI, axis=1)


def _features_gaussian(images: tf.Tensor) -> tf.Tensor:
    grey = tf.cast(flat(images), tf.float64)
    return tf.concat([grey, tf.reduce_sum(tf.square(grey), axis=1, keepdims=True)], axis=1)


BERNOULLI = Likelihood(
    bernoulli_log_prob,
    ops.sigmoid,
    flat,
    _natural_bernoulli,
    information=_bernoulli_information,
)

CONTINUOUS_BERNOULLI = Likelihood(
    continuous_bernoulli_log_prob,
    continuous_bernoulli_mean,
    flat,
    _natural_continuous_bernoulli,
    information=_continuous_bernoulli_information,
)

GAUSSIAN = Likelihood(
    gaussian_log_prob,
    lambda outputs: _gaussian_parameters(outputs)[0],
    _features_gaussian,
    _natural_gaussian,
    more_channels=1,
    head=lambda: ImageLogvar(name="image_logvar", dtype="float32"),
    information=_gaussian_information,
)
