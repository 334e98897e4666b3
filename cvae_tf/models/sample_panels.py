"""The part of an epoch's picture that shows samples, always of the same latents."""

from typing import Any

import numpy as np
import tensorflow as tf

from cvae_tf.data.shown_images import spread_rows
from cvae_tf.drawing.panels import Panel

_NUM_SAMPLES = 64  # in the picture of an epoch
_MOST_CLASSES, _OF_EACH = 16, 8  # rows and columns of a conditional model's samples


def samples(model: Any, seed: tf.Tensor, title: str) -> Panel:
    """Shows what a model draws.

    Args:
        model: a `GenerativeModel`; of a conditional one each class has a row.
        seed: int32 [2].
        title: if there are no classes.
    """
    if model.num_classes:
        return _of_classes(model, seed)
    return Panel(title, [model.sample(_NUM_SAMPLES, seed).numpy()])


def _of_classes(model: Any, seed: tf.Tensor) -> Panel:
    """A row for each class, in all rows of the same latents; of too many classes some."""
    classes = spread_rows(model.num_classes, _MOST_CLASSES)
    latents = tf.random.stateless_normal([_OF_EACH, model.latent_dim], seed)
    labels = tf.constant(np.repeat(classes, _OF_EACH), tf.int32)
    images = model.decode(tf.tile(latents, [len(classes), 1]), labels)
    title = "Samples, a row for each class, a column for each latent"
    return Panel(title, [images.numpy()], columns=_OF_EACH)
