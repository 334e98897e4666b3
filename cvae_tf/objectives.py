"""Log-densities and the evidence lower bound: pure functions, in nats, one value per image."""

import math
from typing import NamedTuple

import tensorflow as tf

_LOG_2PI = math.log(2 * math.pi)


class ElboTerms(NamedTuple):
    """The three terms of the single-sample ELBO, each [B], in nats per image."""

    log_likelihood: tf.Tensor  # log p(x|z)
    log_prior: tf.Tensor  # log p(z)
    log_posterior: tf.Tensor  # log q(z|x)

    @property
    def kl(self) -> tf.Tensor:
        """Single-sample estimate of KL(q(z|x) || p(z)), [B]; can be negative for one sample."""
        return self.log_posterior - self.log_prior

    @property
    def elbo(self) -> tf.Tensor:
        """Single-sample estimate of the evidence lower bound on log p(x), [B]."""
        return self.log_likelihood - self.kl


def log_normal(latents: tf.Tensor, mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    """Log-density of a Gaussian with diagonal covariance.

    Args:
        latents: where to evaluate it, [B, Z].
        mean: [B, Z], or anything that broadcasts to it.
        logvar: logarithm of the variances, as `mean`.

    Returns:
        [B], nats, summed over the latent dimensions.
    """
    squared_distance = tf.square(latents - mean) * tf.exp(-logvar)
    return -0.5 * tf.reduce_sum(squared_distance + logvar + _LOG_2PI, axis=-1)


def bernoulli_log_likelihood(images: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Log-probability of binary images whose pixels are independent given the latents.

    Args:
        images: pixels 0 or 1, [B, H, W, C].
        logits: log-odds of a pixel being 1, [B, H, W, C].

    Returns:
        [B], nats, summed over the pixels.
    """
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=logits)
    return -tf.reduce_sum(cross_entropy, axis=[1, 2, 3])


def elbo_terms(
    images: tf.Tensor, logits: tf.Tensor, latents: tf.Tensor, mean: tf.Tensor, logvar: tf.Tensor
) -> ElboTerms:
    """The terms of the Monte Carlo ELBO, log p(x|z) + log p(z) - log q(z|x), z ~ q(z|x).

    The estimator is that of Kingma & Welling, "Auto-Encoding Variational Bayes" (2014),
    equation 6 with L = 1; the prior is a standard Gaussian.

    Args:
        images: pixels 0 or 1, [B, H, W, C].
        logits: the decoder's output at `latents`, [B, H, W, C].
        latents: one sample of the posterior for each image, [B, Z].
        mean: of the posterior, [B, Z].
        logvar: of the posterior, [B, Z].

    Returns:
        The terms, each [B], nats.
    """
    zeros = tf.zeros_like(latents)
    return ElboTerms(
        log_likelihood=bernoulli_log_likelihood(images, logits),
        log_prior=log_normal(latents, zeros, zeros),
        log_posterior=log_normal(latents, mean, logvar),
    )


def analytic_kl(mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    """KL divergence of a diagonal Gaussian from the standard Gaussian, in closed form.

    Kingma & Welling (2014), appendix B.

    Args:
        mean: [B, Z].
        logvar: [B, Z].

    Returns:
        [B], nats, summed over the latent dimensions.
    """
    return 0.5 * tf.reduce_sum(tf.square(mean) + tf.exp(logvar) - 1.0 - logvar, axis=-1)
