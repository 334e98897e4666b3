"""Features of the Inception network of ImageNet, in Keras' weights.

The FID of publications has other weights and another way to enlarge images, so that these distances
do not compare with it, and are not called so.
"""

import keras
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.data.batches import batch_slices
from cvae_tf.data.datasets import Dataset
from cvae_tf.distances.features import Features

_SIDE = 299
_TITLE = "of the Inception network of ImageNet (Keras' weights)"


@usual_settings()
def load(dataset: Dataset) -> Features:
    """Loads Keras' weights from its cache, or downloads them.

    Raises:
        UserError: if they are neither there nor can be downloaded.
    """
    try:
        network = keras.applications.InceptionV3(include_top=False, pooling="avg")
    except Exception as error:  # a download fails in many ways
        raise UserError(
            "--features=inception: the weights are not in the Keras cache and cannot be downloaded "
            f"({str(error).partition(chr(10))[0] or type(error).__name__})."
        ) from error
    channels = dataset.image_shape[-1]

    def of_some(images: tf.Tensor) -> tf.Tensor:
        large = tf.image.resize(images, [_SIDE, _SIDE])
        colours = tf.image.grayscale_to_rgb(large) if channels == 1 else large
        return network(2 * colours - 1)

    spec = tf.TensorSpec([None, *dataset.image_shape], tf.float32)
    traced = tf.function(of_some, input_signature=[spec])

    def features(images: tf.Tensor) -> tf.Tensor:
        parts = batch_slices(len(images), (_SIDE, _SIDE))  # as large as they become
        return tf.concat([traced(images[own]) for own in parts], axis=0)

    return Features("inception", _TITLE, features)
