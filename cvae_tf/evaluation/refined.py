"""Refined posteriors of all images under evaluation, and how much better than the encoder's."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.terminal import progress
from cvae_tf.evaluation import exact_evidence, sampled_bounds
from cvae_tf.evaluation.sampled_bounds import Bounds
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.models.vae import inferring, refinement
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.posterior import FullPosterior

_STEPS_TO_BEST = 3


class Refined(NamedTuple):
    """What refined posteriors say of N images, in nats."""

    steps: int
    posteriors: FullPosterior
    bounds: Bounds
    elbo: np.ndarray  # [N]
    best_elbo: np.ndarray | None  # of the best Gaussian that was found, [N]; in 1 or 2 dimensions


def measure(
    model: CVAE,
    pixels: np.ndarray,
    steps: int,
    sizes: list[int],
    settings: EvaluationSettings,
    labels: np.ndarray | None,
) -> Refined:
    """Refines the posteriors of images, and samples them as the encoder's are.

    Args:
        model: the model.
        pixels: of N images, float32 [N, H, W, C].
        steps: of Gauss and Newton, for each image.
        sizes: numbers of samples K for importance-weighted bounds.
        settings: how many samples.
        labels: theirs, int32 [N], of a conditional model.

    Returns:
        Values for each image.
    """

    def sampled(posteriors: FullPosterior, sizes: list[int]) -> tuple[Bounds, np.ndarray]:
        own = settings.samples, settings.seed, settings.batch_size
        with progress("sampling") as show:
            bounds = sampled_bounds.bounds(model, pixels, posteriors, sizes, *own, show, labels)
        kl = FullPosterior(*map(tf.constant, posteriors)).kl().numpy()
        return bounds, bounds.log_likelihood - kl

    with progress("refining") as show:
        posteriors = refine(model, pixels, labels, steps, settings.batch_size, show)
    refined = Refined(steps, posteriors, *sampled(posteriors, sizes), None)
    if model.latent_dim > exact_evidence.LARGEST_DIM:
        return refined
    with progress("best Gaussians") as show:
        best = climb_to_best(model, pixels, labels, posteriors, show)
    return refined._replace(best_elbo=sampled(best, [])[1])


def refine(
    model: CVAE,
    pixels: np.ndarray,
    labels: np.ndarray | None,
    steps: int,
    batch_size: int,
    on_progress: Callable[[float], None] = lambda share: None,
) -> FullPosterior:
    """Finds the refined posteriors of N images, as arrays.

    Args:
        model: the model.
        pixels: float32 [N, H, W, C].
        labels: int32 [N], of a conditional model.
        steps: of Gauss and Newton.
        batch_size: images, or latents, that are worked on at once.
        on_progress: called now and then.

    Returns:
        N Gaussians.
    """

    def climb(pixels: tf.Tensor, labels: tf.Tensor | None) -> FullPosterior:
        return model.refine(pixels, labels, steps=steps)

    return _in_parts(climb, batch_size, on_progress, pixels, labels)


def climb_to_best(
    model: CVAE,
    pixels: np.ndarray,
    labels: np.ndarray | None,
    start: FullPosterior,
    on_progress: Callable[[float], None] = lambda share: None,
) -> FullPosterior:
    """Finds Gaussians with a higher ELBO near others; arguments and result as for `refine`."""

    @tf.function
    def climb(pixels: tf.Tensor, labels: tf.Tensor | None, *start: tf.Tensor) -> FullPosterior:
        decode, density = inferring.decoder_for(model, labels), model.pixels.density
        gaussians = FullPosterior(*start)
        return refinement.best_gaussian(decode, density, pixels, gaussians, _STEPS_TO_BEST)

    at_once = inferring.images_at_once(model, nodes=2 * model.latent_dim)
    return _in_parts(climb, at_once, on_progress, pixels, labels, *start)


def _in_parts(
    climb: Callable[..., FullPosterior],
    at_once: int,
    on_progress: Callable[[float], None],
    *arrays: np.ndarray | None,
) -> FullPosterior:
    """Climbs for some images after the others; of arrays [N, ...], those that are None stay so."""
    num, found = len(arrays[0]), []
    for start in range(0, num, at_once):
        own = slice(start, start + at_once)
        found.append(climb(*(each if each is None else tf.constant(each[own]) for each in arrays)))
        on_progress(min((start + at_once) / num, 1.0))
    return FullPosterior(*(np.concatenate(values) for values in zip(*found, strict=True)))
