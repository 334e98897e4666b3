"""The Gaussian density, Gaussian posteriors q(z|x), their samples and their KL."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

LOG_2PI = math.log(2 * math.pi)


class Posterior(NamedTuple):
    """The posterior q(z|x) of each image: a Gaussian with diagonal covariance."""

    mean: tf.Tensor | np.ndarray  # [B, Z]
    logvar: tf.Tensor | np.ndarray  # [B, Z], logarithms of the variances

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """Makes a sample of each, [B, Z], from standard Gaussian noise [B, Z].

        So gradients reach the posterior (Kingma & Welling, "Auto-Encoding Variational Bayes", 2014,
        section 2.4).
        """
        return self.mean + tf.exp(0.5 * self.logvar) * noise

    def log_density(self, latents: tf.Tensor) -> tf.Tensor:
        """The logarithm of q(z|x) at latents [B, Z]: [B], nats."""
        return log_normal(latents, *self)

    def repeated(self, num: int) -> "Posterior":
        """All of them, `num` times one after another."""
        return Posterior(*(repeat_rows(part, num) for part in self))


class FullPosterior(NamedTuple):
    """The posterior q(z|x) of each image: a Gaussian with any covariance; used as `Posterior`."""

    mean: tf.Tensor | np.ndarray  # [B, Z]
    factor: tf.Tensor | np.ndarray  # [B, Z, Z], lower triangular; covariance = factor factor'

    @property
    def covariance(self) -> tf.Tensor:
        """[B, Z, Z]."""
        return tf.matmul(self.factor, self.factor, transpose_b=True)

    @property
    def logvar(self) -> np.ndarray:
        """Logarithms of the variances of each latent, [B, Z]."""
        return np.log(np.square(self.factor).sum(axis=-1))

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """Makes a sample of each, [B, Z], of standard Gaussian noise [B, Z]."""
        return self.mean + tf.linalg.matvec(self.factor, noise)

    def log_density(self, latents: tf.Tensor) -> tf.Tensor:
        """The logarithm of q(z|x) at latents [B, Z]: [B], nats."""
        away = (latents - self.mean)[..., None]
        noise = tf.linalg.triangular_solve(self.factor, away)[..., 0]
        return log_standard_normal(noise) - self.log_volume()

    def log_volume(self) -> tf.Tensor:
        """Half the logarithm of the determinant of the covariance, [B]."""
        return tf.reduce_sum(tf.math.log(tf.linalg.diag_part(self.factor)), axis=-1)

    def repeated(self, num: int) -> "FullPosterior":
        """All of them, `num` times one after another."""
        return FullPosterior(*(repeat_rows(part, num) for part in self))

    def kl(self) -> tf.Tensor:
        """KL divergence from the standard Gaussian, in closed form: [B], nats.

        Kingma & Welling (2014), appendix B, for any covariance.
        """
        squares = tf.reduce_sum(tf.square(self.mean), -1)
        squares += tf.reduce_sum(tf.square(self.factor), axis=(-2, -1))
        return 0.5 * (squares - self.mean.shape[-1]) - self.log_volume()


def repeat_rows(batch: tf.Tensor, num: int | tf.Tensor) -> tf.Tensor:
    """All rows of a batch, `num` times one after another."""
    if isinstance(num, int) and num == 1:
        return batch
    return tf.tile(batch, [num, *[1] * (len(batch.shape) - 1)])


def log_normal(
    values: tf.Tensor, mean: tf.Tensor, logvar: tf.Tensor, axis: int | tuple[int, ...] = -1
) -> tf.Tensor:
    """Log-density of a Gaussian with diagonal covariance: [B], nats.

    Args:
        values: where to evaluate it: latents [B, Z], or pixels [B, H, W, C].
        mean: of the shape of `values`, or one that broadcasts to it.
        logvar: logarithm of the variances, as `mean`.
        axis: what belongs to one image.
    """
    squared_distance = tf.square(values - mean) * tf.exp(-logvar)
    return -0.5 * tf.reduce_sum(squared_distance + logvar + LOG_2PI, axis=axis)


def log_standard_normal(latents: tf.Tensor) -> tf.Tensor:
    """Log-density of the standard Gaussian, the prior, at latents [B, Z]: [B], nats."""
    zeros = tf.zeros_like(latents)
    return log_normal(latents, zeros, zeros)


def kl_per_dimension(posterior: Posterior) -> tf.Tensor:
    """KL of B posteriors from the standard Gaussian, in closed form: [B, Z], nats.

    Kingma & Welling (2014), appendix B; for a diagonal Gaussian the KL is the sum over Z.
    """
    mean, logvar = posterior
    return 0.5 * (tf.square(mean) + tf.exp(logvar) - 1.0 - logvar)
