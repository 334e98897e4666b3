"""What training climbs: pure functions, in nats, one value per image, averaged last."""

import math
from collections.abc import Callable
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


class Posterior(NamedTuple):
    """A Gaussian posterior q(z|x) with diagonal covariance, and a sample of it for each image."""

    mean: tf.Tensor  # [B, Z]
    logvar: tf.Tensor  # [B, Z]
    latents: tf.Tensor  # [B, Z], or [K * B, Z]: the first samples of all images, the second, ...


class Objective(NamedTuple):
    """What a training step climbs."""

    name: str = "elbo"  # "elbo", "elbo_analytic" or "iwae"
    importance_samples: int = 1  # K, more than 1 for "iwae" only
    beta: float = 1.0  # weight of the KL (Higgins et al., "beta-VAE", 2017, equation 4)
    kl_warmup_steps: int = 0  # in which that weight grows from 0 (Sonderby et al. 2016)
    free_bits: float = 0.0  # nats of KL in each latent dimension that cost nothing

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


def elbo_terms(
    log_likelihood: tf.Tensor, latents: tf.Tensor, mean: tf.Tensor, logvar: tf.Tensor
) -> ElboTerms:
    """The terms of the Monte Carlo ELBO, log p(x|z) + log p(z) - log q(z|x), z ~ q(z|x).

    The estimator is that of Kingma & Welling, "Auto-Encoding Variational Bayes" (2014),
    equation 6 with L = 1; the prior is a standard Gaussian.

    Args:
        log_likelihood: log p(x|z) at `latents`, [B], nats.
        latents: one sample of the posterior for each image, [B, Z].
        mean: of the posterior, [B, Z].
        logvar: of the posterior, [B, Z].

    Returns:
        The terms, each [B], nats.
    """
    zeros = tf.zeros_like(latents)
    return ElboTerms(
        log_likelihood=log_likelihood,
        log_prior=log_normal(latents, zeros, zeros),
        log_posterior=log_normal(latents, mean, logvar),
    )


def sample_terms(
    decode: Callable[[tf.Tensor], tf.Tensor],
    log_prob: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    images: tf.Tensor,
    mean: tf.Tensor,
    logvar: tf.Tensor,
    seed: tf.Tensor,
    num_samples: int = 1,
) -> tuple[ElboTerms, Posterior]:
    """Samples each posterior K times.

    Args:
        decode: latents [B, Z] -> parameters of p(x|z).
        log_prob: images and parameters -> log p(x|z), [B], nats.
        images: as in training, [B, H, W, C].
        mean: of the posteriors, [B, Z].
        logvar: of the posteriors, [B, Z].
        seed: int32 [2].
        num_samples: K.

    Returns:
        The terms, each [K * B], and the posteriors with those samples.
    """
    means, logvars = mean, logvar
    if num_samples > 1:
        images = tf.tile(images, [num_samples, 1, 1, 1])
        means, logvars = (tf.tile(value, [num_samples, 1]) for value in (mean, logvar))
    latents = reparameterize(means, logvars, seed)
    terms = elbo_terms(log_prob(images, decode(latents)), latents, means, logvars)
    return terms, Posterior(mean, logvar, latents)


def reparameterize(mean: tf.Tensor, logvar: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draws one sample of each Gaussian so that gradients reach its parameters.

    Args:
        mean: [B, Z].
        logvar: [B, Z].
        seed: int32 [2]; the same seed gives the same noise.

    Returns:
        latents, [B, Z].
    """
    noise = tf.random.stateless_normal(tf.shape(mean), seed)
    return mean + tf.exp(0.5 * logvar) * noise


def kl_per_dimension(mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    """KL divergence of Gaussians from the standard Gaussian, in closed form.

    Kingma & Welling (2014), appendix B.

    Args:
        mean: [B, Z].
        logvar: [B, Z].

    Returns:
        [B, Z], nats; for a diagonal Gaussian the KL is their sum over Z.
    """
    return 0.5 * (tf.square(mean) + tf.exp(logvar) - 1.0 - logvar)


def analytic_kl(mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    """Sums `kl_per_dimension` over the latent dimensions: [B], nats."""
    return tf.reduce_sum(kl_per_dimension(mean, logvar), axis=-1)


def importance_weighted_bound(log_weights: tf.Tensor) -> tf.Tensor:
    """The bound log 1/K sum_k w_k on log p(x), of each image before any average over images.

    Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders" (2016), equation 8.

    Args:
        log_weights: log p(x, z_k) - log q(z_k|x), [K, B], nats.

    Returns:
        [B], nats.
    """
    num_samples = tf.cast(tf.shape(log_weights)[0], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis=0) - tf.math.log(num_samples)


def objective_value(
    objective: Objective, terms: ElboTerms, posterior: Posterior, beta: tf.Tensor | float
) -> tf.Tensor:
    """What a training step climbs, averaged over a batch.

    Args:
        objective: which one.
        terms: of K samples of each posterior, each [K * B] in the order of the latents.
        posterior: of the batch, with those samples.
        beta: weight of the KL at this step.

    Returns:
        A scalar, nats per image.
    """
    is_analytic = objective.name == "elbo_analytic"
    kl = analytic_kl(posterior.mean, posterior.logvar) if is_analytic else terms.kl
    bound = terms.log_likelihood - beta * kl
    if objective.name == "iwae":
        log_weights = tf.reshape(bound, [objective.importance_samples, -1])
        bound = importance_weighted_bound(log_weights)
    value = tf.reduce_mean(bound)
    if objective.free_bits:
        value -= beta * _missing_to_free_bits(objective, posterior)
    return value


def _missing_to_free_bits(objective: Objective, posterior: Posterior) -> tf.Tensor:
    """What takes the price of the first nats of KL away: sum_j max(0, free_bits - KL_j).

    Kingma et al., "Improved variational inference with inverse autoregressive flow" (2016),
    equation 15: each dimension pays max(free_bits, KL_j), the mean KL over the batch.
    """
    if objective.name == "elbo_analytic":
        kl = kl_per_dimension(posterior.mean, posterior.logvar)
    else:
        repeats = [objective.importance_samples, 1]
        mean, logvar = (tf.tile(value, repeats) for value in (posterior.mean, posterior.logvar))
        noise = tf.square(posterior.latents - mean) * tf.exp(-logvar)
        kl = 0.5 * (tf.square(posterior.latents) - noise - logvar)
    return tf.reduce_sum(tf.nn.relu(objective.free_bits - tf.reduce_mean(kl, axis=0)))
