"""What a pixel is to a VAE: how it is made of a grey level, and its likelihood p(x|z), by name.

Densities, means, and all images compared with all latents at once. Both tables are open:
`LIKELIHOODS["mine"] = Likelihood(...)` before `train` is called. `Pixels` joins a name of each.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from cvae_tf.core.randomness import uniform_of_images
from cvae_tf.core.settings import find
from cvae_tf.models.base import Measure
from cvae_tf.models.layers import ImageLogvar, LogisticParameters, NeighbourParameters
from cvae_tf.models.vae.levels import (
    discretized_logistic_log_prob,
    discretized_logistic_mean,
    given_values_before,
    log_prob_of_levels,
    logistic_information,
    neighbour_logistic_log_prob,
    neighbour_logistic_mean,
)
from cvae_tf.models.vae.objectives import ElboTerms
from cvae_tf.models.vae.posterior import LOG_2PI, log_normal

ops = keras.ops  # in what exported models of Keras use too

_OF_AN_IMAGE = (1, 2, 3)  # axes
_NEAR_ZERO = 0.1  # logits for which the continuous Bernoulli needs its series
_NATS = "nats per image"


class Likelihood(NamedTuple):
    """A family of distributions; a decoder's outputs [B, H, W, P] are its parameters.

    Those of an exponential family compare many images with many latents by one matrix product,
    log p(x|z) = features(x) natural(z)' - log_normalizer(z).
    """

    log_prob: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # images, outputs -> [B], nats
    mean: Callable[[tf.Tensor], tf.Tensor]  # outputs -> images [B, H, W, C] in [0, 1]
    features: Callable[[tf.Tensor], tf.Tensor] | None = None  # images -> [B, F]
    natural: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None = None  # -> [B, F] and [B]
    num_parameters: Callable[[int], int] = lambda channels: channels  # P, for so many channels
    head: Callable[[], keras.Layer] | None = None  # makes the parameters of what a decoder makes
    information: Callable[[tf.Tensor], tf.Tensor] | None = None  # outputs -> that of Fisher of each
    is_density: bool = True  # of grey levels; else probabilities of what there can be
    is_of_levels: bool = False  # probabilities of the 256 grey levels, not of black and white
    log_prob_of_values: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None  # not summed,
    # [B, H, W, C]; without it `anomaly` cannot show where an image is unusual
    given_image: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None  # if values depend on
    # each other: images, outputs -> those of `DISCRETIZED_LOGISTIC`, given the values before each

    @property
    def takes_grey(self) -> bool:
        """Whether pixels are grey levels as they are."""
        return self.is_density or self.is_of_levels

    @property
    def is_matrix_product(self) -> bool:
        """Whether it compares many images with many latents by a matrix product, which is fast."""
        return self.natural is not None

    def decoder_parts(self, channels: int) -> dict[str, Any]:
        """What `build_networks` is told of a decoder of such parameters, for images of channels."""
        return {"outputs": self.num_parameters(channels), "head": self.head and self.head()}

    def log_prob_of_all(self, images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Log-probability of each of B images under each of G outputs, [B, G], nats."""
        if self.natural is None:  # under one after another, for the memory
            each = tf.map_fn(
                lambda own: self.log_prob(
                    images, tf.repeat(own[None], tf.shape(images)[0], axis=0)
                ),
                outputs,
                fn_output_signature=tf.TensorSpec([None], outputs.dtype),
                parallel_iterations=1,
            )
            return tf.transpose(each)
        natural, log_normalizer = self.natural(outputs)
        return tf.matmul(self.features(images), natural, transpose_b=True) - log_normalizer


