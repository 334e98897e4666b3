"""Images and labels of what Keras gives a step, and of what a Keras user gives a model."""

from typing import Any

import keras
import tensorflow as tf


def images_of(batch: Any) -> tf.Tensor:
    """Takes the images of what Keras gives a step; targets beside them are not looked at.

    Raises:
        ValueError: if there are sample weights, which no family knows.
    """
    return images_and_labels(batch, num_classes=0)[0]


def images_and_labels(batch: Any, num_classes: int) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Takes images, and of a conditional model the labels beside them, as `fit` gives them.

    Args:
        batch: images [B, H, W, C], or images and labels [B].
        num_classes: of the model; 0 if it knows no labels, which are then not looked at.

    Raises:
        ValueError: if labels are missing, or there are sample weights.
    """
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
    if weights is not None:
        raise ValueError("Every image has the same weight; sample weights are not known here.")
    images = tf.cast(images, tf.float32)  # Keras may have been told to compute by other floats
    if not num_classes:
        return images, None
    if labels is None:
        raise ValueError("A conditional model needs labels: fit(images, labels).")
    return images, tf.cast(tf.reshape(labels, [-1]), tf.int32)


def inputs_of(batch: tf.Tensor, labels: tf.Tensor | None) -> Any:
    """What a network takes: images or latents, of a conditional model with their labels."""
    return batch if labels is None else [batch, labels]
