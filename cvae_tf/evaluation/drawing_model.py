"""A model as what draws images: of a run, or exported."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.parts import slices
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.models.base import GenerativeModel

_WHITE = 0.5  # above it, where pixels are black or white


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
            yield self.as_compared(np.asarray(self.decode(latents[own], *of_class)))

    @property
    def is_black_and_white(self) -> bool:
        """Whether it knows but black and white, so that real images are made so, too."""
        said = self.metadata.get("black_and_white")
        if said is None and "pixels" in self.metadata:  # a VAE of an older version
            return self.metadata.get("config", {}).get("binarize") == "threshold"
        return bool(said)

    def as_compared(self, images: np.ndarray) -> np.ndarray:
        """Images, uint8 or in [0, 1], as the model knows them."""
        if not self.is_black_and_white:
            return images
        white = _WHITE * 255 if images.dtype == np.uint8 else _WHITE
        return (images > white).astype(np.float32)


def of_model(model: GenerativeModel, metadata: dict[str, Any]) -> DrawingModel:
    """Takes a model in memory."""
    names = tuple(metadata["data"]["class_names"]) if model.num_classes else ()
    decode = tf.function(model.decode_mean)
    return DrawingModel(model.sample_latents, decode, model.image_shape, metadata, names)


def of_loaded(model: LoadedModel) -> DrawingModel:
    """Takes an exported model."""

    def decode(latents: tf.Tensor, *labels: tf.Tensor) -> tf.Tensor:
        return model.functions.decode(latents, *labels)["images"]

    return DrawingModel(
        model.sample_latents, decode, model.image_shape, model.metadata, model.class_names
    )
