"""Copies of networks for use: fused layer normalisations, which are faster, all in float32."""

import keras
import tensorflow as tf

_LARGE_BATCH = 256  # from here on the fused operation wins; it takes longer to begin


def copy(network: keras.Model) -> keras.Model:
    """Copies a network, with layer normalisations that are one operation for large batches.

    Training keeps those of Keras, whose gradient is faster. What was trained in bfloat16 is
    computed in float32: derivatives by small differences need it, and it runs anywhere.

    Args:
        network: with its weights.

    Returns:
        A copy with the same weights, whose results are the same but for rounding.
    """
    duplicate = keras.models.clone_model(network, clone_function=_copy_layer)
    duplicate.set_weights(network.get_weights())
    return duplicate


def _copy_layer(layer: keras.Layer) -> keras.Layer:
    is_norm = type(layer) is keras.layers.LayerNormalization
    config = layer.get_config()
    if layer.compute_dtype == "bfloat16":
        config["dtype"] = "float32"
    return (_FusedNormalization if is_norm else type(layer)).from_config(config)


@keras.saving.register_keras_serializable("cvae_tf")
class _FusedNormalization(keras.layers.LayerNormalization):
    """Layer normalisation of [B, D]; for large batches fused."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.cond(
            tf.shape(inputs)[0] < _LARGE_BATCH,
            lambda: super(_FusedNormalization, self).call(inputs),
            lambda: self._fused(inputs),
        )

    def _fused(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalises a batch of vectors as if it were one image with B channels."""
        batch_size, units = tf.shape(inputs)[0], inputs.shape[1]
        normalized, _, _ = tf.compat.v1.nn.fused_batch_norm(
            tf.reshape(tf.cast(inputs, tf.float32), [1, batch_size, units, 1]),
            scale=tf.ones([batch_size]),
            offset=tf.zeros([batch_size]),
            epsilon=self.epsilon,
            data_format="NCHW",
        )
        outputs = tf.reshape(normalized, [-1, units]) * self.gamma + self.beta
        return tf.cast(outputs, self.compute_dtype)
