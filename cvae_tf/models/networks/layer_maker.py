"""The building blocks of networks: plans, makers of layers, inputs, labels."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import keras

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import layer_seed
from cvae_tf.data.pictures import LARGEST_SIDE, SMALLEST_SIDE
from cvae_tf.models.layers import Dropout, Modulation, OneHot

ImageShape = tuple[int, int, int]  # height, width, channels

_CHANNELS = (1, 3)

Builder = TypeVar("Builder", bound=Callable[..., Any])


class Networks(NamedTuple):
    """A matching pair of models; of a conditional model each takes labels [B] as its second input.

    The encoder begins with `plan.image_input()`, the decoder with `plan.latent_input()`.
    """

    encoder: keras.Model  # images [B, H, W, C] -> mean and logvar side by side [B, 2 * Z]
    decoder: keras.Model  # latents [B, Z] -> parameters of p(x|z), [B, H, W, P]


class Options(NamedTuple):
    """What users may choose, if a network has it; None for the network's own value."""

    hidden: tuple[int, ...] | None = None  # units of the dense layers from the images to the code
    activation: str | None = None
    dropout: float = 0.0

    @classmethod
    def from_config(cls, config: Any) -> "Options":
        """Takes the options from a `Config`."""
        hidden = config.hidden and tuple(int(part) for part in config.hidden.split(","))
        return cls(hidden, config.activation, config.dropout)

    def to_settings(self) -> dict[str, Any]:
        """Returns the options as a `Config` has them."""
        hidden = self.hidden and ",".join(map(str, self.hidden))
        return {"hidden": hidden, "activation": self.activation, "dropout": self.dropout}


def has_settings(*names: str) -> Callable[[Builder], Builder]:
    """Marks which of `Options` a builder uses; the others are refused with its network."""

    def mark(build: Builder) -> Builder:
        build.settings = names
        return build

    return mark


class LayerMaker:
    """Makes the layers of one network: with their precision and initial weights."""

    def __init__(self, network: str, seed: int, precision: str):
        """Takes the name of the network, the seed of all weights, and a dtype policy."""
        self._network, self._seed, self._precision = network, seed, precision

    def __call__(self, kind: type[keras.Layer], *arguments: Any, **options: Any) -> keras.Layer:
        """Makes a layer; one with weights needs a `name`, which decides its initial weights."""
        return kind(*arguments, dtype=self._precision, **options)

    def dense(self, units: int, name: str, **options: Any) -> keras.Layer:
        """Makes a dense layer, by default with Glorot weights."""
        options = {"kernel_initializer": self._glorot(name), **options}
        return self(keras.layers.Dense, units, name=name, **options)

    def conv(
        self,
        filters: int,
        name: str,
        kind: type[keras.Layer] = keras.layers.Conv2D,
        padding: str = "same",
        size: int = 3,
        **options: Any,
    ) -> keras.Layer:
        """Makes a convolution, or a transposed one, by default 3 x 3 with Glorot weights."""
        options = {"kernel_initializer": self._glorot(name), **options}
        return self(kind, filters, size, name=name, padding=padding, **options)

    def dropout(self, rate: float, name: str) -> list[keras.Layer]:
        """Makes a layer that drops features in training, or none; `seed_dropout` seeds it."""
        return [self(Dropout, rate, seed=0, name=name)] if rate else []

    def seed(self, name: str) -> int:
        """The seed of a layer's initial weights."""
        return layer_seed(self._seed, self._network, name)

    def _glorot(self, name: str) -> keras.Initializer:
        return keras.initializers.GlorotUniform(seed=self.seed(name))


