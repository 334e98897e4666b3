"""The classic pair: transposed convolutions against strided ones.

After Radford et al., "Unsupervised representation learning with deep convolutional GANs" (2016), in
the small form of many tutorials: dense, three transposed convolutions; two convolutions, dense.
"""

import math

import keras

from cvae_tf.models.networks.building import (
    GanNetworks,
    GanPlan,
    check_size,
    with_labels,
)
from cvae_tf.models.networks.gan_layers import in_unit_range, logit, normalized, settled

layers = keras.layers

_FIRST = 256  # features of the generator's coarse grid, a quarter of the image wide
_FILTERS = ((128, 1), (64, 2))  # of the transposed convolutions, and their strides
_DISCRIMINATOR_FILTERS = (64, 128)
_DROPOUT = 0.3


def build(plan: GanPlan) -> GanNetworks:
    """Builds the pair."""
    check_size(plan.image_shape)
    return GanNetworks(_generator(plan), _discriminator(plan))


def _generator(plan: GanPlan) -> keras.Model:
    make, (inputs, latents, labels) = plan.generator, plan.latent_input()
    height, width, channels = plan.image_shape
    rows, columns = math.ceil(height / 4), math.ceil(width / 4)

    features = with_labels(make, latents, labels)
    features = make.dense(rows * columns * _FIRST, "dense", use_bias=False)(features)
    features = make(layers.Reshape, (rows, columns, _FIRST))(features)
    features = settled(plan, features, labels, "dense")
    for number, (filters, strides) in enumerate(_FILTERS, 1):
        name = f"deconv_{number}"
        deconv = make.conv(
            filters, name, layers.Conv2DTranspose, size=5, strides=strides, use_bias=False
        )
        features = settled(plan, deconv(features), labels, name)
    last = make.conv(channels, "image", layers.Conv2DTranspose, size=5, strides=2)
    result = make(layers.Cropping2D, ((0, 4 * rows - height), (0, 4 * columns - width)))(
        last(features)
    )
    return keras.Model(inputs, in_unit_range(plan, result), name="generator")


def _discriminator(plan: GanPlan) -> keras.Model:
    make, (inputs, images, labels) = plan.discriminator, plan.image_input()
    features = make(layers.Rescaling, 2.0, -1.0)(images)
    for number, filters in enumerate(_DISCRIMINATOR_FILTERS, 1):
        conv = make.conv(filters, f"conv_{number}", size=5, strides=2)
        features = make(layers.LeakyReLU, 0.2)(normalized(plan, conv)(features))
        for dropout in make.dropout(_DROPOUT, f"dropout_{number}"):
            features = dropout(features)
    return keras.Model(inputs, logit(plan, features, labels), name="discriminator")
