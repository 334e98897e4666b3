"""Layers of our own: Fourier features, labels, spreads of pixels, dropout, fused normalisation."""

import math
from collections.abc import Iterable

import keras
import tensorflow as tf

from cvae_tf.core import replicas

_FIRST_LOGVAR = 2 * math.log(0.2)  # a standard deviation of a fifth of the range of grey levels
_SMALLEST_LOGVAR = -12.0  # half a grey level of 256; below it a density says nothing
_FIRST_LOG_SCALE = math.log(0.2 * math.sqrt(3) / math.pi)  # the same standard deviation
_SMALLEST_LOG_SCALE = -7 - math.log(2)  # exp(-7) for levels in [-1, 1], as PixelCNN++ has it
_FIRST_SHARE = 0.9  # of the neighbours, and of the channel before
_LARGEST_SHARE = 8.0  # so that all is finite
_LARGEST_LOG_SCALE = 7.0  # a thousand times the range of grey levels
_LARGE_BATCH = 256  # from here on the fused operation wins; it takes longer to begin


@keras.saving.register_keras_serializable(package="cvae_tf")
class FourierFeatures(keras.layers.Layer):
    """Latents beside sines and cosines of random directions of them, which are learned on."""

    def __init__(
        self,
        frequencies: int,
        seed: int = 0,
        of_first: int | None = None,
        variance: float = 8.0,
        **kwargs,
    ):
        """Takes what the features are of.

        Args:
            frequencies: the number of directions.
            seed: of their initial values.
            of_first: how many of the inputs are latents; None for all.
            variance: of the phases at first, if latents are standard Gaussian; the smaller it is,
                the smoother is what is drawn.
            **kwargs: passed on to `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.frequencies, self.seed = frequencies, seed
        self.of_first, self.variance = of_first, variance

    def build(self, input_shape):
        """Draws the directions so that the phases have their variance."""
        num_latents = self.of_first or input_shape[-1]
        deviation = math.sqrt(self.variance / num_latents)
        initializer = keras.initializers.RandomNormal(stddev=deviation, seed=self.seed)
        shape = (num_latents, self.frequencies)
        self.kernel = self.add_weight(shape=shape, initializer=initializer, name="kernel")

    def call(self, inputs):
        """Maps inputs [B, I], of which the first are latents, to [B, I + 2 * frequencies]."""
        phases = keras.ops.matmul(inputs[:, : self.of_first], self.kernel)
        waves = keras.ops.sin(phases), keras.ops.cos(phases)
        return keras.ops.concatenate([inputs, *waves], axis=-1)

    def get_config(self):
        """Returns what the layer is made again from."""
        names = ("frequencies", "seed", "of_first", "variance")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="cvae_tf")
class OneHot(keras.layers.Layer):
    """Labels as vectors: 1 in the place of their class, else 0."""

    def __init__(self, num_classes: int, **kwargs):
        """Takes the number of classes, Y."""
        super().__init__(**kwargs)
        self.num_classes = num_classes

    def call(self, labels):
        """Maps labels [B] to [B, Y]."""
        return keras.ops.one_hot(labels, self.num_classes, dtype=self.compute_dtype)

    def get_config(self):
        """Returns what the layer is made again from."""
        return {**super().get_config(), "num_classes": self.num_classes}


@keras.saving.register_keras_serializable(package="cvae_tf")
class Modulation(keras.layers.Layer):
    """Gains and shifts of features that are learned for each class, at first 1 and 0.

    Perez et al., "FiLM: Visual reasoning with a general conditioning layer" (2018).
    """

    def build(self, input_shapes):
        """Makes a gain and a shift for each feature and class."""
        (*_, units), (_, num_classes) = input_shapes
        shape = (num_classes, units)
        self.gains = self.add_weight(shape=shape, initializer="zeros", name="gains")
        self.shifts = self.add_weight(shape=shape, initializer="zeros", name="shifts")

    def call(self, inputs):
        """Maps features [B, F] or [B, H, W, F] and labels as vectors [B, Y] to such features."""
        features, one_hot = inputs
        shape = (-1, *(1 for _ in features.shape[2:]), features.shape[-1])
        gains, shifts = (
            keras.ops.reshape(keras.ops.matmul(one_hot, each), shape)
            for each in (self.gains, self.shifts)
        )
        return features * (1 + gains) + shifts


@keras.saving.register_keras_serializable(package="cvae_tf")
class ImageLogvar(keras.layers.Layer):
    """Makes one more channel the logarithm of a variance, the same for all pixels of an image.

    It depends on the latents, so that images which are hard to draw are not held to the precision
    of easy ones, nor the other way round.
    """

    def call(self, outputs):
        """Maps logits beside one more channel [B, H, W, C + 1] to logits and logvar, 2 * C."""
        ops = keras.ops
        logits, more = outputs[..., :-1], outputs[..., -1:]
        above = _FIRST_LOGVAR - _SMALLEST_LOGVAR + ops.mean(more, axis=(1, 2, 3), keepdims=True)
        logvar = _SMALLEST_LOGVAR + ops.softplus(above)
        return ops.concatenate([logits, ops.ones_like(logits) * logvar], axis=-1)


@keras.saving.register_keras_serializable(package="cvae_tf")
class LogisticParameters(keras.layers.Layer):
    """Makes locations and logarithms of scales, for each pixel and channel.

    At first the locations are about the middle of the grey levels, and the scales wide. A location
    may lie beyond black or white: so a pixel that is always black costs nothing.
    """

    def call(self, outputs):
        """Maps two numbers for each value [B, H, W, 2 * C] to locations and log_scale, as many."""
        location, more = keras.ops.split(outputs, 2, axis=-1)
        return keras.ops.concatenate([0.5 + location / 4, _log_scale(more)], axis=-1)


def _log_scale(more):
    """Logarithms of scales, at first wide, of what may be any number."""
    above = _FIRST_LOG_SCALE - _SMALLEST_LOG_SCALE + more
    log_scale = _SMALLEST_LOG_SCALE + keras.ops.softplus(above)
    return keras.ops.minimum(log_scale, _LARGEST_LOG_SCALE)


@keras.saving.register_keras_serializable(package="cvae_tf")
class NeighbourParameters(keras.layers.Layer):
    """Makes what `neighbour_logistic_log_prob` takes, of as many numbers.

    At first a value is about the mean of its neighbours, and differs from it as the channel before
    does. Scales soon become small, so locations and shares move by smaller steps than above.
    """

    def call(self, outputs):
        """Maps [B, H, W, 3 * C + C * (C - 1) / 2] to as many."""
        channels = channels_of_parameters(outputs)
        ends = [channels, 2 * channels]
        location, more, shares = keras.ops.split(outputs, ends, axis=-1)
        first = [_FIRST_SHARE] * channels
        for earlier in range(1, channels):
            first += [0.0] * (earlier - 1) + [_FIRST_SHARE]
        shares = keras.ops.convert_to_tensor(first) + shares / 8
        shares = keras.ops.clip(shares, -_LARGEST_SHARE, _LARGEST_SHARE)
        return keras.ops.concatenate([0.5 + location / 8, _log_scale(more), shares], axis=-1)


def channels_of_parameters(outputs: tf.Tensor) -> int:
    """C, if there are 3 * C + C * (C - 1) / 2 parameters for a pixel, [B, H, W, P]."""
    return (math.isqrt(25 + 8 * outputs.shape[-1]) - 5) // 2


@keras.saving.register_keras_serializable(package="cvae_tf")
class Dropout(keras.layers.Dropout):
    """Dropout that drops the same of an image on whichever replica it is.

    With `seed_dropout` its masks are a pure function of the seed and the step, as all noise is.
    """

    def call(self, inputs, training=False):
        """Drops some of the inputs [B, ...] in training."""
        if replicas.count() == 1 or not training or not self.rate:
            return super().call(inputs, training=training)

        def draw(num):
            ones = tf.ones([num, *inputs.shape[1:]], inputs.dtype)
            return keras.random.dropout(ones, self.rate, seed=self.seed_generator)

        return inputs * replicas.own_rows(draw, tf.shape(inputs)[0])


def seed_dropout(networks: Iterable[keras.Model], key: tf.Tensor) -> None:
    """Sets the generators of all dropout layers by a key, int32 [2], of the step.

    Keras would let them run on from step to step.
    """
    layers = (layer for network in networks for layer in network.layers)
    dropouts = (layer for layer in layers if isinstance(layer, keras.layers.Dropout))
    for number, layer in enumerate(dropouts):
        own = tf.random.fold_in(key, number)
        layer.seed_generator.state.assign(tf.bitcast(own, tf.uint32))


def copy_for_use(network: keras.Model) -> keras.Model:
    """Copies a network, with layer normalisations that are one operation for large batches.

    Training keeps those of Keras, whose gradient is faster. What was trained in bfloat16 is
    computed in float32: derivatives by small differences need it, and it runs anywhere. Results are
    the same but for rounding.
    """
    duplicate = keras.models.clone_model(network, clone_function=_copy_layer)
    duplicate.set_weights(network.get_weights())
    return duplicate


def _copy_layer(layer: keras.Layer) -> keras.Layer:
    is_norm = type(layer) is keras.layers.LayerNormalization
    config = layer.get_config()
    if layer.compute_dtype == "bfloat16":
        config["dtype"] = "float32"
    return (_FusedNormalization if is_norm else type(layer)).from_config(config)


@keras.saving.register_keras_serializable("cvae_tf")
class _FusedNormalization(keras.layers.LayerNormalization):
    """Layer normalisation of [B, D]; for large batches fused."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.cond(
            tf.shape(inputs)[0] < _LARGE_BATCH,
            lambda: super(_FusedNormalization, self).call(inputs),
            lambda: self._fused(inputs),
        )

    def _fused(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalises a batch of vectors as if it were one image with B channels."""
        batch_size, units = tf.shape(inputs)[0], inputs.shape[1]
        normalized, _, _ = tf.compat.v1.nn.fused_batch_norm(
            tf.reshape(tf.cast(inputs, tf.float32), [1, batch_size, units, 1]),
            scale=tf.ones([batch_size]),
            offset=tf.zeros([batch_size]),
            epsilon=self.epsilon,
            data_format="NCHW",
        )
        outputs = tf.reshape(normalized, [-1, units]) * self.gamma + self.beta
        return tf.cast(outputs, self.compute_dtype)
