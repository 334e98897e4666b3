"""A model as what draws images: of a run, or exported."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.parts import slices
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.exporting.black_and_white import as_known
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.models.base import GenerativeModel


class DrawingModel(NamedTuple):
    """What draws images, and what is known of it."""

    sample_latents: Callable[[int, tf.Tensor], tf.Tensor]  # number, key -> [num, Z]
    decode: Callable[..., tf.Tensor]  # latents, of a conditional model labels -> [B, H, W, C]
    image_shape: tuple[int, int, int]  # height, width, channels
    metadata: dict[str, Any]  # as `model_json.describe` returns it
    class_names: tuple[str, ...] = ()  # of a conditional model, [Y]

    def images(self, num: int, seed: int, labels: np.ndarray | None) -> Iterator[np.ndarray]:
        """Draws images [num, H, W, C] in parts; of a conditional model those of labels [num]."""
        latents = self.sample_latents(num, derived_key(seed, Purpose.COMPARED_IMAGES))
        for own in slices(num, self.image_shape):
            of_class = [tf.constant(labels[own], tf.int32)] if self.class_names else []
            drawn = np.asarray(self.decode(latents[own], *of_class))
            yield as_known(drawn, self.metadata)


def of_model(model: GenerativeModel, metadata: dict[str, Any]) -> DrawingModel:
    """Takes a model in memory."""
    names = tuple(metadata["data"]["class_names"]) if model.num_classes else ()
    decode = tf.function(model.decode)
    return DrawingModel(model.sample_latents, decode, model.image_shape, metadata, names)


def of_loaded(model: LoadedModel) -> DrawingModel:
    """Takes an exported model."""

    def decode(latents: tf.Tensor, *labels: tf.Tensor) -> tf.Tensor:
        return model.functions.decode(latents, *labels)["images"]

    return DrawingModel(
        model.sample_latents, decode, model.image_shape, model.metadata, model.class_names
    )
