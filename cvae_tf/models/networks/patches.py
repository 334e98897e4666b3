"""Networks whose convolutions work on a coarse grid of at most 8 x 8 patches.

A strided convolution of a large image with few channels, and its transpose, are the slow parts of
the tutorial's networks. Here pixels become channels first (space to depth, and back at the end: the
sub-pixel convolution of Shi et al. 2016), so that each 3 x 3 convolution is a large matrix product.

`patches`: the decoder gets its few latents as Fourier features (Tancik et al. 2020). Without them
it draws the fine structure of a 2-D latent space too smoothly.

`patches_smooth`, for tens of latents: without Fourier features, and wider.

`patches_residual`, for photographs and hundreds of latents: residual blocks, which are almost zero
at the start (He et al. 2016; Zhang et al., "Fixup", 2019). So the network begins as a linear
autoencoder, which for photographs is a good one, and learns what is not linear. Between patches and
latents there is one dense layer, and nothing narrower.
"""

import math
from typing import NamedTuple

import keras

from cvae_tf.models.layers import FourierFeatures
from cvae_tf.models.networks.layer_maker import (
    ImageShape,
    LayerMaker,
    Networks,
    Plan,
    check_size,
    has_settings,
    modulated,
    through,
    with_labels,
)

layers = keras.layers

_PATCHES_A_SIDE = 8  # at most; 28 pixels make 7 patches of 4
_PHASES = 8.0  # initial variance of the phases of the Fourier features
# One class has less fine structure; where it has few latents, smooth drawings are better.
_PHASES_OF_CLASS = 0.36
_BLOCKS, _BLOCK_FILTERS = 2, 64  # of `patches_residual`, in each network
_FIRST_DEVIATION = 0.02  # of the weights behind a block


class Widths(NamedTuple):
    """Sizes of a network on patches."""

    encoder_filters: tuple[int, ...]
    encoder_units: int
    frequencies: int  # of the Fourier features of the latents
    decoder_units: tuple[int, ...]
    decoder_filters: tuple[int, ...]  # the first are those of a dense layer
    activation: str = "relu"


class PatchGrid(NamedTuple):
    """The patches that cover an image."""

    rows: int
    columns: int
    side: int  # of a patch, in pixels
    below: int  # pixels by which the patches reach beyond the image
    right: int


@has_settings("activation")
def build_patches(plan: Plan) -> Networks:
    """Builds the pair of the presets `fast` and `best`."""
    return _build(plan, Widths((32,), 128, 64, (256, 512), (16, 32)))


@has_settings("activation")
def build_smooth(plan: Plan) -> Networks:
    """Builds the pair for tens of latents."""
    return _build(plan, Widths((64, 64), 512, 0, (512, 512), (32, 64), activation="gelu"))


def _build(plan: Plan, widths: Widths) -> Networks:
    check_size(plan.image_shape)
    grid = cover(plan.image_shape)
    widths = widths._replace(activation=plan.activation(widths.activation))
    return Networks(_encoder(plan, grid, widths), _decoder(plan, grid, widths))


def cover(image_shape: ImageShape) -> PatchGrid:
    """Covers an image with at most 8 x 8 square patches."""
    height, width, _ = image_shape
    side = math.ceil(max(height, width) / _PATCHES_A_SIDE)
    rows, columns = math.ceil(height / side), math.ceil(width / side)
    return PatchGrid(rows, columns, side, rows * side - height, columns * side - width)


def to_patches(make: LayerMaker, grid: PatchGrid, channels: int) -> list[keras.Layer]:
    """Layers that turn images [B, H, W, C] into patches, [B, rows, columns, side * side * C]."""
    rows, columns, side, below, right = grid
    return [
        make(layers.ZeroPadding2D, ((0, below), (0, right))),
        make(layers.Reshape, (rows, side, columns, side, channels)),
        make(layers.Permute, (1, 3, 2, 4, 5)),
        make(layers.Reshape, (rows, columns, side * side * channels)),
    ]


def to_pixels(make: LayerMaker, grid: PatchGrid, channels: int) -> list[keras.Layer]:
    """Layers that do the reverse of `to_patches`."""
    rows, columns, side, below, right = grid
    return [
        make(layers.Reshape, (rows, columns, side, side, channels)),
        make(layers.Permute, (1, 3, 2, 4, 5)),
        make(layers.Reshape, (rows * side, columns * side, channels)),
        make(layers.Cropping2D, ((0, below), (0, right))),
    ]


