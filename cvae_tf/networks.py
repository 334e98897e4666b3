"""The encoders and decoders, by name: pure builders of Keras models."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import keras

from cvae_tf.errors import UserError

ImageShape = tuple[int, int, int]  # height, width, channels


class Networks(NamedTuple):
    """A matching pair of models."""

    encoder: keras.Model  # images [B, H, W, C] -> mean and logvar side by side [B, 2 * Z]
    decoder: keras.Model  # latents [B, Z] -> logits [B, H, W, C]


def build_networks(name: str, image_shape: ImageShape, latent_dim: int, seed: int) -> Networks:
    """Builds an encoder and a decoder with fresh weights.

    Args:
        name: a name in `NETWORKS`.
        image_shape: height, width and channels of an image.
        latent_dim: Z, the number of latent dimensions.
        seed: decides the initial weights.

    Returns:
        The two models.

    Raises:
        UserError: if the name is unknown or the network cannot take such images.
    """
    if name not in NETWORKS:
        raise UserError(f"--network={name}: unknown; choose from {', '.join(NETWORKS)}.")
    return NETWORKS[name](tuple(image_shape), latent_dim, _initializers(seed))


def _initializers(seed: int) -> Iterator[keras.initializers.Initializer]:
    """Glorot initializers, each with a seed of its own, so that layers do not start alike."""
    return (keras.initializers.GlorotUniform(seed=seed * 1000 + i) for i in itertools.count())


def tutorial(
    image_shape: ImageShape,
    latent_dim: int,
    initializers: Iterator[keras.initializers.Initializer],
) -> Networks:
    """The networks of the TensorFlow tutorial, to the letter; they take 28 x 28 x 1 only."""
    if image_shape != (28, 28, 1):
        height, width, channels = image_shape
        raise UserError(
            f"The network 'tutorial' takes images of 28 x 28 pixels with 1 channel; "
            f"these have {height} x {width} with {channels}."
        )

    def conv(kind: type[keras.layers.Layer], filters: int, name: str, **options):
        return kind(filters, 3, kernel_initializer=next(initializers), name=name, **options)

    def dense(units: int, name: str, **options):
        return keras.layers.Dense(
            units, kernel_initializer=next(initializers), name=name, **options
        )

    down, up = keras.layers.Conv2D, keras.layers.Conv2DTranspose
    encoder = [
        keras.Input(image_shape),
        conv(down, 32, "conv_1", strides=2, activation="relu"),
        conv(down, 64, "conv_2", strides=2, activation="relu"),
        keras.layers.Flatten(),
        dense(2 * latent_dim, "mean_and_logvar"),
    ]
    decoder = [
        keras.Input((latent_dim,)),
        dense(7 * 7 * 32, "dense", activation="relu"),
        keras.layers.Reshape((7, 7, 32)),
        conv(up, 64, "conv_1", strides=2, padding="same", activation="relu"),
        conv(up, 32, "conv_2", strides=2, padding="same", activation="relu"),
        conv(up, 1, "logits", padding="same"),
    ]
    return Networks(
        keras.Sequential(encoder, name="encoder"), keras.Sequential(decoder, name="decoder")
    )


NETWORKS: dict[str, Callable[..., Networks]] = {"tutorial": tutorial}
