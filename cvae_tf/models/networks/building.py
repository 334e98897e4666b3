"""What a network is built from, and how an encoder and a decoder are built by name."""

from typing import Any, NamedTuple

import keras

from cvae_tf import registry
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import layer_seed
from cvae_tf.reading import LARGEST_SIDE, SMALLEST_SIDE

ImageShape = tuple[int, int, int]  # height, width, channels

_CHANNELS = (1, 3)


class Networks(NamedTuple):
    """A matching pair of models."""

    encoder: keras.Model  # images [B, H, W, C] -> mean and logvar side by side [B, 2 * Z]
    decoder: keras.Model  # latents [B, Z] -> parameters of p(x|z), [B, H, W, P]


class Plan(NamedTuple):
    """What a builder in the table of networks is given."""

    image_shape: ImageShape
    latent_dim: int  # Z
    outputs: int  # P, channels of the decoder's result
    encoder: "LayerMaker"
    decoder: "LayerMaker"


class LayerMaker:
    """Makes the layers of one network: their precision, and initial weights of their own."""

    def __init__(self, network: str, seed: int, precision: str):
        """Takes the name of the network, the seed of all weights, and a dtype policy."""
        self._network, self._seed, self._precision = network, seed, precision

    def __call__(self, kind: type[keras.Layer], *arguments: Any, **options: Any) -> keras.Layer:
        """Makes a layer; one with weights needs a `name`, by which it gets its initial weights."""
        return kind(*arguments, dtype=self._precision, **options)

    def dense(self, units: int, name: str, **options: Any) -> keras.Layer:
        """Makes a dense layer with Glorot weights."""
        return self(
            keras.layers.Dense, units, name=name, kernel_initializer=self._glorot(name), **options
        )

    def conv(
        self,
        filters: int,
        name: str,
        kind: type[keras.Layer] = keras.layers.Conv2D,
        padding: str = "same",
        **options: Any,
    ) -> keras.Layer:
        """Makes a 3 x 3 convolution, or a transposed one, with Glorot weights."""
        initializer = self._glorot(name)
        return self(
            kind, filters, 3, name=name, padding=padding, kernel_initializer=initializer, **options
        )

    def seed(self, name: str) -> int:
        """The seed of a layer's initial weights."""
        return layer_seed(self._seed, self._network, name)

    def _glorot(self, name: str) -> keras.Initializer:
        return keras.initializers.GlorotUniform(seed=self.seed(name))


def build_networks(
    name: str,
    image_shape: ImageShape,
    latent_dim: int,
    seed: int,
    precision: str = "float32",
    outputs: int | None = None,
    head: keras.Layer | None = None,
) -> Networks:
    """Builds an encoder and a decoder with fresh weights.

    Args:
        name: a name in `registry.NETWORKS`.
        image_shape: height, width and channels of an image.
        latent_dim: Z, the number of latent dimensions.
        seed: decides the initial weights.
        precision: the Keras dtype policy of the layers, "float32" or "mixed_bfloat16".
        outputs: channels of the decoder; by default as many as an image has.
        head: a layer that makes parameters of p(x|z) of the decoder's outputs.

    Returns:
        The two models.

    Raises:
        UserError: if the name is unknown or the network cannot take such images.
    """
    build = registry.NETWORKS.load(name)
    makers = (LayerMaker(network, seed, precision) for network in Networks._fields)
    plan = Plan(tuple(image_shape), latent_dim, outputs or image_shape[-1], *makers)
    networks = build(plan)
    return networks if head is None else networks._replace(decoder=_with(networks.decoder, head))


def _with(network: keras.Model, head: keras.Layer) -> keras.Model:
    """Puts a layer behind a network of any form."""
    return keras.Model(network.inputs[0], head(network.outputs[0]), name=network.name)


def check_size(image_shape: ImageShape) -> None:
    """Raises a UserError unless images have 8 to 256 pixels a side and one or three channels."""
    *sides, channels = image_shape
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides):
        allowed = f"{SMALLEST_SIDE} to {LARGEST_SIDE}"
        raise UserError(f"Images must be {allowed} pixels a side; {describe(image_shape)}.")
    if channels not in _CHANNELS:
        raise UserError(f"Images must have 1 or 3 channels; {describe(image_shape)}.")


def describe(image_shape: ImageShape) -> str:
    """Says in an error what the images are."""
    height, width, channels = image_shape
    return f"these images are {height} x {width} with {channels}"
