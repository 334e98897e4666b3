"""A batch in two halves, which TensorFlow computes side by side."""

import keras
import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.models.batch_parts import inputs_of


def in_halves(
    network: keras.Model,
    batch: tf.Tensor,
    labels: tf.Tensor | None = None,
    training: bool = False,
) -> tf.Tensor:
    """Runs a network on the two halves of a batch.

    Two cores with a half each are faster than two that share every operation. A GPU is not, and
    replicas share out the cores already.

    Args:
        network: of one output.
        batch: [B, ...].
        labels: the network's second input, [B], if it has one.
        training: whether it learns, so that its dropout drops.

    Returns:
        What the network makes of the batch, float32.
    """
    batch = tf.convert_to_tensor(batch)
    labels = labels if labels is None else tf.convert_to_tensor(labels)
    size = batch.shape[0]
    if size is None or size % 2 or tf.config.list_physical_devices("GPU") or replicas.count() > 1:
        return tf.cast(network(inputs_of(batch, labels), training=training), tf.float32)
    halves = tf.split(batch, 2)
    of_class = [None, None] if labels is None else tf.split(labels, 2)
    results = [
        network(inputs_of(*half), training=training) for half in zip(halves, of_class, strict=True)
    ]
    return tf.cast(tf.concat(results, axis=0), tf.float32)
