"""Generators and discriminators, and the layers that both use.

`dcgan`, the classic pair: transposed convolutions against strided ones, after Radford et al.,
"Unsupervised representation learning with deep convolutional GANs" (2016), in the small form of
many tutorials: dense, three transposed convolutions; two convolutions, dense.

`sub_pixel`, a light pair for two cores: pixels become channels, and back, so that convolutions are
coarse. The generator's last layers make several pixels at each place (sub-pixel convolution, Shi et
al. 2016), and the discriminator begins with two by two pixels at each place.
"""

import math
from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.core.randomness import layer_seed
from cvae_tf.models.networks.layer_maker import (
    GanNetworks,
    GanPlan,
    check_size,
    modulated,
    through,
    with_labels,
)
from cvae_tf.models.networks.patches import PatchGrid, to_patches, to_pixels

layers = keras.layers

# Of `dcgan`:
_COARSE = 256  # features of the generator's coarse grid, a quarter of the image wide
_FILTERS = ((128, 1), (64, 2))  # of the transposed convolutions, and their strides
_DISCRIMINATOR_FILTERS = (64, 128)
_DROPOUT = 0.3
# Of `sub_pixel`:
_COARSEST = 256  # features of the generator's coarsest grid, of at most 4 x 4 places
_LARGE = (64, 256)  # filters of the two convolutions on each grid of an image beyond 32 pixels
_LAST = ((64, 96), (24,))  # of the convolutions on the last two grids, before the pixels
_STRIDED = ((32, 72), (72, 144))  # of the discriminator: a convolution, one with strides
_FURTHER = (32, 32)  # such a pair for each doubling beyond 32 pixels
_USUAL_DOUBLINGS = 3  # of a 4 x 4 grid, to 32 pixels
# Of `BatchDeviation`:
_KEPT = 0.99  # of the running deviation, at each batch
_GROUP = 4  # images, each with the next ones in the batch


def build_dcgan(plan: GanPlan) -> GanNetworks:
    """Builds the pair."""
    check_size(plan.image_shape)
    return GanNetworks(_dcgan_generator(plan), _dcgan_discriminator(plan))


def _dcgan_generator(plan: GanPlan) -> keras.Model:
    make, up = plan.generator, layers.Conv2DTranspose
    inputs, latents, labels = plan.latent_input()
    height, width, channels = plan.image_shape
    rows, columns = math.ceil(height / 4), math.ceil(width / 4)
    features = with_labels(make, latents, labels)
    features = make.dense(rows * columns * _COARSE, "dense", use_bias=False)(features)
    features = make(layers.Reshape, (rows, columns, _COARSE))(features)
    features = _batch_normalized(plan, features, labels, "dense")
    for number, (filters, strides) in enumerate(_FILTERS, 1):
        name = f"deconv_{number}"
        deconv = make.conv(filters, name, up, size=5, strides=strides, use_bias=False)
        features = _batch_normalized(plan, deconv(features), labels, name)
    features = make.conv(channels, "image", up, size=5, strides=2)(features)
    beyond = (0, 4 * rows - height), (0, 4 * columns - width)
    return _generator(inputs, make(layers.Cropping2D, beyond)(features))


def _dcgan_discriminator(plan: GanPlan) -> keras.Model:
    make, (inputs, images, labels) = plan.discriminator, plan.image_input()
    features = make(layers.Rescaling, 2.0, -1.0)(images)
    for number, filters in enumerate(_DISCRIMINATOR_FILTERS, 1):
        conv = make.conv(filters, f"conv_{number}", size=5, strides=2)
        features = _judged(plan, conv, features)
        features = through(make.dropout(_DROPOUT, f"dropout_{number}"), features)
    return keras.Model(inputs, _logit(plan, features, labels), name="discriminator")


def build_sub_pixel(plan: GanPlan) -> GanNetworks:
    """Builds the pair."""
    check_size(plan.image_shape)
    doublings = _doublings(plan)
    return GanNetworks(
        _sub_pixel_generator(plan, doublings), _sub_pixel_discriminator(plan, doublings)
    )


def _doublings(plan: GanPlan) -> int:
    """How often a grid of 4 x 4 places is doubled to cover the image, at least three times."""
    side, doublings = max(plan.image_shape[:2]), _USUAL_DOUBLINGS
    while 4 * 2**doublings < side:
        doublings += 1
    return doublings


