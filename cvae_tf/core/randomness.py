"""Random numbers as pure functions of (seed, purpose, index): no hidden generator state."""

import enum

import tensorflow as tf


class Stream(enum.IntEnum):
    """The purposes of random numbers; each has a stream of its own under the run's seed."""

    DATA_ORDER = 1
    TRAINING_NOISE = 2
    EVALUATION_NOISE = 3
    PICTURES = 4
    AUGMENTATION = 5
    BINARIZATION = 6
    EVALUATION_BINARIZATION = 7


def stream_seed(seed: int | tf.Tensor, stream: Stream, index: int | tf.Tensor = 0) -> tf.Tensor:
    """Derives the seed for one use of random numbers.

    Args:
        seed: the seed of the run.
        stream: what the numbers are for.
        index: which use of the stream it is: a step, an epoch, the number of a batch.

    Returns:
        int32 [2], a seed for the functions in `tf.random` whose names begin with `stateless_`.
    """
    key = tf.stack([tf.cast(seed, tf.int32), tf.constant(int(stream), tf.int32)])
    return tf.random.fold_in(key, tf.cast(index, tf.int32))
