"""Refined posteriors of any batch: where to begin, then `refinement.py`, in bounded memory."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from cvae_tf.models.vae import refinement
from cvae_tf.models.vae.posterior import FullPosterior

_SPREAD = {1: 1600, 2: 40}  # latents a side of a set that fills so many dimensions
_SPREAD_IF_SLOW = {1: 100, 2: 10}  # of likelihoods that compare image by image
_PIXELS = 2**20  # of the images that are decoded at once, which is enough for full speed


def inference(model: Any) -> Callable[..., FullPosterior]:
    """Makes the function that finds the refined posterior of each image.

    It is a graph of its own, so that its loops are TensorFlow's wherever it is used, and is traced
    once for all signatures of an exported model.

    Args:
        model: has `encode`, `decode`, `latent_dim`, `image_shape`; and `pixels`, what they are.

    Returns:
        A function of pixels as in training, [B, H, W, C], B > 0; of labels, int32 [B], of a
        conditional model, else None; and of the number of Gauss-Newton steps. It finds B Gaussians.
    """
    return tf.function(functools.partial(_infer, model), reduce_retracing=True)


def _infer(
    model: Any, pixels: tf.Tensor, labels: tf.Tensor | None, steps: int | tf.Tensor
) -> FullPosterior:
    start = first_latents(model, pixels, labels)
    size = images_at_once(model)
    if pixels.shape[0] is not None and pixels.shape[0] <= size:
        return from_latents(model, pixels, labels, start, steps)
    num_parts = (tf.shape(pixels)[0] + size - 1) // size
    means = tf.TensorArray(tf.float32, num_parts, infer_shape=False)
    factors = tf.TensorArray(tf.float32, num_parts, infer_shape=False)
    for part in tf.range(num_parts):
        tf.autograph.experimental.set_loop_options(parallel_iterations=1)  # for the memory
        own = slice(part * size, (part + 1) * size)
        of_class = None if labels is None else labels[own]
        found = from_latents(model, pixels[own], of_class, start[own], steps)
        means, factors = means.write(part, found.mean), factors.write(part, found.factor)
    dim = model.latent_dim
    return FullPosterior(
        tf.ensure_shape(means.concat(), [None, dim]),
        tf.ensure_shape(factors.concat(), [None, dim, dim]),
    )


def images_at_once(model: Any, nodes: int = 1) -> int:
    """How many images are refined at once: a step decodes Z + 1 latents at each node."""
    height, width, _ = model.image_shape
    return max(_PIXELS // (height * width) // ((model.latent_dim + 1) * nodes) // 2 * 2, 1)


def from_latents(
    model: Any,
    pixels: tf.Tensor,
    labels: tf.Tensor | None,
    start: tf.Tensor,
    steps: int | tf.Tensor,
) -> FullPosterior:
    """Refines from given latents [B, Z], all images at once; else as `inference`."""
    decode, density = decoder_for(model, labels), model.pixels.density
    return refinement.refine(decode, density, pixels, start, steps)


def decoder_for(model: Any, labels: tf.Tensor | None) -> refinement.Decode:
    """The decoder of B images, for any number of blocks of B latents."""
    if labels is None:
        return model.parameters

    def decode(latents: tf.Tensor) -> tf.Tensor:
        times = tf.shape(latents)[0] // tf.shape(labels)[0]
        return model.parameters(latents, tf.tile(labels, [times]))

    return decode


def first_latents(model: Any, pixels: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
    """Where to begin, [B, Z]: the encoder's mean, or in one or two dimensions a likelier place.

    The encoder is often in the wrong valley; a set of latents that lie as the prior does shows it.
    """
    mean = model.encode(pixels, *([] if labels is None else [labels])).mean
    if model.latent_dim not in _SPREAD:
        return mean
    decode, density = decoder_for(model, labels), model.pixels.density
    own = refinement.log_joint(decode, density, pixels, mean)
    places, values = _best_spread(model, pixels, labels)
    return tf.where((own >= values)[:, None], mean, places)


def _best_spread(
    model: Any, pixels: tf.Tensor, labels: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """The likeliest latents of the set for each image, [B, Z], and log p(x, z) there, [B]."""
    density, dim = model.pixels.density, model.latent_dim
    latents = tf.constant(refinement.spread_latents(_num_a_side(model), dim))
    if labels is None:
        return refinement.best_of(density, pixels, latents, model.parameters(latents))
    places = tf.zeros([tf.shape(pixels)[0], dim])
    values = tf.zeros(tf.shape(labels))
    classes, _ = tf.unique(labels)
    for number in classes:
        rows = tf.where(labels == number)
        outputs = model.parameters(latents, tf.fill([len(latents)], number))
        best = refinement.best_of(density, tf.gather_nd(pixels, rows), latents, outputs)
        places = tf.tensor_scatter_nd_update(places, rows, best[0])
        values = tf.tensor_scatter_nd_update(values, rows, best[1])
    return places, values


def _num_a_side(model: Any) -> int:
    """How many latents a side are decoded to begin with; of large images fewer, for the memory."""
    dim, (height, width, _) = model.latent_dim, model.image_shape
    usual = (_SPREAD if model.pixels.density.is_matrix_product else _SPREAD_IF_SLOW)[dim]
    return max(min(usual, int((2 * _PIXELS / (height * width)) ** (1 / dim))), 3)
