"""Better posteriors than the encoder's: Gaussians found for each image by Gauss-Newton steps.

The encoder's mean is only the start. `refine` climbs log p(x, z) to a mode, and takes the curvature
there as the precision: near it the true posterior is almost Gaussian (Park et al.,
"Variational Laplace autoencoders", 2019, section 3). Steps are damped after Levenberg and
Marquardt, and a step that does not improve an image is not taken.
"""

import itertools
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.models.vae.likelihoods import DISCRETIZED_LOGISTIC, Likelihood
from cvae_tf.models.vae.posterior import FullPosterior, log_standard_normal, repeat_rows

_DIFFERENCE = 1e-2  # of latents, for the decoder's numerical derivatives
_DAMPING, _LESS, _MORE = 1e-2, 0.25, 6.0  # at first; after a good step, and after a bad one
_DAMPING_RANGE = (1e-8, 1e8)

_SPREAD = {1: 1600, 2: 40}  # latents a side of a set, by number of dimensions
_SPREAD_IF_SLOW = {1: 100, 2: 10}  # for likelihoods that compare image by image
_PIXELS = 2**20  # decoded at once; enough for full speed

Decode = Callable[[tf.Tensor], tf.Tensor]  # latents [M * B, Z] -> outputs [M * B, H, W, P]


class _Place(NamedTuple):
    """The objective at a Gaussian of each image, to second order."""

    value: tf.Tensor  # [B], nats
    gradient: tf.Tensor  # by the mean, [B, Z]
    precision: tf.Tensor  # J' F J + I, [B, Z, Z], float64


def refine(
    decode: Decode, density: Likelihood, pixels: tf.Tensor, start: tf.Tensor, steps: int | tf.Tensor
) -> FullPosterior:
    """Climbs log p(x, z) from given latents.

    Args:
        decode: the decoder; latents of B images come one block of B after another.
        density: p(x|z).
        pixels: as in training, [B, H, W, C].
        start: where to begin, [B, Z].
        steps: how many are tried.

    Returns:
        The Gaussian around the highest place that was found.
    """

    def take_step(number: tf.Tensor, latents: tf.Tensor, damping: tf.Tensor, here: _Place) -> tuple:
        proposed = latents + _step(here, damping)
        there = _linearize(decode, density, pixels, proposed)
        better = there.value > here.value
        latents = _chosen(better, proposed, latents)
        here = _Place(*(_chosen(better, *both) for both in zip(there, here, strict=True)))
        damping = tf.clip_by_value(damping * tf.where(better, _LESS, _MORE), *_DAMPING_RANGE)
        return number + 1, latents, damping, here

    damping = tf.fill(tf.shape(start)[:1], _DAMPING)
    begin = tf.constant(0), start, damping, _linearize(decode, density, pixels, start)
    _, latents, _, here = tf.while_loop(lambda number, *_: number < steps, take_step, begin)
    factor = tf.linalg.cholesky(tf.linalg.inv(here.precision))
    return FullPosterior(latents, tf.cast(factor, tf.float32))


def log_joint(
    decode: Decode, density: Likelihood, pixels: tf.Tensor, latents: tf.Tensor
) -> tf.Tensor:
    """The logarithm of p(x, z) of B images, each at its latents [B, Z]: [B], nats."""
    return density.log_prob(pixels, decode(latents)) + log_standard_normal(latents)


