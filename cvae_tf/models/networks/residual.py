"""Residual blocks with strides, for photographs and colours of 32 to 256 pixels a side.

The sides are halved until at most 8 remain. As in `patches_residual`, blocks add to what they are
given and begin next to nothing (He et al. 2016; Zhang et al., "Fixup", 2019): the networks begin as
a linear autoencoder. Here the first blocks see finer grids than those of patches.
"""

import math

import keras

from cvae_tf.models.networks.building import (
    Networks,
    Plan,
    check_size,
    has_settings,
    through,
    with_labels,
)
from cvae_tf.models.networks.patches import PatchGrid, to_patches, to_pixels
from cvae_tf.models.networks.patches_residual import residual_block

layers = keras.layers

_COARSEST = 8  # cells a side, at most
_FILTERS = {8: 64, 16: 64, 32: 32}  # by cells a side, at most; of finer grids 16
_FEWEST = 16


@has_settings("activation", "dropout")
def build(plan: Plan) -> Networks:
    """Builds the pair."""
    check_size(plan.image_shape)
    grids = _halved_grids(plan.image_shape)
    return Networks(_encoder(plan, grids), _decoder(plan, grids))


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


def _encoder(plan: Plan, grids: list[PatchGrid]) -> keras.Model:
    make, (inputs, features, labels) = plan.encoder, plan.image_input()
    for number, grid in enumerate(grids, start=1):
        cells = through(to_patches(make, grid, features.shape[-1]), features)
        features = make.conv(_filters(grid), f"down_{number}")(cells)
        features = residual_block(plan, make, features, number)
    flat = with_labels(make, make(layers.Flatten)(features), labels)
    code = make.dense(2 * plan.latent_dim, "mean_and_logvar")(flat)
    return keras.Model(inputs, code, name="encoder")


def _decoder(plan: Plan, grids: list[PatchGrid]) -> keras.Model:
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
