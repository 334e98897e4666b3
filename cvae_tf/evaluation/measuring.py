"""What is measured of images under one model: posteriors, bounds, and log p(x) if it can be had."""

from typing import NamedTuple

import numpy as np

from cvae_tf.core.progress import progress
from cvae_tf.evaluation import exact_evidence, sampled_bounds
from cvae_tf.evaluation.evaluated_model import EvaluatedModel
from cvae_tf.evaluation.exact_evidence import Quadrature
from cvae_tf.evaluation.sampled_bounds import Bounds
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.models.vae.posterior import Posterior


class Measured(NamedTuple):
    """What was measured of N images."""

    posteriors: Posterior
    bounds: Bounds
    exact: Quadrature | None


def measure(model: EvaluatedModel, pixels: np.ndarray, settings: EvaluationSettings) -> Measured:
    """Measures images under a model that takes no labels.

    Args:
        model: the model, or a conditional one of one class.
        pixels: of N images, float32 [N, H, W, C].
        settings: how many samples.

    Returns:
        Values for each image.
    """
    posteriors = sampled_bounds.encode(model, pixels, settings.batch_size)
    has_likelihood = model.pixels.has_likelihood
    with progress("sampling") as show:
        bounds = sampled_bounds.bounds(
            model,
            pixels,
            posteriors,
            settings.sizes if has_likelihood else [],
            settings.samples,
            settings.seed,
            settings.batch_size,
            show,
        )
    if not has_likelihood or model.latent_dim > exact_evidence.LARGEST_DIM:
        return Measured(posteriors, bounds, exact=None)
    elbo = bounds.log_likelihood - sampled_bounds.kl_per_dimension(posteriors).sum(axis=1)
    with progress("integrating"):
        exact = exact_evidence.log_evidence(model, pixels, posteriors, elbo, settings.batch_size)
    return Measured(posteriors, bounds, exact)
