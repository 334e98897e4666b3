"""A light pair for two cores: pixels become channels, and back, so that convolutions are coarse.

The generator's last layers make several pixels at each place (sub-pixel convolution, Shi et al.
2016), and the discriminator begins with two by two pixels at each place.
"""

import keras

from cvae_tf.models.networks.building import (
    GanNetworks,
    GanPlan,
    LayerMaker,
    check_size,
    through,
    with_labels,
)
from cvae_tf.models.networks.gan_layers import (
    BatchDeviation,
    in_unit_range,
    logit,
    normalized,
    settled,
)
from cvae_tf.models.networks.patches import PatchGrid, to_patches, to_pixels

layers = keras.layers

_FIRST = 256  # features of the generator's coarsest grid, of at most 4 x 4 places
_LARGE = (64, 256)  # filters of the two convolutions on each grid of an image beyond 32 pixels
_LAST = ((64, 96), (24,))  # of those on the last two grids, before the pixels
_STRIDED = ((32, 72), (72, 144))  # of the discriminator: a convolution, one with strides
_FURTHER = (32, 32)  # such a pair for each doubling beyond 32 pixels
_USUAL_DOUBLINGS = 3  # of a 4 x 4 grid, to 32 pixels


def build(plan: GanPlan) -> GanNetworks:
    """Builds the pair."""
    check_size(plan.image_shape)
    doublings = _doublings(plan)
    return GanNetworks(_generator(plan, doublings), _discriminator(plan, doublings))


def _doublings(plan: GanPlan) -> int:
    """How often a grid of 4 x 4 places is doubled to cover the image, at least three times."""
    side, doublings = max(plan.image_shape[:2]), _USUAL_DOUBLINGS
    while 4 * 2**doublings < side:
        doublings += 1
    return doublings


def _generator(plan: GanPlan, doublings: int) -> keras.Model:
    make, (inputs, latents, labels) = plan.generator, plan.latent_input()
    height, width, channels = plan.image_shape
    rows, columns = (-(-side // 2**doublings) for side in (height, width))

    def doubled(features: keras.KerasTensor) -> keras.KerasTensor:
        rows, columns, filters = features.shape[1:]
        grid = PatchGrid(rows, columns, 2, 0, 0)
        return through(to_pixels(make, grid, filters // 4), features)

    features = with_labels(make, latents, labels)
    features = make.dense(rows * columns * _FIRST, "dense", use_bias=False)(features)
    features = make(layers.Reshape, (rows, columns, _FIRST))(features)
    grids = [*[_LARGE] * (doublings - _USUAL_DOUBLINGS), *_LAST]
    for number, filters in enumerate(grids, 1):
        features = settled(plan, doubled(features), labels, f"grid_{number}")
        for place, width_of in enumerate(filters, 1):
            name = f"conv_{number}_{place}"
            conv = make.conv(width_of, name, use_bias=False)
            features = settled(plan, conv(features), labels, name)
    features = doubled(make.conv(4 * channels, "image")(features))
    below, right = features.shape[1] - height, features.shape[2] - width
    features = make(layers.Cropping2D, ((0, below), (0, right)))(features)
    return keras.Model(inputs, in_unit_range(plan, features), name="generator")


def _discriminator(plan: GanPlan, doublings: int) -> keras.Model:
    make, (inputs, images, labels) = plan.discriminator, plan.image_input()
    height, width, channels = plan.image_shape
    grid = PatchGrid(-(-height // 2), -(-width // 2), 2, height % 2, width % 2)
    features = make(layers.Rescaling, 2.0, -1.0)(images)
    features = through(to_patches(make, grid, channels), features)
    pairs = [*[_FURTHER] * (doublings - _USUAL_DOUBLINGS), *_STRIDED]
    for number, (plain, strided) in enumerate(pairs, 1):
        features = _found(plan, make, make.conv(plain, f"conv_{number}"), features)
        strided_conv = make.conv(strided, f"strided_{number}", size=4, strides=2)
        features = _found(plan, make, strided_conv, features)
    features = make(BatchDeviation, name="batch_deviation")(features)
    return keras.Model(inputs, logit(plan, features, labels), name="discriminator")


def _found(
    plan: GanPlan, make: LayerMaker, conv: keras.Layer, features: keras.KerasTensor
) -> keras.KerasTensor:
    return make(layers.LeakyReLU, 0.2)(normalized(plan, conv)(features))