def _encoder(plan: Plan, grid: PatchGrid, widths: Widths) -> keras.Model:
    make, (inputs, images, labels) = plan.encoder, plan.image_input()
    stack = to_patches(make, grid, plan.image_shape[-1])
    for i, filters in enumerate(widths.encoder_filters):
        stack.append(make.conv(filters, f"conv_{i + 1}", activation=widths.activation))
    features = with_labels(make, through([*stack, make(layers.Flatten)], images), labels)
    stack = [
        make.dense(widths.encoder_units, "dense", activation=widths.activation),
        make(layers.LayerNormalization, name="norm"),
        make.dense(2 * plan.latent_dim, "mean_and_logvar"),
    ]
    return keras.Model(inputs, through(stack, features), name="encoder")


def _decoder(plan: Plan, grid: PatchGrid, widths: Widths) -> keras.Model:
    make, activation = plan.decoder, widths.activation
    rows, columns, side, below, right = grid
    first_filters, *filters = widths.decoder_filters
    inputs, latents, labels = plan.latent_input()
    features = with_labels(make, latents, labels)
    if widths.frequencies:
        features = make(
            FourierFeatures,
            widths.frequencies,
            make.seed("fourier"),
            of_first=plan.latent_dim,
            variance=_PHASES if labels is None else _PHASES_OF_CLASS,
            name="fourier",
        )(features)
    for i, units in enumerate(widths.decoder_units):
        dense = make.dense(units, f"dense_{i + 1}", activation=activation)
        features = make(layers.LayerNormalization, name=f"norm_{i + 1}")(dense(features))
        if i == 0:
            features = modulated(make, features, labels, "label_1")
    stack = [
        make.dense(rows * columns * first_filters, "grid", activation=activation),
        make(layers.Reshape, (rows, columns, first_filters)),
    ]
    for i, number in enumerate(filters):
        stack.append(make.conv(number, f"conv_{i + 1}", activation=activation))
    stack += [
        make.conv(side * side * plan.outputs, "logits"),
        *to_pixels(make, grid, plan.outputs),
    ]
    return keras.Model(inputs, through(stack, features), name="decoder")


@has_settings("activation")
def build_residual(plan: Plan) -> Networks:
    """Builds the pair of residual blocks, of the preset `photo`."""
    check_size(plan.image_shape)
    grid = cover(plan.image_shape)
    return Networks(_residual_encoder(plan, grid), _residual_decoder(plan, grid))


def _residual_encoder(plan: Plan, grid: PatchGrid) -> keras.Model:
    make, (inputs, images, labels) = plan.encoder, plan.image_input()
    patches = through(to_patches(make, grid, plan.image_shape[-1]), images)
    features = _blocks(plan, make, make.conv(_BLOCK_FILTERS, "patches")(patches))
    flat = with_labels(make, make(layers.Flatten)(features), labels)
    code = make.dense(2 * plan.latent_dim, "mean_and_logvar")(flat)
    return keras.Model(inputs, code, name="encoder")


def _residual_decoder(plan: Plan, grid: PatchGrid) -> keras.Model:
    make, (inputs, latents, labels) = plan.decoder, plan.latent_input()
    features = with_labels(make, latents, labels)
    flat = make.dense(grid.rows * grid.columns * _BLOCK_FILTERS, "grid")(features)
    features = make(layers.Reshape, (grid.rows, grid.columns, _BLOCK_FILTERS))(flat)
    patches = make.conv(grid.side**2 * plan.outputs, "logits")(_blocks(plan, make, features))
    drawn = through(to_pixels(make, grid, plan.outputs), patches)
    return keras.Model(inputs, drawn, name="decoder")


def _blocks(plan: Plan, make: LayerMaker, features: keras.KerasTensor) -> keras.KerasTensor:
    """Adds small changes to features [B, rows, columns, F], one after the other."""
    for number in range(1, _BLOCKS + 1):
        name = f"out_{number}"
        small = keras.initializers.RandomNormal(stddev=_FIRST_DEVIATION, seed=make.seed(name))
        block = [
            make.conv(_BLOCK_FILTERS, f"conv_{number}", activation=plan.activation("gelu")),
            make.conv(_BLOCK_FILTERS, name, size=1, kernel_initializer=small),
        ]
        features = make(layers.Add)([features, through(block, features)])
    return features
