"""The discretized logistic: probabilities of the 256 grey levels, a location and scale for each.

A level has the mass of a logistic density between the middles to its neighbours (Kingma et al.,
"Improved variational inference with inverse autoregressive flow", 2016, equation 9). Level 0 has
all below it too, and level 255 all above (Salimans et al., "PixelCNN++", 2017, section 2.1), so
that the probabilities of the levels sum to 1.
"""

import math

import keras
import tensorflow as tf

from cvae_tf.models.layers import LogisticParameters
from cvae_tf.models.vae.likelihoods import Likelihood, flat

ops = keras.ops  # in what exported models of Keras use too

_HIGHEST = 255  # level; the lowest is 0, and grey levels in [0, 1] are these divided by it
_WIDE = 3.0  # logarithm of scales from which on a density is all but even over the levels
_REACH = 20.0  # scales from a location, beyond which nothing is left
_STRAIGHT = 40.0  # beyond it softplus(x) is x, in float64 too
_VALUES_AT_ONCE = 100_000  # of images under latents; more of them are no faster


def log_prob(images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Log-probability of images with 256 levels, whose values are independent given the latents.

    Args:
        images: grey levels k / 255, [B, H, W, C]; others are taken as the nearest.
        outputs: locations beside the logarithms of the scales, [B, H, W, 2 * C], both of grey
            levels in [0, 1].

    Returns:
        [B], nats, summed over the pixels and channels.
    """
    location, log_scale = tf.split(outputs, 2, axis=-1)
    return tf.reduce_sum(log_prob_of_levels(images, location, log_scale), axis=(1, 2, 3))


def log_prob_of_levels(images: tf.Tensor, location: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """Log-probability of every value.

    With a and b the borders of a level, in scales from the location, it is log(S(b) - S(a)), S the
    logistic function; that is log S(b) + log S(-a) + log(1 - exp(a - b)). No two numbers that are
    nearly the same are subtracted there, so that it is exact however unlikely a level is.

    Args:
        images: grey levels in [0, 1].
        location: of a shape that broadcasts to that of the images.
        log_scale: likewise; at most 80, as `LogisticParameters` sees to.

    Returns:
        Nats, of the shape of the images.
    """
    level = tf.round(_HIGHEST * images)
    precision = tf.exp(-log_scale)
    width = precision / _HIGHEST
    middle = (level / _HIGHEST - location) * precision
    # Products with 0 or 1, because tf.where takes longer than all the rest.
    has_start = tf.clip_by_value(level, 0, 1)
    has_end = tf.clip_by_value(_HIGHEST - level, 0, 1)
    return (
        has_end * tf.math.log_sigmoid(middle + width / 2)
        + has_start * tf.math.log_sigmoid(width / 2 - middle)
        + has_start * has_end * tf.math.log(-tf.math.expm1(-width))
    )


def mean(outputs: tf.Tensor) -> tf.Tensor:
    """Mean images: of the logistic density, what lies outside [0, 1] moved to its ends.

    That is the integral of S((location - t) / scale) over t from 0 to 1; the mean of the levels is
    the same integral by 255 steps, nowhere as far from it as half a level.

    Args:
        outputs: as for `log_prob`, [B, H, W, 2 * C].

    Returns:
        [B, H, W, C] in [0, 1].
    """
    location, log_scale = ops.split(outputs, 2, axis=-1)
    even = ops.sigmoid((location - 0.5) * ops.exp(-log_scale))
    scale = ops.exp(ops.minimum(log_scale, _WIDE))
    near = ops.minimum(ops.maximum(location, -_REACH * scale), 1 + _REACH * scale)
    uneven = scale * (_softplus(near / scale) - _softplus((near - 1) / scale))
    return ops.clip(ops.where(log_scale > _WIDE, even, uneven), 0, 1)


def _softplus(values: tf.Tensor) -> tf.Tensor:
    """Softplus to the same bits, also in LiteRT, whose log(exp(x) + 1) stays at 88."""
    return ops.where(values > _STRAIGHT, values, ops.softplus(ops.minimum(values, _STRAIGHT)))


def _information(outputs: tf.Tensor) -> tf.Tensor:
    """Fisher information of logistic densities whose ends are gathered in the outer levels.

    Of the location it is exact but for the width of the levels, and most where all of a density
    lies between the ends: 1 / (3 scale^2). Of the logarithm of the scale it is (3 + pi^2) / 9
    there, and here in proportion to the share between the ends. A scale far below the width of a
    level tells no more than the level does.
    """
    location, log_scale = tf.split(outputs, 2, axis=-1)
    scale = tf.exp(tf.maximum(log_scale, -math.log(2 * _HIGHEST)))
    below = tf.sigmoid((0.5 / _HIGHEST - location) / scale)  # share of level 0
    not_above = tf.sigmoid((1 - 0.5 / _HIGHEST - location) / scale)  # of all but level 255
    between = ((2 * not_above - 1) ** 3 - (2 * below - 1) ** 3) / 6
    at_ends = below * (1 - below) ** 2 + (1 - not_above) * not_above**2
    of_scale = (3 + math.pi**2) / 9 * (not_above - below)
    return tf.concat([(between + at_ends) / tf.square(scale), of_scale], axis=-1)


def _natural(outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    location, log_scale = tf.split(outputs, 2, axis=-1)
    natural = tf.concat([flat(location), flat(log_scale)], axis=1)
    return natural, tf.zeros_like(natural[:, 0])


@tf.function(reduce_retracing=True)
def _sums(features: tf.Tensor, natural: tf.Tensor) -> tf.Tensor:
    """Log-probabilities of B images for each of G latents, a few at a time, for the memory."""
    location, log_scale = tf.split(natural[:, None], 2, axis=-1)
    num_latents, num_at_once = tf.shape(natural)[0], _VALUES_AT_ONCE // tf.size(features) + 1
    parts = tf.TensorArray(natural.dtype, 0, dynamic_size=True, infer_shape=False)
    for part in tf.range(tf.math.ceil(num_latents / num_at_once)):
        start = tf.cast(part, tf.int32) * num_at_once
        own = slice(start, start + num_at_once)
        values = log_prob_of_levels(features, location[own], log_scale[own])
        parts = parts.write(tf.cast(part, tf.int32), tf.reduce_sum(values, axis=-1))
    return tf.transpose(tf.reshape(parts.concat(), [num_latents, tf.shape(features)[0]]))


DISCRETIZED_LOGISTIC = Likelihood(
    log_prob,
    mean,
    features=flat,
    natural=_natural,
    products=_sums,
    channels_each=2,
    head=lambda: LogisticParameters(name="logistic_parameters", dtype="float32"),
    information=_information,
)
