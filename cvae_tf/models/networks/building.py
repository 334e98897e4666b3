"""The encoders and decoders, by name: pure builders of Keras models."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import keras

from cvae_tf.core.errors import UserError
from cvae_tf.models.layers import FourierFeatures, ImageLogvar

ImageShape = tuple[int, int, int]  # height, width, channels
Initializers = Iterator[keras.initializers.Initializer]
layers = keras.layers

_SMALLEST_SIDE, _LARGEST_SIDE, _CHANNELS = 8, 256, (1, 3)
_PATCHES_A_SIDE = 8  # at most; 28 pixels make 7 patches of 4


class Networks(NamedTuple):
    """A matching pair of models."""

    encoder: keras.Model  # images [B, H, W, C] -> mean and logvar side by side [B, 2 * Z]
    decoder: keras.Model  # latents [B, Z] -> logits [B, H, W, C], or other parameters of p(x|z)


class Widths(NamedTuple):
    """Sizes of a network on patches."""

    encoder_filters: tuple[int, ...]
    encoder_units: int
    frequencies: int  # of the Fourier features of the latents
    decoder_units: tuple[int, ...]
    decoder_filters: tuple[int, ...]  # the first are made by a dense layer
    activation: str = "relu"


def build_networks(
    name: str,
    image_shape: ImageShape,
    latent_dim: int,
    seed: int,
    precision: str = "float32",
    likelihood: str = "bernoulli",
) -> Networks:
    """Builds an encoder and a decoder with fresh weights.

    Args:
        name: a name in `NETWORKS`.
        image_shape: height, width and channels of an image.
        latent_dim: Z, the number of latent dimensions.
        seed: decides the initial weights.
        precision: the Keras dtype policy of the layers, "float32" or "mixed_bfloat16".
        likelihood: "gaussian" adds learned variances to the decoder's outputs.

    Returns:
        The two models.

    Raises:
        UserError: if the name is unknown or the network cannot take such images.
    """
    if name not in NETWORKS:
        raise UserError(f"--network={name}: unknown; choose from {', '.join(NETWORKS)}.")
    policy_before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        build = functools.partial(NETWORKS[name], tuple(image_shape), latent_dim)
        if likelihood == "gaussian":
            return _with_variance(build(_initializers(seed), outputs=image_shape[-1] + 1))
        return build(_initializers(seed), outputs=image_shape[-1])
    finally:
        keras.config.set_dtype_policy(policy_before)


def _with_variance(networks: Networks) -> Networks:
    stack = [keras.Input(networks.decoder.input_shape[1:]), *networks.decoder.layers]
    stack.append(ImageLogvar(name="image_logvar", dtype="float32"))
    return networks._replace(decoder=keras.Sequential(stack, name="decoder"))


def _initializers(seed: int) -> Initializers:
    """Glorot initializers, each with a seed of its own, so that layers do not start alike."""
    return (keras.initializers.GlorotUniform(seed=seed * 1000 + i) for i in itertools.count())


def tutorial(
    image_shape: ImageShape, latent_dim: int, initializers: Initializers, outputs: int
) -> Networks:
    """The networks of the TensorFlow tutorial, to the letter; they take 28 x 28 x 1 only."""
    if image_shape != (28, 28, 1):
        raise UserError(
            f"The network 'tutorial' takes 28 x 28 pixels with 1 channel; {_are(image_shape)}."
        )

    def conv(kind: type[layers.Layer], filters: int, name: str, **options):
        return kind(filters, 3, kernel_initializer=next(initializers), name=name, **options)

    def dense(units: int, name: str, **options):
        return layers.Dense(units, kernel_initializer=next(initializers), name=name, **options)

    down, up = layers.Conv2D, layers.Conv2DTranspose
    encoder = [
        keras.Input(image_shape),
        conv(down, 32, "conv_1", strides=2, activation="relu"),
        conv(down, 64, "conv_2", strides=2, activation="relu"),
        layers.Flatten(),
        dense(2 * latent_dim, "mean_and_logvar"),
    ]
    decoder = [
        keras.Input((latent_dim,)),
        dense(7 * 7 * 32, "dense", activation="relu"),
        layers.Reshape((7, 7, 32)),
        conv(up, 64, "conv_1", strides=2, padding="same", activation="relu"),
        conv(up, 32, "conv_2", strides=2, padding="same", activation="relu"),
        conv(up, outputs, "logits", padding="same"),
    ]
    return Networks(
        keras.Sequential(encoder, name="encoder"), keras.Sequential(decoder, name="decoder")
    )


def patches(
    image_shape: ImageShape,
    latent_dim: int,
    initializers: Initializers,
    outputs: int,
    widths: Widths,
) -> Networks:
    """Networks whose convolutions work on a coarse grid of patches, at most 8 x 8.

    A strided convolution of a large image with few channels, and its transpose, are the slow
    parts of the tutorial's networks. Here pixels become channels first (space to depth, and back
    at the end: the sub-pixel convolution of Shi et al. 2016), so that each 3 x 3 convolution is
    a large matrix product. The decoder sees its few latents through Fourier features (Tancik et
    al. 2020), without which it draws the fine structure of a 2-D latent space too smoothly.
    """
    _check_size(image_shape)
    return Networks(
        _patch_encoder(image_shape, latent_dim, initializers, widths),
        _patch_decoder(image_shape, latent_dim, initializers, outputs, widths),
    )


def _patch_encoder(image_shape, latent_dim, initializers, widths) -> keras.Model:
    rows, columns, side = _patch_grid(image_shape)
    height, width, channels = image_shape
    below, right = rows * side - height, columns * side - width
    stack = [
        keras.Input(image_shape),
        layers.ZeroPadding2D(((0, below), (0, right))),
        layers.Reshape((rows, side, columns, side, channels)),
        layers.Permute((1, 3, 2, 4, 5)),
        layers.Reshape((rows, columns, side * side * channels)),
    ]
    for i, filters in enumerate(widths.encoder_filters):
        stack.append(_conv(filters, f"conv_{i + 1}", initializers, activation=widths.activation))
    stack += [
        layers.Flatten(),
        _dense(widths.encoder_units, "dense", initializers, activation=widths.activation),
        layers.LayerNormalization(name="norm"),
        _dense(2 * latent_dim, "mean_and_logvar", initializers),
    ]
    return keras.Sequential(stack, name="encoder")


def _patch_decoder(image_shape, latent_dim, initializers, outputs, widths) -> keras.Model:
    rows, columns, side = _patch_grid(image_shape)
    height, width, _ = image_shape
    first_filters, *filters = widths.decoder_filters
    stack = [
        keras.Input((latent_dim,)),
    ]
    if widths.frequencies:
        seed = next(initializers).seed
        stack.append(FourierFeatures(widths.frequencies, seed=seed, name="fourier"))
    for i, units in enumerate(widths.decoder_units):
        stack += [
            _dense(units, f"dense_{i + 1}", initializers, activation=widths.activation),
            layers.LayerNormalization(name=f"norm_{i + 1}"),
        ]
    stack += [
        _dense(rows * columns * first_filters, "grid", initializers, activation=widths.activation),
        layers.Reshape((rows, columns, first_filters)),
    ]
    for i, number in enumerate(filters):
        stack.append(_conv(number, f"conv_{i + 1}", initializers, activation=widths.activation))
    stack += [
        _conv(side * side * outputs, "logits", initializers),
        layers.Reshape((rows, columns, side, side, outputs)),
        layers.Permute((1, 3, 2, 4, 5)),
        layers.Reshape((rows * side, columns * side, outputs)),
        layers.Cropping2D(((0, rows * side - height), (0, columns * side - width))),
    ]
    return keras.Sequential(stack, name="decoder")


def _conv(filters: int, name: str, initializers: Initializers, **options) -> layers.Layer:
    return layers.Conv2D(
        filters, 3, padding="same", kernel_initializer=next(initializers), name=name, **options
    )


def _dense(units: int, name: str, initializers: Initializers, **options) -> layers.Layer:
    return layers.Dense(units, kernel_initializer=next(initializers), name=name, **options)


def _patch_grid(image_shape: ImageShape) -> tuple[int, int, int]:
    """Rows and columns of patches that cover an image, and the side of a patch in pixels."""
    height, width, _ = image_shape
    side = math.ceil(max(height, width) / _PATCHES_A_SIDE)
    return math.ceil(height / side), math.ceil(width / side), side


def _check_size(image_shape: ImageShape) -> None:
    *sides, channels = image_shape
    if not all(_SMALLEST_SIDE <= side <= _LARGEST_SIDE for side in sides):
        allowed = f"{_SMALLEST_SIDE} to {_LARGEST_SIDE}"
        raise UserError(f"Images must be {allowed} pixels a side; {_are(image_shape)}.")
    if channels not in _CHANNELS:
        raise UserError(f"Images must have 1 or 3 channels; {_are(image_shape)}.")


def _are(image_shape: ImageShape) -> str:
    height, width, channels = image_shape
    return f"these images are {height} x {width} with {channels}"


NETWORKS: dict[str, Callable[..., Networks]] = {
    "tutorial": tutorial,
    "patches": functools.partial(
        patches,
        widths=Widths(
            encoder_filters=(32,),
            encoder_units=128,
            frequencies=64,
            decoder_units=(256, 512),
            decoder_filters=(16, 32),
        ),
    ),
    "patches_large": functools.partial(
        patches,
        widths=Widths(
            encoder_filters=(32, 32),
            encoder_units=128,
            frequencies=64,
            decoder_units=(512, 512),
            decoder_filters=(32, 64),
        ),
    ),
    # For tens of latent dimensions: there is no need of Fourier features, but of smoothness.
    "patches_smooth": functools.partial(
        patches,
        widths=Widths(
            encoder_filters=(64, 64),
            encoder_units=512,
            frequencies=0,
            decoder_units=(512, 512),
            decoder_filters=(32, 64),
            activation="gelu",
        ),
    ),
}
