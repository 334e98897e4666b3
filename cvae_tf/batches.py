"""From uint8 images to shuffled, binarised batches: a pure function of (seed, epoch, step)."""

import tensorflow as tf

from cvae_tf.errors import UserError
from cvae_tf.randomness import Stream, stream_seed


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Counts the full batches of an epoch; the images left over differ from epoch to epoch.

    Raises:
        UserError: if there is not one full batch.
    """
    if batch_size > num_images:
        raise UserError(f"--batch_size={batch_size} is more than the {num_images} training images.")
    return num_images // batch_size


def epoch_order(num_images: int, seed: int, epoch: int) -> tf.Tensor:
    """Shuffles the indices of the training images for one epoch.

    Returns:
        int32 [N], each index once.
    """
    key = stream_seed(seed, Stream.DATA_ORDER, epoch)
    return tf.random.experimental.stateless_shuffle(tf.range(num_images), key)


def training_batch(
    images: tf.Tensor, order: tf.Tensor, step: tf.Tensor, batch_size: int
) -> tf.Tensor:
    """Picks the images of one step.

    Args:
        images: all training images, uint8 [N, H, W, C].
        order: the order of this epoch, int32 [N].
        step: number of the step within the epoch, from 0.
        batch_size: B.

    Returns:
        Binary pixels, float32 [B, H, W, C].
    """
    indices = tf.slice(order, [step * batch_size], [batch_size])
    return binarize(grey_levels(tf.gather(images, indices)))


def grey_levels(images: tf.Tensor) -> tf.Tensor:
    """Scales uint8 images to float32 in [0, 1]."""
    return tf.cast(images, tf.float32) / 255.0


def binarize(images: tf.Tensor) -> tf.Tensor:
    """Makes grey levels in [0, 1] black and white by the threshold 0.5, float32."""
    return tf.cast(images > 0.5, tf.float32)
