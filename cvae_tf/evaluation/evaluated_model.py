"""What is evaluated: a model by what it maps to what, from a run or from an exported model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.exporting import loading
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.families import family_of
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.models.vae.posterior import Posterior

_DRAWN_AT_ONCE = 1000


class EvaluatedModel(NamedTuple):
    """A model with a likelihood, under evaluation."""

    # Of a conditional model both take labels too, int32 [B]; `of_class` has those of one class.
    encode: Callable[..., Posterior]  # pixels [B, H, W, C] -> q(z|x)
    parameters: Callable[..., tf.Tensor]  # latents [B, Z] -> parameters of p(x|z)
    latent_dim: int
    image_shape: tuple[int, int, int]
    pixels: Pixels  # what they are to the model, and p(x|z)
    metadata: dict[str, Any]  # as `model_json.describe` returns it
    class_names: tuple[str, ...] = ()  # of a conditional model, [Y]
    can_refine: bool = False  # its posteriors

    def of_class(self, number: int) -> "EvaluatedModel":
        """Of a conditional model, the one of p(x|y) for a class y, which takes no labels."""

        def labels(batch: tf.Tensor) -> tf.Tensor:
            return tf.fill([tf.shape(batch)[0]], number)

        return self._replace(
            encode=lambda pixels: self.encode(pixels, labels(pixels)),
            parameters=lambda latents: self.parameters(latents, labels(latents)),
            class_names=(),
        )

    @property
    def log_class_shares(self) -> np.ndarray:
        """Logarithms of the shares of the classes in the training images, log p(y), [Y]."""
        counts = self.metadata.get("data", {}).get("class_counts") or [1] * len(self.class_names)
        with np.errstate(divide="ignore"):
            return np.log(np.array(counts, np.float64) / np.sum(counts))


def from_model(model: GenerativeModel, metadata: dict[str, Any]) -> EvaluatedModel:
    """Takes a model in memory.

    Raises:
        UserError: if it has no likelihood.
    """
    if "likelihood" not in family_of(model).evaluations:
        raise UserError(f"This model ({family_of(model).title}) has no likelihood to evaluate.")
    names = tuple(metadata["data"]["class_names"]) if model.num_classes else ()
    return EvaluatedModel(
        model.encode, model.parameters, model.latent_dim, tuple(model.image_shape), model.pixels,
        metadata, names, model.can_refine,
    )  # fmt: skip


def from_saved_model(directory: str | LoadedModel) -> EvaluatedModel:
    """Takes an exported model.

    Raises:
        UserError: if it is none of this project, or one of an older version.
    """
    is_loaded = isinstance(directory, LoadedModel)
    model = directory if is_loaded else loading.load(directory)
    missing = {"encode", "parameters"} - set(model.abilities)
    if missing:
        raise UserError(
            f"--saved_model={directory}: has no signature {' and '.join(sorted(missing))}; it has "
            "no likelihood, or was made by an older version (then export its run again, or give "
            "--run_dir)."
        )

    def encode(pixels: tf.Tensor, *labels: tf.Tensor) -> Posterior:
        found = model.functions.encode(pixels, *labels)  # which leaves black and white as they are
        return Posterior(found["mean"], found["logvar"])

    def parameters(latents: tf.Tensor, *labels: tf.Tensor) -> tf.Tensor:
        return model.functions.parameters(latents, *labels)["parameters"]

    config = model.metadata.get("config", {})
    return EvaluatedModel(
        encode,
        parameters,
        model.latent_dim,
        model.image_shape,
        Pixels(config.get("binarize", "threshold"), config.get("likelihood", "bernoulli")),
        model.metadata,
        model.class_names,
        "refine" in model.abilities,
    )


def draw_pixels(grey: np.ndarray, pixels: Pixels, seed: int) -> np.ndarray:
    """Makes grey levels [N, H, W, C] pixels of the kind that a model knows, always the same."""
    key = derived_key(seed, Purpose.EVALUATION_BINARIZATION)
    parts = []
    for start in range(0, len(grey), _DRAWN_AT_ONCE):
        part = tf.constant(grey[start : start + _DRAWN_AT_ONCE], tf.float32)
        parts.append(pixels.drawn(part, key, start).numpy())
    return np.concatenate(parts)
