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

_STEPS_TO_BEST = 5


class Refined(NamedTuple):
    """What refined posteriors say of N images, in nats."""

    posteriors: FullPosterior
    bounds: Bounds
    best_elbo: np.ndarray | None  # of the best Gaussian that was found, [N]; in 1 or 2 dimensions

    @property
    def elbo(self) -> np.ndarray:
        """ELBO of each image, [N]."""
        return elbo_of(self.bounds, self.posteriors)


def elbo_of(bounds: Bounds, posteriors: FullPosterior) -> np.ndarray:
    """The ELBO by the log-likelihoods of samples and the KL in closed form, [N], nats."""
    return bounds.log_likelihood - FullPosterior(*map(tf.constant, posteriors)).kl().numpy()


def measure(
    model: EvaluatedModel,
    pixels: np.ndarray,
    sizes: list[int],
    settings: EvaluationSettings,
    labels: np.ndarray | None,
) -> Refined:
    """Refines the posteriors of images, and samples them as the encoder's are.

    Args:
        model: the model.
        pixels: of N images, float32 [N, H, W, C].
        sizes: numbers of samples K for importance-weighted bounds.
        settings: how many steps, how many samples.
        labels: theirs, int32 [N], of a conditional model.

    Returns:
        Values for each image.
    """

    def sampled(posteriors: FullPosterior, sizes: list[int]) -> Bounds:
        own = settings.samples, settings.seed, settings.batch_size
        with progress("sampling") as show:
            return sampled_bounds.bounds(model, pixels, posteriors, sizes, *own, show, labels)

    with progress("refining") as show:
        posteriors = refine(model, pixels, labels, settings.refine, settings.batch_size, show)
    refined = Refined(posteriors, sampled(posteriors, sizes), None)
    if model.latent_dim > exact_evidence.LARGEST_DIM:
        return refined
    with progress("best Gaussians") as show:
        best = climb_to_best(model, pixels, labels, posteriors, settings.batch_size, show)
    return refined._replace(best_elbo=elbo_of(sampled(best, []), best))


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
    given = pixels, labels, np.concatenate(starts)
    at_once, found = _images_at_once(model, batch_size, 1), []
    for part in _parts(at_once, *given):
        found.append(climb(*part, tf.constant(steps)))
        on_progress(len(found) * at_once / len(pixels))
    return FullPosterior(*(np.concatenate(values) for values in zip(*found, strict=True)))


def climb_to_best(
    model: EvaluatedModel,
    pixels: np.ndarray,
    labels: np.ndarray | None,
    start: FullPosterior,
    batch_size: int,
    on_progress: Callable[[float], None] = lambda share: None,
) -> FullPosterior:
    """Finds the Gaussians with the highest ELBO near others, by averages over 3 nodes a side."""

    @tf.function
    def climb(pixels: tf.Tensor, labels: tf.Tensor | None, *start: tf.Tensor) -> FullPosterior:
        decode, density = inferring.decoder_for(model, labels), model.pixels.density
        gaussians = FullPosterior(*start)
        return refinement.best_gaussian(decode, density, pixels, gaussians, _STEPS_TO_BEST)

    at_once, found = _images_at_once(model, batch_size, 3**model.latent_dim), []
    for part in _parts(at_once, pixels, labels, *start):
        found.append(climb(*part))
        on_progress(len(found) * at_once / len(pixels))
    return FullPosterior(*(np.concatenate(values) for values in zip(*found, strict=True)))


def _images_at_once(model: EvaluatedModel, batch_size: int, nodes: int) -> int:
    """How many images are worked on at once; a step decodes Z + 1 latents at each node."""
    return max(batch_size // ((model.latent_dim + 1) * nodes), 1)


def _parts(at_once: int, *arrays: np.ndarray | None) -> Iterator[list[tf.Tensor | None]]:
    """Cuts arrays [N, ...] into parts, as tensors; what is missing stays so."""
    for start in range(0, len(arrays[0]), at_once):
        own = slice(start, start + at_once)
        yield [None if values is None else tf.constant(values[own]) for values in arrays]
