"""How grey levels become pixels: black and white by a threshold or by chance, or as they are."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

ops = keras.ops  # in what exported models of Keras use too


class Binarization(NamedTuple):
    """How grey levels in [0, 1] become pixels."""

    pixels: Callable[[tf.Tensor], tf.Tensor]  # the likeliest ones, if nothing is drawn
    is_drawn: bool  # whether chance decides: white with the grey level as the probability
    description: str


def _above_half(grey: tf.Tensor) -> tf.Tensor:
    return ops.cast(ops.greater(grey, 0.5), "float32")


THRESHOLD = Binarization(_above_half, False, "pixels above 0.5 are white")
# Salakhutdinov & Murray, "On the quantitative analysis of deep belief networks" (2008).
DYNAMIC = Binarization(
    _above_half,
    True,
    "drawn white by their grey level in training and in score, else white above 0.5",
)
NONE = Binarization(lambda grey: grey, False, "grey levels as they are")
