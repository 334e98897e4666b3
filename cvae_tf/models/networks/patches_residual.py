"""Networks on patches for photographs and colours, with hundreds of latents.

Between the patches and the latents stands one dense layer and nothing narrower. The convolutions
are in blocks that add to what they are given, and begin next to nothing: so the networks begin as a
linear autoencoder, which for photographs is a good one, and learn what is not linear.
"""

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

_FIRST_DEVIATION = 0.02  # of the weights behind a block


@has_settings("activation")
def build(plan: Plan, filters: int = 64, blocks: int = 2) -> Networks:
    """Builds a pair of such networks.

    Args:
        plan: as all builders get it.
        filters: channels of the convolutions.
        blocks: how many there are in each network.
    """
    check_size(plan.image_shape)
    grid = cover(plan.image_shape)
    return Networks(_encoder(plan, grid, filters, blocks), _decoder(plan, grid, filters, blocks))


def _encoder(plan: Plan, grid: PatchGrid, filters: int, blocks: int) -> keras.Model:
    make, (inputs, images, labels) = plan.encoder, plan.image_input()
    patches = through(to_patches(make, grid, plan.image_shape[-1]), images)
    features = _blocks(plan, make, make.conv(filters, "patches")(patches), blocks)
    flat = with_labels(make, make(layers.Flatten)(features), labels)
    result = make.dense(2 * plan.latent_dim, "mean_and_logvar")(flat)
    return keras.Model(inputs, result, name="encoder")


def _decoder(plan: Plan, grid: PatchGrid, filters: int, blocks: int) -> keras.Model:
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