def _linearize(
    decode: Decode, density: Likelihood, pixels: tf.Tensor, latents: tf.Tensor
) -> _Place:
    """Finds log p(x, z), its gradient, and the curvature of Gauss and Newton.

    The decoder's derivatives are found by differences. So any decoder will do, also a loaded one;
    it takes Z + 1 forward passes.
    """
    num, dim = latents.shape[0] or tf.shape(latents)[0], latents.shape[-1]
    moves = _DIFFERENCE * tf.concat([tf.zeros([1, dim]), tf.eye(dim)], axis=0)
    decoded = decode(tf.reshape(latents + moves[:, None], [-1, dim]))
    outputs, others = tf.split(decoded, [num, num * dim])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        log_likelihood = density.log_prob(pixels, outputs)
    slope = _flat(tape.gradient(log_likelihood, outputs))  # [B, P]
    others = tf.reshape(_flat(others), [dim, num, -1])
    jacobian = tf.transpose(others - _flat(outputs), [1, 0, 2]) / _DIFFERENCE  # [B, Z, P]
    # Rounded sums of squares may be negative in float32, where a direction matters little.
    precise = tf.cast(jacobian, tf.float64)
    information = tf.cast(_flat(density.information(outputs)), tf.float64)
    curvature = tf.matmul(precise * information[:, None], precise, transpose_b=True)
    return _Place(
        log_likelihood + log_standard_normal(latents),
        tf.linalg.matvec(jacobian, slope) - latents,
        curvature + tf.eye(dim, dtype=tf.float64),
    )


def _step(here: _Place, damping: tf.Tensor) -> tf.Tensor:
    """The step to the top of the quadratic, shorter the more it is damped, [B, Z]."""
    diagonal = tf.linalg.diag_part(here.precision)
    more = diagonal * (1 + tf.cast(damping, tf.float64)[:, None])
    damped = tf.linalg.set_diag(here.precision, more)
    gradient = tf.cast(here.gradient, tf.float64)[..., None]
    step = tf.linalg.cholesky_solve(tf.linalg.cholesky(damped), gradient)[..., 0]
    return tf.cast(step, tf.float32)


