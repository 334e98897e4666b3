"""Dropout whose masks are a pure function of the seed and the step, as all noise is."""

from collections.abc import Iterable

import keras
import tensorflow as tf

from cvae_tf.core import replicas


@keras.saving.register_keras_serializable(package="cvae_tf")
class Dropout(keras.layers.Dropout):
    """Dropout that drops the same of an image on whichever replica it is."""

    def call(self, inputs, training=False):
        """Drops some of the inputs [B, ...] in training."""
        if replicas.count() == 1 or not training or not self.rate:
            return super().call(inputs, training=training)

        def draw(num):
            ones = tf.ones([num, *inputs.shape[1:]], inputs.dtype)
            return keras.random.dropout(ones, self.rate, seed=self.seed_generator)

        return inputs * replicas.own_rows(draw, tf.shape(inputs)[0])


def seed_dropout(networks: Iterable[keras.Model], key: tf.Tensor) -> None:
    """Sets the generators of all dropout layers, which Keras would let run on from step to step.

    Args:
        networks: whose layers are looked at.
        key: int32 [2], of this step.
    """
    dropouts = (
        layer
        for network in networks
        for layer in network.layers
        if isinstance(layer, keras.layers.Dropout)
    )
    for number, layer in enumerate(dropouts):
        own = tf.random.fold_in(key, number)
        layer.seed_generator.state.assign(tf.bitcast(own, tf.uint32))
