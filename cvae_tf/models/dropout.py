"""Dropout whose masks are a pure function of the seed and the step, as all noise is."""

from collections.abc import Iterable

import keras
import tensorflow as tf


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