def bernoulli_log_prob(images: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Log-probability of binary images [B, H, W, C] by the log-odds of 1, [B, H, W, C].

    It is summed over the pixels, [B], nats. For grey levels it is the negative cross-entropy, which
    is no log-density.
    """
    return _sum(_bernoulli_of_values(images, logits))


def _bernoulli_of_values(images: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return -tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=logits)


def continuous_bernoulli_log_prob(images: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Log-density of grey levels [B, H, W, C] by the log-odds of lambda: [B], nats.

    Loaiza-Ganem & Cunningham, "The continuous Bernoulli" (2019), equations 6 and 7.
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
    """Log-density of grey levels [B, H, W, C] under Gaussians: [B], nats.

    The outputs, [B, H, W, 2 * C], are logits of the means beside the logarithms of the variances.
    Where all images are compared with all outputs, an image has one variance.
    """
    return log_normal(images, *_gaussian_parameters(outputs), axis=_OF_AN_IMAGE)


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
    mean, logvar = map(flat, _gaussian_parameters(outputs))
    mean = tf.cast(mean, tf.float64)
    logvar = tf.cast(logvar[:, :1], tf.float64)  # `ImageLogvar`: the same for all pixels
    precision = tf.exp(-logvar)
    natural = tf.concat([mean * precision, -0.5 * precision], axis=1)
    of_means = precision[:, 0] * tf.reduce_sum(tf.square(mean), axis=1)
    return natural, 0.5 * (of_means + mean.shape[1] * (logvar[:, 0] + LOG_2PI))


def _features_gaussian(images: tf.Tensor) -> tf.Tensor:
    grey = tf.cast(flat(images), tf.float64)
    return tf.concat([grey, tf.reduce_sum(tf.square(grey), axis=1, keepdims=True)], axis=1)


BERNOULLI = Likelihood(
    bernoulli_log_prob,
    ops.sigmoid,
    flat,
    _natural_bernoulli,
    information=_bernoulli_information,
    is_density=False,
    log_prob_of_values=_bernoulli_of_values,
)
CONTINUOUS_BERNOULLI = Likelihood(
    continuous_bernoulli_log_prob,
    continuous_bernoulli_mean,
    flat,
    _natural_continuous_bernoulli,
    information=_continuous_bernoulli_information,
    log_prob_of_values=lambda images, logits: (
        _bernoulli_of_values(images, logits) + _log_constant(logits)
    ),
)

GAUSSIAN = Likelihood(
    gaussian_log_prob,
    lambda outputs: _gaussian_parameters(outputs)[0],
    _features_gaussian,
    _natural_gaussian,
    num_parameters=lambda channels: channels + 1,
    head=lambda: ImageLogvar(name="image_logvar", dtype="float32"),
    information=_gaussian_information,
    log_prob_of_values=lambda images, outputs: log_normal(
        images, *_gaussian_parameters(outputs), axis=()
    ),
)

DISCRETIZED_LOGISTIC = Likelihood(
    discretized_logistic_log_prob,
    discretized_logistic_mean,
    num_parameters=lambda channels: 2 * channels,
    head=lambda: LogisticParameters(name="logistic_parameters", dtype="float32"),
    information=logistic_information,
    is_density=False,
    is_of_levels=True,
    log_prob_of_values=lambda images, outputs: log_prob_of_levels(
        images, *tf.split(outputs, 2, axis=-1)
    ),
)

NEIGHBOUR_LOGISTIC = Likelihood(
    neighbour_logistic_log_prob,
    neighbour_logistic_mean,
    num_parameters=lambda channels: 3 * channels + channels * (channels - 1) // 2,
    head=lambda: NeighbourParameters(name="neighbour_parameters", dtype="float32"),
    information=logistic_information,
    is_density=False,
    is_of_levels=True,
    log_prob_of_values=lambda images, outputs: log_prob_of_levels(
        images, *tf.split(given_values_before(images, outputs), 2, axis=-1)
    ),
    given_image=given_values_before,
)

LIKELIHOODS = {
    "bernoulli": BERNOULLI,
    "continuous_bernoulli": CONTINUOUS_BERNOULLI,
    "gaussian": GAUSSIAN,
    "discretized_logistic": DISCRETIZED_LOGISTIC,
    "neighbour_logistic": NEIGHBOUR_LOGISTIC,
}


def nats_of_one_bit(image_shape: tuple[int, int, int]) -> float:
    """Nats per image of one bit per dimension; each channel of each pixel is a dimension."""
    return math.prod(image_shape) * math.log(2)


class Binarization(NamedTuple):
    """How grey levels in [0, 1] become pixels."""

    pixels: Callable[[tf.Tensor], tf.Tensor]  # the likeliest ones, if nothing is drawn
    is_drawn: bool  # whether chance decides: white with the grey level as the probability
    description: str

    def of(self, channels: int) -> str:
        """Says it of images with so many channels."""
        return self.description.format("grey levels" if channels == 1 else "colours")


def _above_half(grey: tf.Tensor) -> tf.Tensor:
    return ops.cast(ops.greater(grey, 0.5), "float32")


BINARIZATIONS = {
    "threshold": Binarization(_above_half, False, "pixels above 0.5 are white"),
    # Salakhutdinov & Murray, "On the quantitative analysis of deep belief networks" (2008).
    "dynamic": Binarization(
        _above_half,
        True,
        "drawn white by their grey level in training and in score, else white above 0.5",
    ),
    "none": Binarization(lambda grey: grey, False, "{} as they are"),
}


class Pixels(NamedTuple):
    """Pixels and their likelihood, by the names in `BINARIZATIONS` and `LIKELIHOODS`."""

    binarization_name: str = "threshold"
    likelihood_name: str = "bernoulli"

    @classmethod
    def of(cls, likelihood: str, binarize: str | None = None) -> "Pixels":
        """Pixels of a likelihood, by default grey levels as they are if it is one of these."""
        own = "none" if cls("none", likelihood).likelihood.takes_grey else "threshold"
        return cls(binarize or own, likelihood)

    def to_settings(self) -> dict[str, str]:
        """Gives the two names as a `Config` and saved models have them."""
        return {"binarize": self.binarization_name, "likelihood": self.likelihood_name}

    @property
    def likelihood(self) -> Likelihood:
        """p(x|z) of such pixels."""
        return find("likelihood", LIKELIHOODS, self.likelihood_name)

    @property
    def binarization(self) -> Binarization:
        """How they are made of grey levels."""
        return find("binarize", BINARIZATIONS, self.binarization_name)

    @property
    def has_likelihood(self) -> bool:
        """Whether p(x|z) is a distribution of them at all.

        The cross-entropy of grey levels is none: nothing makes its exponential a density, so what
        it is part of bounds no log p(x).
        """
        return self.likelihood.takes_grey or self.binarization_name != "none"

    @property
    def terms(self) -> dict[str, Measure]:
        """What the ELBO and its parts are to be called."""
        kl = Measure("kl", "KL", _NATS, higher_is_better=False)
        if self.has_likelihood:
            return {
                "elbo": Measure("elbo", "ELBO", _NATS),
                "log_likelihood": Measure("log_likelihood", "log-likelihood", _NATS),
                "kl": kl,
            }
        return {
            "elbo": Measure("pseudo_elbo", "pseudo-ELBO", _NATS),
            "log_likelihood": Measure("negative_cross_entropy", "negative cross-entropy", _NATS),
            "kl": kl,
        }

    def named(self, terms: ElboTerms) -> dict[str, tf.Tensor]:
        """The ELBO and its parts, each [B], by what they are to be called."""
        return {measure.name: getattr(terms, term) for term, measure in self.terms.items()}

    def binarize_mode(self, grey: tf.Tensor) -> tf.Tensor:
        """Makes pixels of grey levels [B, H, W, C] where nothing may be drawn."""
        return self.binarization.pixels(grey)

    def binarize(self, grey: tf.Tensor, key: tf.Tensor, first: int | tf.Tensor = 0) -> tf.Tensor:
        """Makes pixels, float32 [B, H, W, C], by chance if that is what they are.

        Args:
            grey: in [0, 1], float32 [B, H, W, C].
            key: int32 [2], as `derived_key` makes it.
            first: number of the first image; each is drawn by its number.
        """
        if not self.binarization.is_drawn:
            return self.binarize_mode(grey)
        chances = uniform_of_images(key, first, tf.shape(grey)[0], math.prod(grey.shape[1:]))
        return self.binarize_by(grey, tf.reshape(chances, tf.shape(grey)))

    def binarize_by(self, grey: tf.Tensor, chances: tf.Tensor) -> tf.Tensor:
        """Makes pixels of grey levels, drawn ones by numbers in [0, 1) of the same shape."""
        if not self.binarization.is_drawn:
            return self.binarize_mode(grey)
        return tf.cast(chances < grey, tf.float32)
