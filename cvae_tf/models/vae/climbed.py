"""What a training step climbs: an objective's value for a model and a batch."""

from typing import Any

import tensorflow as tf

from cvae_tf.models.vae import objectives
from cvae_tf.models.vae.objectives import ElboTerms


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
    num_samples, beta = objective.importance_samples, objective.beta_at(model.steps)
    if objective.name != "shared":
        terms, latents = model.terms_with_noise(
            images, posterior, noise, num_samples, labels, training
        )
        return objectives.objective_value(objective, terms, posterior, latents, beta), terms
    repeated = posterior.repeated(num_samples)
    latents = repeated.sample(noise)
    of_samples = labels if labels is None else tf.tile(labels, [num_samples])
    outputs = model.decode(latents, of_samples, training)
    of_pairs = tf.cast(model.pixels.density.log_prob_of_all(images, outputs), tf.float32)
    bound = objectives.shared_bound(of_pairs, latents, posterior, beta, labels)
    own = _of_own_samples(of_pairs, num_samples)
    return tf.reduce_mean(bound), objectives.elbo_terms(own, latents, repeated)


def _of_own_samples(of_pairs: tf.Tensor, num_samples: int) -> tf.Tensor:
    """What belongs to each image and its own samples, [B, K * B] -> [K * B]."""
    num = tf.shape(of_pairs)[0]
    cube = tf.transpose(tf.reshape(of_pairs, [num, num_samples, num]), [1, 0, 2])
    return tf.reshape(tf.linalg.diag_part(cube), [-1])
