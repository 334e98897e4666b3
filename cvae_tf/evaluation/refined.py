"""Refined posteriors of all images under evaluation, and how much better than the encoder's."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.progress import progress
from cvae_tf.evaluation import exact_evidence, sampled_bounds
from cvae_tf.evaluation.evaluated_model import EvaluatedModel
from cvae_tf.evaluation.sampled_bounds import Bounds
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.models.vae import inferring, refinement
from cvae_tf.models.vae.posterior import FullPosterior

_STEPS_TO_BEST = 4


class Refined(NamedTuple):
    """What refined posteriors say of N images, in nats."""

    steps: int
    posteriors: FullPosterior
    bounds: Bounds
    elbo: np.ndarray  # [N]
    best_elbo: np.ndarray | None  # of the best Gaussian that was found, [N]; in 1 or 2 dimensions


def measure(
    model: EvaluatedModel,
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
    model: EvaluatedModel,
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
    begin = tf.function(functools.partial(inferring.first_latents, model))
    climb = tf.function(functools.partial(inferring.from_latents, model))
    starts = [begin(*part) for part in _parts(batch_size, pixels, labels)]
    at_once = min(inferring.images_at_once(model), batch_size)
    found = []
    for part in _parts(at_once, pixels, labels, np.concatenate(starts)):
        found.append(climb(*part, tf.constant(steps)))
        on_progress(min(len(found) * at_once / len(pixels), 1.0))
    return FullPosterior(*(np.concatenate(values) for values in zip(*found, strict=True)))


def climb_to_best(
    model: EvaluatedModel,
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

    at_once, found = inferring.images_at_once(model, nodes=2 * model.latent_dim), []
    for part in _parts(at_once, pixels, labels, *start):
        found.append(climb(*part))
        on_progress(min(len(found) * at_once / len(pixels), 1.0))
    return FullPosterior(*(np.concatenate(values) for values in zip(*found, strict=True)))


def _parts(at_once: int, *arrays: np.ndarray | None) -> Iterator[list[tf.Tensor | None]]:
    """Cuts arrays [N, ...] into parts, as tensors; what is missing stays so."""
    for start in range(0, len(arrays[0]), at_once):
        own = slice(start, start + at_once)
        yield [None if values is None else tf.constant(values[own]) for values in arrays]
