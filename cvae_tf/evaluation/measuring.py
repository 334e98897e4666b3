"""What is measured of images under one model: posteriors, bounds, and log p(x) if it can be had."""

from typing import NamedTuple

import numpy as np

from cvae_tf.core.terminal import progress
from cvae_tf.evaluation import exact_evidence, sampled_bounds
from cvae_tf.evaluation import refined as refined_posteriors
from cvae_tf.evaluation.exact_evidence import Quadrature
from cvae_tf.evaluation.refined import Refined
from cvae_tf.evaluation.sampled_bounds import Bounds
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.posterior import Posterior


class Measured(NamedTuple):
    """What was measured of N images."""

    posteriors: Posterior
    bounds: Bounds
    refined: Refined | None
    exact: Quadrature | None


def measure(
    model: CVAE,
    pixels: np.ndarray,
    settings: EvaluationSettings,
    labels: np.ndarray | None = None,
) -> Measured:
    """Measures images, of a conditional model each under its own class.

    Args:
        model: the model.
        pixels: of N images, float32 [N, H, W, C].
        settings: how many samples.
        labels: theirs, int32 [N], of a conditional model.

    Returns:
        Values for each image.
    """
    posteriors = sampled_bounds.encode(model, pixels, settings.batch_size, labels)
    has_likelihood = model.pixels.has_likelihood
    is_exact = has_likelihood and model.latent_dim <= exact_evidence.LARGEST_DIM
    sizes = settings.sizes(is_exact) if has_likelihood else []
    steps = settings.steps_of_refinement(model.can_refine, is_exact)
    with progress("sampling") as show:
        own = settings.samples, settings.seed, settings.batch_size
        bounds = sampled_bounds.bounds(model, pixels, posteriors, sizes, *own, show, labels)
    refined = None
    if steps:
        refined = refined_posteriors.measure(model, pixels, steps, sizes, settings, labels)
    if not is_exact:
        return Measured(posteriors, bounds, refined, exact=None)
    near = posteriors
    least = bounds.log_likelihood - sampled_bounds.kl_per_dimension(near).sum(axis=1)
    if refined:  # closer to where p(x, z) is large, so that less is integrated
        near = Posterior(refined.posteriors.mean, refined.posteriors.logvar)
        least = np.maximum(least, refined.elbo)
    images = pixels, near, least, settings.batch_size
    if labels is None:
        exact = exact_evidence.log_evidence(model, *images)
    else:
        exact = _by_class(model, labels, *images)
    return Measured(posteriors, bounds, refined, exact)


def _by_class(
    model: CVAE,
    labels: np.ndarray,
    pixels: np.ndarray,
    posteriors: Posterior,
    elbo: np.ndarray,
    batch_size: int,
) -> Quadrature:
    """Integrates the images of each class under the model of that class."""
    images = [np.flatnonzero(labels == number) for number in np.unique(labels)]
    parts = [
        exact_evidence.log_evidence(
            model,
            pixels[own],
            Posterior(*(each[own] for each in posteriors)),
            elbo[own],
            batch_size,
            label=int(labels[own[0]]),
        )
        for own in images
    ]
    return exact_evidence.joined(parts, images)
