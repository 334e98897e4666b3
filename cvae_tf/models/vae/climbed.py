"""What a training step climbs: an objective's value for a model and a batch."""

from typing import Any

import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.vae import objectives
from cvae_tf.models.vae.even_latents import even_latents, numbers_within_class
from cvae_tf.models.vae.objectives import ElboTerms

_SHARE_OF_ELBO = 0.5  # of the objective "shared"


def value_and_terms(
    model: Any,
    images: tf.Tensor,
    labels: tf.Tensor | None,
    noise: tf.Tensor,
    seen: tf.Tensor,
    training: bool = False,
) -> tuple[tf.Tensor, ElboTerms]:
    """Finds what a step climbs now, of a batch.

    Args:
        model: a `CVAE`, with its objective.
        images: pixels, [B, H, W, C].
        labels: theirs, [B], of a conditional model.
        noise: standard Gaussian, for K samples of each posterior, [K * B, Z].
        seen: what the encoder sees of the images, [B, H, W, C].
        training: whether dropout drops.

    Returns:
        The objective, a scalar, nats per image; and the terms of the ELBO, each [K * B].
    """
    objective, posterior = model.objective, model.encode(seen, labels, training)
    terms, latents = model.terms_with_noise(
        images, posterior, noise, objective.importance_samples, labels, training
    )
    beta = objective.beta_at(model.steps)
    value = objectives.objective_value(objective, terms, posterior, latents, beta)
    if objective.name == "shared":
        bound = tf.reduce_mean(_shared_bound(model, images, labels, training))
        value = _SHARE_OF_ELBO * value + (1 - _SHARE_OF_ELBO) * bound
    return value, terms


def _shared_bound(
    model: Any, images: tf.Tensor, labels: tf.Tensor | None, training: bool
) -> tf.Tensor:
    """Bounds log p(x) of each image by latents that all of them share, [B]."""
    num, of_latents = model.objective.shared_latents, None
    # In training others at each step; a test is the same every time.
    step = model.steps if training else 0
    key = derived_key(model.seed, Purpose.SHARED_LATENTS, step)
    of_batch = labels if labels is None else replicas.gathered(labels)
    if labels is not None:
        num = tf.maximum(num, tf.shape(of_batch)[0])
    latents = even_latents(num, model.latent_dim, key)
    if labels is not None:  # each class has latents in proportion to its images
        of_latents = tf.gather(of_batch, tf.range(num) % tf.shape(of_batch)[0])
        latents = tf.gather(latents, numbers_within_class(of_latents))
    outputs = model.parameters(latents, of_latents, training)
    log_likelihood = tf.cast(model.pixels.density.log_prob_of_all(images, outputs), tf.float32)
    return objectives.shared_bound(log_likelihood, labels, of_latents)
