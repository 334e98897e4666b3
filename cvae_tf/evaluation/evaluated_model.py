"""What is evaluated: a model by what it maps to what, from a run or from an exported model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.config import term_names
from cvae_tf.core.errors import UserError
from cvae_tf.data import batches
from cvae_tf.exporting import loaded_model, provenance
from cvae_tf.models.vae.likelihoods import LIKELIHOODS, Likelihood
from cvae_tf.models.vae.model import CVAE
from cvae_tf.training import building

_DRAWN_AT_ONCE = 1000


class Subject(NamedTuple):
    """A model under evaluation."""

    encode: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]  # pixels -> mean, logvar [B, Z]
    decode: Callable[[tf.Tensor], tf.Tensor]  # latents [B, Z] -> parameters of p(x|z)
    latent_dim: int
    image_shape: tuple[int, int, int]
    likelihood_name: str
    binarize: str  # a method of `batches.binarize`
    metadata: dict[str, Any]  # as `provenance.describe` returns it

    @property
    def likelihood(self) -> Likelihood:
        """The density of the pixels."""
        return LIKELIHOODS[self.likelihood_name]

    @property
    def has_likelihood(self) -> bool:
        """Whether its terms are densities at all; the cross-entropy of grey levels is none."""
        return term_names(self.binarize, self.likelihood_name)["elbo"] == "elbo"


def from_model(model: CVAE, binarize: str, metadata: dict[str, Any]) -> Subject:
    """Takes a model in memory, which was trained on pixels that `binarize` made."""
    return Subject(
        model.encode,
        model.decode,
        model.latent_dim,
        tuple(model.image_shape),
        model.likelihood,
        binarize,
        metadata,
    )


def from_run(run_dir: str) -> Subject:
    """Loads the newest checkpoint of a run.

    Raises:
        UserError: if there is no run or no good checkpoint in it.
    """
    trained = building.load_trained(run_dir)
    metadata = provenance.describe(trained.run, trained.metrics)
    return from_model(trained.model, trained.run.config.binarize, metadata)


def from_saved_model(directory: str) -> Subject:
    """Loads an exported model.

    Raises:
        UserError: if it is none of this project, or one of an older version.
    """
    model = loaded_model.load(directory)
    if not hasattr(model.functions, "parameters"):
        raise UserError(
            f"--saved_model={directory}: has no signature 'parameters', it was made by an older "
            "version; export its run again, or give --run_dir."
        )

    def encode(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        posterior = model.functions.encode(pixels)  # which leaves black and white as they are
        return posterior["mean"], posterior["logvar"]

    return Subject(
        encode,
        lambda latents: model.functions.parameters(latents)["parameters"],
        model.latent_dim,
        model.image_shape,
        model.likelihood,
        model.binarize,
        model.metadata,
    )


def draw_pixels(grey: np.ndarray, binarize: str, seed: int) -> np.ndarray:
    """Makes grey levels [N, H, W, C] pixels of the kind that a model knows, always the same."""
    drawn = []
    for start in range(0, len(grey), _DRAWN_AT_ONCE):
        part = tf.constant(grey[start : start + _DRAWN_AT_ONCE], tf.float32)
        drawn.append(batches.binarize_for_evaluation(part, start, binarize, seed).numpy())
    return np.concatenate(drawn)