def _sub_pixel_generator(plan: GanPlan, doublings: int) -> keras.Model:
    make, (inputs, latents, labels) = plan.generator, plan.latent_input()
    height, width, channels = plan.image_shape
    rows, columns = (-(-side // 2**doublings) for side in (height, width))

    def doubled(features: keras.KerasTensor) -> keras.KerasTensor:
        rows, columns, filters = features.shape[1:]
        grid = PatchGrid(rows, columns, 2, 0, 0)
        return through(to_pixels(make, grid, filters // 4), features)

    features = with_labels(make, latents, labels)
    features = make.dense(rows * columns * _COARSEST, "dense", use_bias=False)(features)
    features = make(layers.Reshape, (rows, columns, _COARSEST))(features)
    grids = [*[_LARGE] * (doublings - _USUAL_DOUBLINGS), *_LAST]
    for number, filters in enumerate(grids, 1):
        features = _batch_normalized(plan, doubled(features), labels, f"grid_{number}")
        for place, width_of in enumerate(filters, 1):
            name = f"conv_{number}_{place}"
            conv = make.conv(width_of, name, use_bias=False)
            features = _batch_normalized(plan, conv(features), labels, name)
    features = doubled(make.conv(4 * channels, "image")(features))
    beyond = (0, features.shape[1] - height), (0, features.shape[2] - width)
    return _generator(inputs, make(layers.Cropping2D, beyond)(features))


def _sub_pixel_discriminator(plan: GanPlan, doublings: int) -> keras.Model:
    make, (inputs, images, labels) = plan.discriminator, plan.image_input()
    height, width, channels = plan.image_shape
    grid = PatchGrid(-(-height // 2), -(-width // 2), 2, height % 2, width % 2)
    features = make(layers.Rescaling, 2.0, -1.0)(images)
    features = through(to_patches(make, grid, channels), features)
    pairs = [*[_FURTHER] * (doublings - _USUAL_DOUBLINGS), *_STRIDED]
    for number, (plain, strided) in enumerate(pairs, 1):
        features = _judged(plan, make.conv(plain, f"conv_{number}"), features)
        strided_conv = make.conv(strided, f"strided_{number}", size=4, strides=2)
        features = _judged(plan, strided_conv, features)
    features = make(BatchDeviation, name="batch_deviation")(features)
    return keras.Model(inputs, _logit(plan, features, labels), name="discriminator")


@keras.saving.register_keras_serializable(package="cvae_tf")
class BatchDeviation(keras.layers.Layer):
    """Adds how much features vary among four images, so that equal images are noticed.

    Karras et al., "Progressive growing of GANs" (2018), section 3. Among all images of a batch it
    would show too clearly whether they are real, and hide what is wrong with each image.
    """

    def build(self, input_shape):
        """Makes the running deviation: in use, an image must not depend on its batch."""
        self.usual = self.add_weight(
            shape=(),
            initializer="zeros",
            trainable=False,
            dtype="float32",
            autocast=False,
            name="usual",
        )

    def call(self, features, training=False):
        """Maps features [B, H, W, F] to [B, H, W, F + 1]."""
        ops = keras.ops
        if training:
            group = ops.stack([replicas.rolled(features, shift) for shift in range(_GROUP)])
            deviations = ops.sqrt(ops.var(group, axis=0) + 1e-8)
            deviation = ops.mean(deviations, axis=(1, 2, 3), keepdims=True)  # [B, 1, 1, 1]
            now = ops.stop_gradient(ops.mean(ops.cast(deviation, "float32")))
            now = replicas.mean(now)
            self.usual.assign(_KEPT * self.usual + (1 - _KEPT) * now)
        else:
            deviation = ops.cast(self.usual, features.dtype)
        more = ops.ones_like(features[..., :1]) * deviation
        return ops.concatenate([features, more], axis=-1)


def _batch_normalized(
    plan: GanPlan, features: keras.KerasTensor, labels: keras.KerasTensor | None, name: str
) -> keras.KerasTensor:
    """Features of a generator: normalised over the batch, modulated by labels, leaky ReLU.

    `GAN.update_batchnorm_statistics` finds the statistics for use.
    """
    make = plan.generator
    features = make(layers.BatchNormalization, name=f"norm_{name}")(features)
    features = modulated(make, features, labels, f"label_{name}")
    return make(layers.LeakyReLU, 0.2)(features)


def _generator(inputs: Any, result: keras.KerasTensor) -> keras.Model:
    """A generator of images in [0, 1], by tanh of its result; in float32."""
    images = layers.Activation("tanh", dtype="float32", name="tanh")(result)
    images = layers.Rescaling(0.5, 0.5, dtype="float32", name="images_out")(images)
    return keras.Model(inputs, images, name="generator")


def _judged(plan: GanPlan, layer: keras.Layer, features: keras.KerasTensor) -> keras.KerasTensor:
    """A layer of the discriminator on features, and a leaky ReLU."""
    return plan.discriminator(layers.LeakyReLU, 0.2)(_normalized(plan, layer)(features))


def _normalized(plan: GanPlan, layer: keras.Layer) -> keras.Layer:
    """A layer of the discriminator, with spectral norm one if asked for.

    Keras divides the kernel by its norm, in place, at each training step.
    """
    if not plan.spectral_norm:
        return layer
    return layers.SpectralNormalization(
        layer, name=f"{layer.name}_normalized", dtype=layer.dtype_policy
    )


def seed_vectors(network: keras.Model, seed: int) -> None:
    """Sets the vectors for finding norms, which Keras would draw anew in each process."""
    for layer in network.layers:
        if isinstance(layer, layers.SpectralNormalization):
            own = [layer_seed(seed, network.name, layer.name), 0]
            layer.vector_u.assign(tf.random.stateless_normal(layer.vector_u.shape, own))


def _logit(
    plan: GanPlan, features: keras.KerasTensor, labels: keras.KerasTensor | None
) -> keras.KerasTensor:
    """The logit [B] of features [B, H, W, F]; for a conditional model the label counts too.

    Miyato & Koyama, "cGANs with projection discriminator" (2018), equation 4.
    """
    make, ops = plan.discriminator, keras.ops
    flat = make(layers.Flatten)(features)
    result = ops.cast(_normalized(plan, make.dense(1, "logit"))(flat), "float32")
    if labels is not None:
        mean = make(layers.GlobalAveragePooling2D)(features)
        of_class = _normalized(plan, make.dense(mean.shape[-1], "class", use_bias=False))(labels)
        product = ops.cast(mean * of_class, "float32")
        result += ops.sum(product, axis=1, keepdims=True)
    return result[:, 0]
