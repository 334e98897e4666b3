"""Features of a network with random weights, always the same: for images without labels."""

import keras
import tensorflow as tf

from cvae_tf.core.randomness import layer_seed
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.data.datasets import Dataset
from cvae_tf.distances.features import Features

_FILTERS = (32, 64, 64)
_SEED = 0


def load(dataset: Dataset) -> Features:
    """Makes the features for images of this shape."""
    network = build(dataset.image_shape)
    spec = tf.TensorSpec([None, *dataset.image_shape], tf.float32)
    function = tf.function(network, input_signature=[spec])
    return Features("random", "of a network with random weights, always the same", function)


@usual_settings()
def build(image_shape: tuple[int, int, int]) -> keras.Model:
    """Builds the network: strided convolutions, and the mean and spread of what each one finds."""
    images = keras.Input(image_shape)
    features, found = images - 0.5, []
    for number, filters in enumerate(_FILTERS):
        initializer = keras.initializers.Orthogonal(
            gain=2.0, seed=layer_seed(_SEED, "random_features", f"conv_{number}")
        )
        features = keras.layers.Conv2D(
            filters,
            4,
            strides=2,
            padding="same",
            activation="leaky_relu",
            kernel_initializer=initializer,
        )(features)
        mean = keras.ops.mean(features, axis=(1, 2))
        found += [mean, keras.ops.std(features, axis=(1, 2))]
    return keras.Model(images, keras.layers.Concatenate()(found))
