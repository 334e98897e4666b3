"""A batch that replicas share: which rows belong to this one, and what all compute together.

Call these inside a replica (`tf.distribute.Strategy.run`). Anywhere else there is one replica
with all rows, and they change nothing. All replicas have the same number of rows.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

_GATHERED = (tf.float32, tf.float64, tf.int32, tf.int64)  # what TensorFlow can gather


def count() -> int:
    """Counts the replicas, R."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def first_row(num: int | tf.Tensor) -> int | tf.Tensor:
    """Finds where in the global batch the `num` rows of this replica begin."""
    return _own_number() * num if count() > 1 else 0


def own_rows(
    draw: Callable[[int | tf.Tensor], tf.Tensor], num: int | tf.Tensor, samples: int = 1
) -> tf.Tensor:
    """Draws for the whole batch and takes this replica's rows, so that R changes nothing.

    Args:
        draw: makes [K * N, ...] for N images: the first samples of all, then the second, ...
        num: B, the images of this replica.
        samples: K.

    Returns:
        What belongs to this replica's images, [K * B, ...] in the same order.
    """
    if count() == 1:
        return draw(num)
    drawn = draw(num * count())
    shape = tf.shape(drawn)[1:]
    by_sample = tf.reshape(drawn, tf.concat([[samples, num * count()], shape], axis=0))
    own = by_sample[:, first_row(num) : first_row(num) + num]
    own = tf.reshape(own, tf.concat([[samples * num], shape], axis=0))
    return tf.ensure_shape(own, [None, *drawn.shape[1:]])


def mean(values: tf.Tensor) -> tf.Tensor:
    """Averages numbers over the replicas; gradients flow back through it."""
    return means([values])[0]


def means(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """Averages tensors of one type over the replicas, all in one message."""
    if count() == 1:
        return tensors
    together = tf.concat([tf.reshape(each, [-1]) for each in tensors], axis=0)
    context = tf.distribute.get_replica_context()
    found = context.all_reduce(tf.distribute.ReduceOp.MEAN, together)
    parts = tf.split(found, [tf.size(each) for each in tensors])
    return [
        tf.ensure_shape(tf.reshape(part, tf.shape(each)), each.shape)
        for part, each in zip(parts, tensors, strict=True)
    ]


def update_means(of_batch: dict[str, keras.metrics.Mean], values: dict[str, tf.Tensor]) -> None:
    """Adds numbers [K * B] of this replica's images to the means of the same names."""
    if count() == 1:
        for name, value in values.items():
            of_batch[name].update_state(value)
        return
    averages = means([tf.reduce_mean(value) for value in values.values()])
    for (name, value), average in zip(values.items(), averages, strict=True):
        of_batch[name].update_state(average, sample_weight=tf.size(value) * count())


def update_mean(of_batch: keras.metrics.Mean, value: tf.Tensor, num: tf.Tensor) -> None:
    """Adds the mean of this replica's `num` images to a mean over images."""
    of_batch.update_state(mean(value), sample_weight=num * count())


def gathered(rows: tf.Tensor) -> tf.Tensor:
    """Joins the rows of all replicas, [B, ...] each, into the global batch, [R * B, ...]."""
    if count() == 1:
        return rows
    known = rows if rows.dtype in _GATHERED else tf.cast(rows, tf.float32)
    joined = tf.distribute.get_replica_context().all_gather(known, axis=0)
    return tf.cast(joined, rows.dtype)


def rolled(rows: tf.Tensor, shift: int) -> tf.Tensor:
    """Shifts the rows of the global batch by at most B, and takes this replica's, [B, ...].

    What is shifted out at the end comes in at the beginning.
    """
    if count() == 1 or shift == 0:
        return tf.roll(rows, shift, axis=0)
    ends = gathered(rows[-shift:])
    first = (_own_number() - 1) % count() * shift
    return tf.concat([ends[first : first + shift], rows[:-shift]], axis=0)


def averaged(optimizer: keras.Optimizer, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """Averages the replicas' gradients, each a mean over the same number of images.

    Keras would clip each replica's gradients, then add them up instead of averaging. So they are
    averaged here first, and Keras has nothing left to add.
    """
    if count() > 1:
        gradients = means([tf.convert_to_tensor(gradient) for gradient in gradients])
        optimizer._all_reduce_sum_gradients = list
    return gradients


def _own_number() -> tf.Tensor:
    """The number of this replica, from 0."""
    return tf.convert_to_tensor(tf.distribute.get_replica_context().replica_id_in_sync_group)