def _chosen(condition: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """The new values of those images for which the condition [B] holds."""
    shape = tf.concat([tf.shape(condition), tf.ones([tf.rank(new) - 1], tf.int32)], axis=0)
    return tf.where(tf.reshape(condition, shape), new, old)


def _flat(outputs: tf.Tensor) -> tf.Tensor:
    return tf.reshape(outputs, [tf.shape(outputs)[0], -1])


def refine_images(
    model: Any, pixels: tf.Tensor, labels: tf.Tensor | None, steps: int | tf.Tensor
) -> FullPosterior:
    """Finds the refined posteriors of images, B Gaussians, in bounded memory.

    Args:
        model: a `CVAE`.
        pixels: as in training, [B, H, W, C], B > 0.
        labels: int32 [B], of a conditional model.
        steps: number of Gauss-Newton steps.
    """
    start = first_latents(model, pixels, labels)
    size = images_at_once(model)
    if pixels.shape[0] is not None and pixels.shape[0] <= size:
        return from_latents(model, pixels, labels, start, steps)
    num_parts = (tf.shape(pixels)[0] + size - 1) // size

    def refine_part(part: tf.Tensor, *found: tf.TensorArray) -> tuple:
        own = slice(part * size, (part + 1) * size)
        of_class = None if labels is None else labels[own]
        refined = from_latents(model, pixels[own], of_class, start[own], steps)
        return part + 1, *(each.write(part, new) for each, new in zip(found, refined, strict=True))

    empty = [tf.TensorArray(tf.float32, num_parts, infer_shape=False) for _ in range(2)]
    _, means, factors = tf.while_loop(
        lambda part, *_: part < num_parts,
        refine_part,
        (tf.constant(0), *empty),
        parallel_iterations=1,  # for the memory
    )
    dim = model.latent_dim
    return FullPosterior(
        tf.ensure_shape(means.concat(), [None, dim]),
        tf.ensure_shape(factors.concat(), [None, dim, dim]),
    )


def images_at_once(model: Any) -> int:
    """How many images are refined at once: a step decodes Z + 1 latents of each."""
    height, width, _ = model.image_shape
    return max(_PIXELS // (height * width) // (model.latent_dim + 1) // 2 * 2, 1)


def from_latents(
    model: Any,
    pixels: tf.Tensor,
    labels: tf.Tensor | None,
    start: tf.Tensor,
    steps: int | tf.Tensor,
) -> FullPosterior:
    """Refines from given latents [B, Z], all images at once; otherwise as `refine_images`."""
    decode, density = decoder_for(model, labels), model.pixels.likelihood
    if density.given_image is None:
        return refine(decode, density, pixels, start, steps)

    def decode_given(latents: tf.Tensor) -> tf.Tensor:
        return density.given_image(_of_blocks(pixels, latents), decode(latents))

    return refine(decode_given, DISCRETIZED_LOGISTIC, pixels, start, steps)


def decoder_for(model: Any, labels: tf.Tensor | None) -> Decode:
    """The decoder of B images, for any number of blocks of B latents."""
    if labels is None:
        return model.parameters

    def decode(latents: tf.Tensor) -> tf.Tensor:
        return model.parameters(latents, _of_blocks(labels, latents))

    return decode


def _of_blocks(batch: tf.Tensor, latents: tf.Tensor) -> tf.Tensor:
    """All rows of a batch of B, again for each block of B latents."""
    return repeat_rows(batch, tf.shape(latents)[0] // tf.shape(batch)[0])


def first_latents(model: Any, pixels: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
    """The start, [B, Z]: the encoder's mean, or in one or two dimensions a likelier place.

    The encoder is often at the wrong mode; a set of latents spread as the prior shows a better one.
    """
    mean = model.encode(pixels, *([] if labels is None else [labels])).mean
    if model.latent_dim not in _SPREAD:
        return mean
    decode, density = decoder_for(model, labels), model.pixels.likelihood
    own = log_joint(decode, density, pixels, mean)
    places, values = _best_spread(model, pixels, labels)
    return tf.where((own >= values)[:, None], mean, places)


def _best_spread(
    model: Any, pixels: tf.Tensor, labels: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """The likeliest latents of a set for each image, [B, Z], and log p(x, z) there, [B]."""
    latents = tf.constant(_spread_latents(model))

    def best(own: tf.Tensor, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        log_likelihood = model.pixels.likelihood.log_prob_of_all(own, outputs)
        log_joint = tf.cast(log_likelihood, tf.float32) + log_standard_normal(latents)
        return tf.gather(latents, tf.argmax(log_joint, axis=1)), tf.reduce_max(log_joint, axis=1)

    if labels is None:
        return best(pixels, model.parameters(latents))
    classes, _ = tf.unique(labels)

    def add_class(place: tf.Tensor, *found: tf.Tensor) -> tuple:
        rows = tf.where(labels == classes[place])
        outputs = model.parameters(latents, tf.fill([latents.shape[0]], classes[place]))
        of_class = best(tf.gather_nd(pixels, rows), outputs)
        both = zip(found, of_class, strict=True)
        return place + 1, *(tf.tensor_scatter_nd_update(old, rows, new) for old, new in both)

    begin = tf.zeros([tf.shape(pixels)[0], model.latent_dim]), tf.zeros(tf.shape(labels))
    is_left = lambda place, *_: place < tf.size(classes)  # noqa: E731
    return tf.while_loop(is_left, add_class, (tf.constant(0), *begin), parallel_iterations=1)[1:]


def _spread_latents(model: Any) -> np.ndarray:
    """Latents spread as the prior, at its quantiles: [G, Z]; fewer for large images."""
    dim, (height, width, _) = model.latent_dim, model.image_shape
    usual = (_SPREAD if model.pixels.likelihood.is_matrix_product else _SPREAD_IF_SLOW)[dim]
    side = max(min(usual, int((2 * _PIXELS / (height * width)) ** (1 / dim))), 3)
    quantiles = [NormalDist().inv_cdf((number + 0.5) / side) for number in range(side)]
    return np.array(list(itertools.product(quantiles, repeat=dim)), np.float32)
