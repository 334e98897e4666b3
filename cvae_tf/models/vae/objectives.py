"""The ELBO and other objectives: pure functions, in nats, averaged over images last."""

from typing import NamedTuple

import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.models.vae.posterior import (
    FullPosterior,
    Posterior,
    kl_per_dimension,
    log_standard_normal,
)
from cvae_tf.presets import SHARED_LATENTS

_SMALLEST_SHARE = 2.0**-24  # of the prior, beside a latent, so that none is infinite


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


class Objective(NamedTuple):
    """What a training step maximises."""

    name: str = "elbo"  # "elbo", "elbo_analytic", "iwae" or "shared"
    importance_samples: int = 1  # K, of "iwae" only
    beta: float = 1.0  # weight of the KL (Higgins et al., "beta-VAE", 2017, equation 4)
    kl_warmup_steps: int = 0  # in which that weight grows from 0 (Sonderby et al. 2016)
    free_bits: float = 0.0  # nats of KL in each latent dimension that cost nothing
    shared_latents: int = SHARED_LATENTS  # M, of "shared" only: half the ELBO, half `shared_bound`

    @property
    def is_elbo(self) -> bool:
        """Whether it is the single-sample ELBO itself."""
        return self == ELBO

    def beta_at(self, step: tf.Tensor) -> tf.Tensor | float:
        """Weight of the KL at a step, counted from 0."""
        if not self.kl_warmup_steps:
            return self.beta
        return self.beta * tf.minimum(1.0, tf.cast(step, tf.float32) / self.kl_warmup_steps)


ELBO = Objective()


def elbo_terms(
    log_likelihood: tf.Tensor, latents: tf.Tensor, posterior: Posterior | FullPosterior
) -> ElboTerms:
    """The terms of the Monte Carlo ELBO, log p(x|z) + log p(z) - log q(z|x), z ~ q(z|x).

    The estimator is that of Kingma & Welling, "Auto-Encoding Variational Bayes" (2014),
    equation 6 with L = 1; the prior is a standard Gaussian.

    Args:
        log_likelihood: log p(x|z) at `latents`, [B], nats.
        latents: one sample of the posterior for each image, [B, Z].
        posterior: of the images, B Gaussians.
    """
    return ElboTerms(
        log_likelihood=log_likelihood,
        log_prior=log_standard_normal(latents),
        log_posterior=posterior.log_density(latents),
    )


def importance_weighted_bound(log_weights: tf.Tensor) -> tf.Tensor:
    """The bound log 1/K sum_k w_k on log p(x), of each image before any average: [B], nats.

    Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders" (2016), equation 8; the
    logarithms of the weights are log p(x, z_k) - log q(z_k|x), [K, B].
    """
    num_samples = tf.cast(tf.shape(log_weights)[0], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis=0) - tf.math.log(num_samples)


def shared_bound(log_likelihood: tf.Tensor) -> tf.Tensor:
    """The bound log 1/M sum_m p(x|z_m) on log p(x), [B], of log p(x|z_m) [B, M], nats.

    Bishop, Svensen & Williams, "GTM: the generative topographic mapping" (1998), equation 2.6, with
    new latents at each step, the same for all images. Each is a draw from the prior, so the mean of
    the exponential is p(x), and the mean of the bound is at most log p(x).
    """
    num = tf.cast(tf.shape(log_likelihood)[1], log_likelihood.dtype)
    return tf.reduce_logsumexp(log_likelihood, axis=1) - tf.math.log(num)


def objective_value(
    objective: Objective,
    terms: ElboTerms,
    posterior: Posterior,
    latents: tf.Tensor,
    beta: tf.Tensor | float,
) -> tf.Tensor:
    """What a training step maximises, averaged over a batch: a scalar, nats per image.

    Args:
        objective: which one.
        terms: of K samples of each posterior, each [K * B] in the order of the latents.
        posterior: of the batch, B Gaussians.
        latents: those samples, [K * B, Z].
        beta: weight of the KL at this step.
    """
    kl = terms.kl
    if objective.name == "elbo_analytic":
        kl = tf.reduce_sum(kl_per_dimension(posterior), axis=-1)
    bound = terms.log_likelihood - beta * kl
    if objective.name == "iwae":
        log_weights = tf.reshape(bound, [objective.importance_samples, -1])
        bound = importance_weighted_bound(log_weights)
    value = tf.reduce_mean(bound)
    if objective.free_bits:
        value -= beta * _missing_to_free_bits(objective, posterior, latents)
    return value


def _missing_to_free_bits(
    objective: Objective, posterior: Posterior, latents: tf.Tensor
) -> tf.Tensor:
    """What the KL lacks to the free bits: sum_j max(0, free_bits - KL_j).

    Kingma et al., "Improved variational inference with inverse autoregressive flow" (2016),
    equation 15: each dimension pays max(free_bits, KL_j), the mean KL over the batch.
    """
    if objective.name == "elbo_analytic":
        kl = kl_per_dimension(posterior)
    else:
        mean, logvar = posterior.repeated(objective.importance_samples)
        kl = 0.5 * (tf.square(latents) - tf.square(latents - mean) * tf.exp(-logvar) - logvar)
    kl = replicas.mean(tf.reduce_mean(kl, axis=0))
    return tf.reduce_sum(tf.nn.relu(objective.free_bits - kl))


def even_latents(num: int | tf.Tensor, dim: int, key: tf.Tensor) -> tf.Tensor:
    """Draws latents from the prior, but spread more evenly than by chance.

    `shared_bound` compares all images of a batch under them. They are quantiles of the prior
    at a Kronecker sequence, all shifted together at random (Cranley & Patterson, "Randomization of
    number theoretic methods for multiple integration", 1976). Any number of the first
    ones is spread as evenly. Each alone is a sample of the prior.

    Args:
        num: M, how many.
        dim: Z, the latent dimensions.
        key: int32 [2], for the shift.
    """
    numbers = tf.cast(tf.range(num), tf.float64)[:, None]
    shares = tf.cast(numbers * _steps_of_sequence(dim) % 1.0, tf.float32)
    return prior_quantiles((shares + tf.random.stateless_uniform([dim], key)) % 1.0)


def prior_quantiles(shares: tf.Tensor) -> tf.Tensor:
    """The quantiles of a standard Gaussian at these shares, from 0 to 1; finite."""
    return tf.math.ndtri(tf.clip_by_value(shares, _SMALLEST_SHARE, 1 - _SMALLEST_SHARE))


def _steps_of_sequence(dim: int) -> list[float]:
    """The steps of the sequence: powers of the inverse of the generalised golden ratio.

    Roberts, "The unreasonable effectiveness of quasirandom sequences" (2018).
    """
    ratio = 2.0
    for _ in range(60):
        ratio = (1 + ratio) ** (1 / (dim + 1))
    return [ratio**-power for power in range(1, dim + 1)]
