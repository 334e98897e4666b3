"""Residual blocks, for photographs and colours: they add to what they are given.

Blocks begin next to nothing (He et al. 2016; Zhang et al., "Fixup", 2019): so the networks begin as
a linear autoencoder, which for photographs is a good one, and learn what is not linear.

`residual`, for 32 to 256 pixels a side: with strides, sides are halved until at most 8 remain.

`patches_residual`, for hundreds of latents: on patches. Between these and the latents stands one
dense layer and nothing narrower. The first blocks of `residual` see finer grids.
"""

import math

import keras

from cvae_tf.models.networks.building import (
    LayerMaker,
    Networks,
    Plan,
    check_size,
    has_settings,
    through,
    with_labels,
)
from cvae_tf.models.networks.patches import PatchGrid, cover, to_patches, to_pixels

layers = keras.layers

_COARSEST = 8  # cells a side, at most
_FILTERS = {8: 64, 16: 64, 32: 32}  # of `residual`, by cells a side, at most; else 16
_FEWEST = 16
_FIRST_DEVIATION = 0.02  # of the weights behind a block


@has_settings("activation", "dropout")
def build_residual(plan: Plan) -> Networks:
    """Builds the pair."""
    check_size(plan.image_shape)
    grids = _halved_grids(plan.image_shape)
    return Networks(_strided_encoder(plan, grids), _strided_decoder(plan, grids))


def _halved_grids(image_shape: tuple[int, int, int]) -> list[PatchGrid]:
    """The grids of cells from the finest to the coarsest; each has half as many as that before."""
    height, width, _ = image_shape
    halvings = max(1, math.ceil(math.log2(max(height, width) / _COARSEST)))
    whole = 2**halvings
    rows, columns = math.ceil(height / whole) * whole, math.ceil(width / whole) * whole
    below, right = rows - height, columns - width
    grids = [PatchGrid(rows // 2, columns // 2, 2, below, right)]
    for power in range(2, halvings + 1):
        grids.append(PatchGrid(rows // 2**power, columns // 2**power, 2, 0, 0))
    return grids


def _filters(grid: PatchGrid) -> int:
    cells = max(grid.rows, grid.columns)
    return next((count for most, count in _FILTERS.items() if cells <= most), _FEWEST)


def _strided_encoder(plan: Plan, grids: list[PatchGrid]) -> keras.Model:
    make, (inputs, features, labels) = plan.encoder, plan.image_input()
    for number, grid in enumerate(grids, start=1):
        cells = through(to_patches(make, grid, features.shape[-1]), features)
        features = make.conv(_filters(grid), f"down_{number}")(cells)
        features = residual_block(plan, make, features, number)
    flat = with_labels(make, make(layers.Flatten)(features), labels)
    code = make.dense(2 * plan.latent_dim, "mean_and_logvar")(flat)
    return keras.Model(inputs, code, name="encoder")


def _strided_decoder(plan: Plan, grids: list[PatchGrid]) -> keras.Model:
    make, (inputs, latents, labels) = plan.decoder, plan.latent_input()
    features = with_labels(make, latents, labels)
    coarsest = grids[-1]
    shape = (coarsest.rows, coarsest.columns, _filters(coarsest))
    stack = [make.dense(math.prod(shape), "grid"), make(layers.Reshape, shape)]
    features = through(stack, features)
    channels = [plan.outputs, *(_filters(grid) for grid in grids[:-1])]  # of what is drawn of each
    for number, grid in reversed(list(enumerate(grids, start=1))):
        features = residual_block(plan, make, features, number)
        finer = channels[number - 1]
        name = "logits" if number == 1 else f"up_{number}"
        cells = make.conv(grid.side**2 * finer, name)(features)
        features = through(to_pixels(make, grid, finer), cells)
    return keras.Model(inputs, features, name="decoder")


@has_settings("activation")
def build_patches_residual(plan: Plan, filters: int = 64, blocks: int = 2) -> Networks:
    """Builds a pair of such networks.

    Args:
        plan: as all builders get it.
        filters: channels of the convolutions.
        blocks: how many there are in each network.
    """
    check_size(plan.image_shape)
    grid = cover(plan.image_shape)
    return Networks(
        _patch_encoder(plan, grid, filters, blocks), _patch_decoder(plan, grid, filters, blocks)
    )


def _patch_encoder(plan: Plan, grid: PatchGrid, filters: int, blocks: int) -> keras.Model:
    make, (inputs, images, labels) = plan.encoder, plan.image_input()
    patches = through(to_patches(make, grid, plan.image_shape[-1]), images)
    features = _blocks(plan, make, make.conv(filters, "patches")(patches), blocks)
    flat = with_labels(make, make(layers.Flatten)(features), labels)
    result = make.dense(2 * plan.latent_dim, "mean_and_logvar")(flat)
    return keras.Model(inputs, result, name="encoder")


def _patch_decoder(plan: Plan, grid: PatchGrid, filters: int, blocks: int) -> keras.Model:
    make, (inputs, latents, labels) = plan.decoder, plan.latent_input()
    features = with_labels(make, latents, labels)
    flat = make.dense(grid.rows * grid.columns * filters, "grid")(features)
    features = make(layers.Reshape, (grid.rows, grid.columns, filters))(flat)
    features = _blocks(plan, make, features, blocks)
    patches = make.conv(grid.side * grid.side * plan.outputs, "logits")(features)
    return keras.Model(
        inputs, through(to_pixels(make, grid, plan.outputs), patches), name="decoder"
    )


def _blocks(
    plan: Plan, make: LayerMaker, features: keras.KerasTensor, blocks: int
) -> keras.KerasTensor:
    for number in range(1, blocks + 1):
        features = residual_block(plan, make, features, number)
    return features


def residual_block(
    plan: Plan, make: LayerMaker, features: keras.KerasTensor, number: int
) -> keras.KerasTensor:
    """Adds a small change to features [B, rows, columns, F]; layers are named by a number."""
    filters, out = features.shape[-1], f"out_{number}"
    small = keras.initializers.RandomNormal(stddev=_FIRST_DEVIATION, seed=make.seed(out))
    stack = [
        make.conv(filters, f"conv_{number}", activation=plan.activation("gelu")),
        *make.dropout(plan.options.dropout, f"dropout_{number}"),
        make.conv(filters, out, size=1, kernel_initializer=small),
    ]
    return make(layers.Add)([features, through(stack, features)])