class Plan(NamedTuple):
    """What a builder in `NETWORKS` gets."""

    image_shape: ImageShape
    latent_dim: int  # Z
    outputs: int  # P, channels of the decoder's result
    encoder: LayerMaker
    decoder: LayerMaker
    num_classes: int = 0  # Y of a conditional model
    options: Options = Options()

    def image_input(self) -> tuple[Any, keras.KerasTensor, keras.KerasTensor | None]:
        """What an encoder begins with: its inputs; images [B, H, W, C]; labels, if it takes any.

        The labels are one-hot vectors [B, Y], and join features by `with_labels`.
        """
        return _inputs(self.encoder, self.image_shape, "images", self.num_classes)

    def latent_input(self) -> tuple[Any, keras.KerasTensor, keras.KerasTensor | None]:
        """What a decoder begins with: its inputs, latents [B, Z], labels as in `image_input`."""
        return _inputs(self.decoder, (self.latent_dim,), "latents", self.num_classes)

    def activation(self, own: str) -> str:
        """The activation that was asked for, or the network's own."""
        return self.options.activation or own


class GanNetworks(NamedTuple):
    """A generator and its discriminator; of a conditional model each takes labels [B] as well."""

    generator: keras.Model  # latents [B, Z] -> images [B, H, W, C] in [0, 1]
    discriminator: keras.Model  # images [B, H, W, C] in [0, 1] -> logits [B]


class GanPlan(NamedTuple):
    """What a builder in `GAN_NETWORKS` gets; see `Plan`."""

    image_shape: ImageShape
    latent_dim: int  # Z
    generator: LayerMaker
    discriminator: LayerMaker
    num_classes: int = 0  # Y of a conditional model
    spectral_norm: bool = False  # whether the discriminator's layers have norm one

    def latent_input(self) -> tuple[Any, keras.KerasTensor, keras.KerasTensor | None]:
        """What a generator begins with, as `Plan.latent_input`."""
        return _inputs(self.generator, (self.latent_dim,), "latents", self.num_classes)

    def image_input(self) -> tuple[Any, keras.KerasTensor, keras.KerasTensor | None]:
        """What a discriminator begins with, as `Plan.image_input`."""
        return _inputs(self.discriminator, self.image_shape, "images", self.num_classes)


def _inputs(
    make: LayerMaker, shape: tuple[int, ...], name: str, num_classes: int
) -> tuple[Any, keras.KerasTensor, keras.KerasTensor | None]:
    first = keras.Input(shape, name=name)
    if not num_classes:
        return first, first, None
    labels = keras.Input((), dtype="int32", name="labels")
    return [first, labels], first, make(OneHot, num_classes)(labels)


def with_labels(
    make: LayerMaker, features: keras.KerasTensor, labels: keras.KerasTensor | None
) -> keras.KerasTensor:
    """Joins the labels of a conditional model, [B, Y], to features [B, F].

    The features are modulated for each class, and the labels appended, [B, F + Y]. Without labels
    nothing changes.
    """
    if labels is None:
        return features
    features = modulated(make, features, labels, "label")
    return make(keras.layers.Concatenate)([features, labels])


def modulated(
    make: LayerMaker, features: keras.KerasTensor, labels: keras.KerasTensor | None, name: str
) -> keras.KerasTensor:
    """Features [B, F] with gains and shifts for each class; without labels nothing changes."""
    return features if labels is None else make(Modulation, name=name)([features, labels])


def through(layers: Iterable[keras.Layer], features: keras.KerasTensor) -> keras.KerasTensor:
    """Applies layers one after the other to features."""
    return functools.reduce(lambda result, layer: layer(result), layers, features)


def check_size(image_shape: ImageShape) -> None:
    """Raises a UserError unless images have 8 to 256 pixels a side and one or three channels."""
    *sides, channels = image_shape
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides):
        allowed = f"{SMALLEST_SIDE} to {LARGEST_SIDE}"
        raise UserError(f"Images must be {allowed} pixels a side; {describe(image_shape)}.")
    if channels not in _CHANNELS:
        raise UserError(f"Images must have 1 or 3 channels; {describe(image_shape)}.")


def describe(image_shape: ImageShape) -> str:
    """Describes the images in an error."""
    height, width, channels = image_shape
    return f"these images are {height} x {width} with {channels}"
