"""Networks on patches for photographs and colours, with hundreds of latents.

Between the patches and the latents stands one dense layer and nothing narrower. The convolutions
are in blocks that add to what they are given, and begin next to nothing: so the networks begin as a
linear autoencoder, which for photographs is a good one, and learn what is not linear.
"""

import functools

import keras

from cvae_tf.models.networks.building import LayerMaker, Networks, Plan, check_size
from cvae_tf.models.networks.patches import PatchGrid, cover, to_patches, to_pixels

layers = keras.layers

_FIRST_DEVIATION = 0.02  # of the weights behind a block


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
    make, images = plan.encoder, keras.Input(plan.image_shape)
    patches = _through(to_patches(make, grid, plan.image_shape[-1]), images)
    features = _blocks(make, make.conv(filters, "patches")(patches), blocks)
    flat = make(layers.Flatten)(features)
    result = make.dense(2 * plan.latent_dim, "mean_and_logvar")(flat)
    return keras.Model(images, result, name="encoder")


def _decoder(plan: Plan, grid: PatchGrid, filters: int, blocks: int) -> keras.Model:
    make, latents = plan.decoder, keras.Input((plan.latent_dim,))
    flat = make.dense(grid.rows * grid.columns * filters, "grid")(latents)
    features = make(layers.Reshape, (grid.rows, grid.columns, filters))(flat)
    features = _blocks(make, features, blocks)
    patches = make.conv(grid.side * grid.side * plan.outputs, "logits")(features)
    return keras.Model(
        latents, _through(to_pixels(make, grid, plan.outputs), patches), name="decoder"
    )


def _blocks(make: LayerMaker, features: keras.KerasTensor, blocks: int) -> keras.KerasTensor:
    filters = features.shape[-1]
    for number in range(1, blocks + 1):
        change = make.conv(filters, f"conv_{number}", activation="gelu")(features)
        name = f"out_{number}"
        small = keras.initializers.RandomNormal(stddev=_FIRST_DEVIATION, seed=make.seed(name))
        change = make(layers.Conv2D, filters, 1, name=name, kernel_initializer=small)(change)
        features = make(layers.Add)([features, change])
    return features


def _through(stack: list[keras.Layer], features: keras.KerasTensor) -> keras.KerasTensor:
    return functools.reduce(lambda result, layer: layer(result), stack, features)
