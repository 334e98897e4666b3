"""Layers of our own: Fourier features of latents, the spread of Gaussian and logistic pixels."""

import math

import keras

_FIRST_LOGVAR = 2 * math.log(0.2)  # a standard deviation of a fifth of the range of grey levels
_SMALLEST_LOGVAR = -12.0  # half a grey level of 256; below it a density says nothing
_FIRST_LOG_SCALE = math.log(0.2 * math.sqrt(3) / math.pi)  # the same standard deviation
_SMALLEST_LOG_SCALE = -7 - math.log(2)  # exp(-7) for levels in [-1, 1], as PixelCNN++ has it
_LARGEST_LOG_SCALE = 7.0  # a thousand times the range of grey levels


@keras.saving.register_keras_serializable(package="cvae_tf")
class FourierFeatures(keras.layers.Layer):
    """Latents beside sines and cosines of random directions of them, which are learned on."""

    def __init__(self, frequencies: int, seed: int = 0, **kwargs):
        """Takes the number of directions and the seed of their initial values."""
        super().__init__(**kwargs)
        self.frequencies = frequencies
        self.seed = seed

    def build(self, input_shape):
        """Draws the directions so that the phases have a standard deviation of about 2.8."""
        initializer = keras.initializers.RandomNormal(
            stddev=math.sqrt(8 / input_shape[-1]), seed=self.seed
        )
        shape = (input_shape[-1], self.frequencies)
        self.kernel = self.add_weight(shape=shape, initializer=initializer, name="kernel")

    def call(self, latents):
        """Maps latents [B, Z] to [B, Z + 2 * frequencies]."""
        phases = keras.ops.matmul(latents, self.kernel)
        return keras.ops.concatenate(
            [latents, keras.ops.sin(phases), keras.ops.cos(phases)], axis=-1
        )

    def get_config(self):
        """Returns what the layer is made again from."""
        return {**super().get_config(), "frequencies": self.frequencies, "seed": self.seed}


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
        above = _FIRST_LOG_SCALE - _SMALLEST_LOG_SCALE + more
        log_scale = _SMALLEST_LOG_SCALE + keras.ops.softplus(above)
        log_scale = keras.ops.minimum(log_scale, _LARGEST_LOG_SCALE)
        return keras.ops.concatenate([0.5 + location / 4, log_scale], axis=-1)
