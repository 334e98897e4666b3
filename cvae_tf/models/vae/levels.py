"""Images of 256 levels: discretized logistics, alone or each given the values before it."""

import math

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.models.layers import channels_of_parameters

ops = keras.ops  # in what exported models of Keras use too

_HIGHEST = 255  # level; the lowest is 0, and grey levels in [0, 1] are these divided by it
_MIDDLE = 0.5  # of the grey levels
_WIDE = 3.0  # logarithm of scales from which on a density is all but even over the levels
_REACH = 20.0  # scales from a location, beyond which nothing is left
_STRAIGHT = 40.0  # beyond it softplus(x) is x, in float64 too


def discretized_logistic_log_prob(images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Log-probability of images with 256 levels, whose values are independent given the latents.

    A level has the mass of a logistic density between the middles to its neighbours (Kingma et al.,
    "Improved variational inference with inverse autoregressive flow", 2016, equation 9). Level 0
    has all below it too, and level 255 all above (Salimans et al., "PixelCNN++", 2017, section
    2.1), so that the probabilities of the levels sum to 1.

    Args:
        images: grey levels k / 255, [B, H, W, C]; others are taken as the nearest.
        outputs: locations beside the logarithms of the scales, [B, H, W, 2 * C], both of grey
            levels in [0, 1].
    """
    values = log_prob_of_levels(images, *tf.split(outputs, 2, axis=-1))
    return tf.reduce_sum(values, axis=(1, 2, 3))


def log_prob_of_levels(images: tf.Tensor, location: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """Log-probability of every value.

    With a and b the borders of a level, in scales from the location, it is log(S(b) - S(a)), S the
    logistic function; that is log S(b) + log S(-a) + log(1 - exp(a - b)). No two numbers that are
    nearly the same are subtracted there, so that it is exact however unlikely a level is.

    Args:
        images: grey levels in [0, 1].
        location: of a shape that broadcasts to that of the images.
        log_scale: likewise; at most 80, as `LogisticParameters` sees to.

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


def discretized_logistic_mean(outputs: tf.Tensor) -> tf.Tensor:
    """Mean images: of the logistic density, what lies outside [0, 1] moved to its ends.

    That is the integral of S((location - t) / scale) over t from 0 to 1; the mean of the levels is
    the same integral by 255 steps, nowhere as far from it as half a level.
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


def logistic_information(outputs: tf.Tensor) -> tf.Tensor:
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


# Pixels that depend on their neighbours, and channels on each other.


def neighbour_logistic_log_prob(images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Log-probability of images with 256 levels, each value given those before it: [B], nats.

    Pixels lie as the fields of a chessboard: first come those whose row and column are both even
    or both odd, then the others, each after the four beside it. In a pixel red comes first, then
    green, then blue (Salimans et al., "PixelCNN++", 2017, equation 3). Each value has a discretized
    logistic distribution, whose location is linear in the values before it.

    Args:
        images: grey levels k / 255, [B, H, W, C]; others are taken as the nearest.
        outputs: [B, H, W, 3 * C + C * (C - 1) / 2]: locations for each channel; logarithms of the
            scales; the shares of the mean of the four neighbours; and of what earlier channels
            differ from theirs: the share of red in green, of red in blue, of green in blue.
    """
    return discretized_logistic_log_prob(images, given_values_before(images, outputs))


def given_values_before(images: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Locations and logarithms of scales given the values before each one, [B, H, W, 2 * C].

    Given them the values are independent logistics. Arguments are as above.
    """
    return _given_before(ops.round(_HIGHEST * images) / _HIGHEST, outputs)


def _given_before(values: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    location, log_scale, of_neighbours, shares = _parts(outputs)
    channels, values = location.shape[-1], values - _MIDDLE
    near = of_neighbours * _mean_of_neighbours(values)
    rest = ops.split(values - near, channels, axis=-1)
    columns = zip(ops.split(location + near, channels, axis=-1), shares, strict=True)
    return ops.concatenate([*(_add(*column, rest) for column in columns), log_scale], axis=-1)


def _parts(outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, list[list[tf.Tensor]]]:
    """Three parameters of all channels, [B, H, W, C]; of each one the shares of earlier ones."""
    channels = channels_of_parameters(outputs)
    ends = [channels, 2 * channels, *range(3 * channels, outputs.shape[-1])]
    location, log_scale, of_neighbours, *of_channels = ops.split(outputs, ends, axis=-1)
    shares = [of_channels[num * (num - 1) // 2 : num * (num + 1) // 2] for num in range(channels)]
    return location, log_scale, of_neighbours, shares


def _add(location: tf.Tensor, shares: list[tf.Tensor], rest: list[tf.Tensor]) -> tf.Tensor:
    """Adds the shares of earlier channels, which differ by `rest` from their neighbours."""
    return sum((share * other for share, other in zip(shares, rest, strict=False)), location)


def _mean_of_neighbours(values: tf.Tensor) -> tf.Tensor:
    """The mean of the pixels above, below and beside one if they come before it, else 0."""
    height, width = values.shape[1:3]
    padded = ops.pad(values, [[0, 0], [1, 1], [1, 1], [0, 0]])
    total = padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1] + padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2]
    rows, columns = np.arange(height)[:, None, None], np.arange(width)[:, None]
    num = 4 - (rows == 0) - (rows == height - 1) - (columns == 0) - (columns == width - 1)
    share = (rows + columns) % 2 / np.maximum(num, 1)
    return total * share.astype(keras.backend.standardize_dtype(values.dtype))


def neighbour_logistic_mean(outputs: tf.Tensor) -> tf.Tensor:
    """Mean images: each value has its mean given the means of those before it.

    It is the mean of all images under these outputs but for what black and white cut off.
    """
    *of_all, shares = _parts(outputs)
    channels, means, rest = len(shares), [], []
    columns = zip(*(ops.split(each, channels, axis=-1) for each in of_all), shares, strict=True)
    for location, log_scale, of_neighbours, earlier in columns:
        location = _add(location, earlier, rest)
        white = discretized_logistic_mean(ops.concatenate([location, log_scale], axis=-1))
        near = of_neighbours * _mean_of_neighbours(white - _MIDDLE)
        mean = discretized_logistic_mean(ops.concatenate([location + near, log_scale], axis=-1))
        means.append(mean)
        rest.append(mean - _MIDDLE - near)
    return ops.concatenate(means, axis=-1)
