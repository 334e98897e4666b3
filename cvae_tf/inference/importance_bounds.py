"""Estimates from posterior samples: the parts of the ELBO, importance-weighted bounds."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key, normal_of_samples
from cvae_tf.models.vae import posterior
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.posterior import FullPosterior, Posterior

_ACTIVE_VARIANCE = 0.01  # of the posterior means of an active unit (Burda et al. 2016, section 5)

OnProgress = Callable[[float], None]  # the share that is done, from 0 to 1


class Mean(NamedTuple):
    """A mean over images, each with the same weight."""

    mean: float
    standard_error: float | None  # None for a single image


class Bounds(NamedTuple):
    """What posterior samples say about each image, in nats."""

    log_likelihood: np.ndarray  # log p(x|z), mean over the samples, [N]
    importance_weighted: dict[int, np.ndarray]  # by K: the bound on log p(x), [N]


def mean_of(values: np.ndarray) -> Mean:
    """Averages values [N] of N images, with the standard error."""
    values = np.asarray(values, np.float64)
    if len(values) == 1:
        return Mean(float(values[0]), None)
    return Mean(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


def map_in_parts(
    function: Callable,
    at_once: int,
    *arrays: np.ndarray | None,
    on_progress: OnProgress = lambda share: None,
) -> Any:
    """Calls a function of tensors on images part by part, and joins the results.

    Args:
        function: of as many tensors as there are arrays; it returns a tensor, or a tuple of them.
        at_once: how many images it gets.
        *arrays: of N images, [N, ...]; None is passed on as None.
        on_progress: called after each part.
    """
    num, found = len(arrays[0]), []
    for start in range(0, num, at_once):
        own = slice(start, start + at_once)
        found.append(
            function(*(None if each is None else tf.constant(each[own]) for each in arrays))
        )
        on_progress(min((start + at_once) / num, 1.0))
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *found)


def encode(
    model: CVAE, pixels: np.ndarray, batch_size: int, labels: np.ndarray | None = None
) -> Posterior:
    """Finds the posteriors of images [N, H, W, C], some at a time; labels [N] if it takes any."""
    return map_in_parts(model.encode, batch_size, pixels, labels)


def kl_per_dimension(posteriors: Posterior) -> np.ndarray:
    """KL of each posterior from the prior in closed form, [N, Z], nats."""
    return posterior.kl_per_dimension(Posterior(*map(tf.constant, posteriors))).numpy()


def count_active_units(posteriors: Posterior) -> int:
    """Counts the latent dimensions whose posterior means vary from image to image."""
    return int(np.sum(posteriors.mean.var(axis=0) > _ACTIVE_VARIANCE))


def bounds(
    model: CVAE,
    pixels: np.ndarray,
    posteriors: Posterior | FullPosterior,
    sizes: list[int],
    num_samples: int,
    seed: int,
    batch_size: int,
    on_progress: OnProgress = lambda share: None,
    labels: np.ndarray | None = None,
) -> Bounds:
    """Estimates log-likelihoods and importance-weighted bounds by samples of the posteriors.

    The samples come a batch at a time and are forgotten at once, so that memory does not grow
    with their number.

    Args:
        model: the model.
        pixels: of N images, float32 [N, H, W, C].
        posteriors: of the images.
        sizes: numbers K of samples for the bounds, each of which takes the first K of them.
        num_samples: for the log-likelihood, also the first ones.
        seed: of the samples.
        batch_size: latents that are decoded at once.
        on_progress: called now and then, with the share done.
        labels: of the images, int32 [N], if the model takes any.
    """
    step = tf.function(functools.partial(_log_densities, model), autograph=False)
    key = derived_key(seed, Purpose.EVALUATION_NOISE)

    def of_batch(numbers: tf.Tensor, pixels: tf.Tensor, labels: Any, *parts: tf.Tensor) -> Bounds:
        batch = pixels, type(posteriors)(*parts), labels
        sampled = functools.partial(step, *batch, key, numbers[0])
        num_at_once = max(batch_size // len(pixels), 1)
        return _bounds_of_batch(sampled, len(pixels), sizes, num_samples, num_at_once)

    numbers = np.arange(len(pixels), dtype=np.int32)
    each = numbers, pixels, labels, *posteriors
    return map_in_parts(of_batch, batch_size, *each, on_progress=on_progress)


def _bounds_of_batch(
    sampled: Callable, num_images: int, sizes: list[int], num_samples: int, num_at_once: int
) -> Bounds:
    """Adds up samples of one batch of images, and keeps the sums at each of the sizes."""
    log_weight_sum = np.full(num_images, -np.inf)
    log_likelihood_sum, bound = np.zeros(num_images), {}
    for done in range(0, max([*sizes, num_samples]), num_at_once):
        log_likelihood, log_weights = sampled(tf.constant(done), num_at_once)
        log_likelihood_sum += log_likelihood.numpy()[: max(num_samples - done, 0)].sum(axis=0)
        sums = np.logaddexp.accumulate([log_weight_sum, *log_weights.numpy()])
        bound |= {k: sums[k - done] - np.log(k) for k in sizes if done < k <= done + num_at_once}
        log_weight_sum = sums[-1]
    return Bounds(log_likelihood_sum / num_samples, bound)


def _log_densities(
    model: CVAE,
    pixels: tf.Tensor,
    posteriors: Posterior | FullPosterior,
    labels: tf.Tensor | None,
    key: tf.Tensor,
    first: tf.Tensor,
    first_sample: tf.Tensor,
    num: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples each posterior `num` times: log p(x|z) and log p(x, z) - log q(z|x), [num, B]."""
    num_images = tf.shape(pixels)[0]
    noise = normal_of_samples(key, first, num_images, model.latent_dim, first_sample, num)
    terms, _ = model.terms_with_noise(pixels, posteriors, noise, num, labels)
    return tf.reshape(terms.log_likelihood, [num, -1]), tf.reshape(terms.elbo, [num, -1])
