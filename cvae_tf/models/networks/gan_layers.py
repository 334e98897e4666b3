"""Layers of discriminators: how much a batch varies, norms of one, labels."""

import keras
import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.core.randomness import layer_seed
from cvae_tf.models.networks.building import GanPlan, modulated

_KEPT = 0.99  # of the usual deviation, at each batch
_GROUP = 4  # images, each with the next ones in the batch


@keras.saving.register_keras_serializable(package="cvae_tf")
class BatchDeviation(keras.layers.Layer):
    """Beside the features how much they vary among four images, so that equal images are seen.

    Karras et al., "Progressive growing of GANs" (2018), section 3. Among all images of a batch it
    would tell too surely whether they are real, and hide what is wrong with each of them.
    """

    def build(self, input_shape):
        """Keeps the usual deviation: in use, an image must not depend on its batch."""
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


def settled(
    plan: GanPlan, features: keras.KerasTensor, labels: keras.KerasTensor | None, name: str
) -> keras.KerasTensor:
    """Features of a generator, normalised over the batch, as labels modulate them, through a kink.

    `GAN.settle` finds the statistics for use.
    """
    make = plan.generator
    features = make(keras.layers.BatchNormalization, name=f"norm_{name}")(features)
    features = modulated(make, features, labels, f"label_{name}")
    return make(keras.layers.LeakyReLU, 0.2)(features)


def in_unit_range(plan: GanPlan, result: keras.KerasTensor) -> keras.KerasTensor:
    """Images in [0, 1] of any numbers, by the hyperbolic tangent; in float32."""
    result = keras.layers.Activation("tanh", dtype="float32", name="tanh")(result)
    return keras.layers.Rescaling(0.5, 0.5, dtype="float32", name="images_out")(result)


def normalized(plan: GanPlan, layer: keras.Layer) -> keras.Layer:
    """A layer of the discriminator, of spectral norm one if that was asked for.

    Keras divides the kernel by its norm at each step of training, in its place.
    """
    if not plan.spectral_norm:
        return layer
    return keras.layers.SpectralNormalization(
        layer, name=f"{layer.name}_normalized", dtype=layer.dtype_policy
    )


def seed_vectors(network: keras.Model, seed: int) -> None:
    """Sets the vectors from which norms are found, which Keras would draw anew in each process."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.SpectralNormalization):
            own = [layer_seed(seed, network.name, layer.name), 0]
            layer.vector_u.assign(tf.random.stateless_normal(layer.vector_u.shape, own))


def logit(
    plan: GanPlan, features: keras.KerasTensor, labels: keras.KerasTensor | None
) -> keras.KerasTensor:
    """The logit [B] of features [B, H, W, F]; of a conditional model that of the label, too.

    Miyato & Koyama, "cGANs with projection discriminator" (2018), equation 4.
    """
    make, ops = plan.discriminator, keras.ops
    flat = make(keras.layers.Flatten)(features)
    result = ops.cast(normalized(plan, make.dense(1, "logit"))(flat), "float32")
    if labels is not None:
        mean = make(keras.layers.GlobalAveragePooling2D)(features)
        of_class = normalized(plan, make.dense(mean.shape[-1], "class", use_bias=False))(labels)
        product = ops.cast(mean * of_class, "float32")
        result += ops.sum(product, axis=1, keepdims=True)
    return result[:, 0]
