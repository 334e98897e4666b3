"""A density of the latents of training images, to sample from instead of the prior.

All posteriors together differ from the prior, the more so the more latents there are, so that
samples from the prior do not look like images. Those from a mixture of Gaussians that is fitted to
the posteriors after training do (Ghosh et al., "From variational to deterministic autoencoders",
2020, section 4).
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

COMPONENTS = 100
_MOST_ROUNDS = 30  # of EM
_ENOUGH, _ENOUGH_EACH = 1e-2, 4e-4  # that a round must bring: nats, and nats for each dimension
_SMALLEST_VARIANCE = 1e-4  # is added to each covariance
_SMALLEST_SHARE = 1e-6  # of an image in a Gaussian; smaller ones are ignored
_AT_ONCE = 4096  # latents


class Mixture(NamedTuple):
    """A mixture of K full Gaussians, float64."""

    log_weights: np.ndarray  # [K]
    means: np.ndarray  # [K, Z]
    roots: np.ndarray  # of the covariances, lower triangular, [K, Z, Z]


def fit(
    latents: np.ndarray,
    random: np.random.Generator,
    show: Callable[[float], None] = lambda share: None,
) -> Mixture:
    """Fits a mixture by expectation and maximisation (Dempster et al. 1977).

    Args:
        latents: of each image, [N, Z].
        random: decides the start.
        show: called with the share of the rounds that is done, from 0 to 1.

    Returns:
        The mixture; of few latents it has fewer Gaussians.
    """
    latents = latents.astype(np.float32)  # for speed; sums over images are in float64
    num = max(min(COMPONENTS, len(latents) // (2 * latents.shape[1])), 1)
    shares = _first_shares(latents, num, random)
    best, enough = -np.inf, max(_ENOUGH, _ENOUGH_EACH * latents.shape[1])
    for done in range(_MOST_ROUNDS):
        show(done / _MOST_ROUNDS)
        mixture = _maximized(latents, shares)
        joint = log_joint(mixture, latents)
        each = np.logaddexp.reduce(joint, axis=1)
        shares = np.exp(joint - each[:, None])
        if each.mean() < best + enough:
            break
        best = each.mean()
    return mixture


def _first_shares(latents: np.ndarray, num: int, random: np.random.Generator) -> np.ndarray:
    """Gives each image to the nearest of some that are far from each other (k-means++)."""
    centres = latents[random.integers(len(latents), size=1)]
    nearest = np.sum((latents - centres[0]) ** 2, axis=1, dtype=np.float64)
    owner = np.zeros(len(latents), np.int64)
    for number in range(1, num):
        if not nearest.any():  # fewer different latents than Gaussians
            return np.eye(number)[owner]
        centre = latents[random.choice(len(latents), p=nearest / nearest.sum())]
        distances = np.sum((latents - centre) ** 2, axis=1, dtype=np.float64)
        owner[distances < nearest] = number
        nearest = np.minimum(nearest, distances)
    return np.eye(num)[owner]


def _maximized(latents: np.ndarray, shares: np.ndarray) -> Mixture:
    """The likeliest mixture if images belong to its Gaussians with these shares [N, K]."""
    counts = shares.sum(axis=0) + 1e-9
    means, roots = [], []
    for share, count in zip(shares.T, counts, strict=True):
        own = share > _SMALLEST_SHARE
        mine, weights = latents[own].astype(np.float64), share[own, None] / count
        means.append(np.sum(weights * mine, axis=0))
        centred = mine - means[-1]
        covariance = (centred * weights).T @ centred
        roots.append(np.linalg.cholesky(covariance + _SMALLEST_VARIANCE * np.eye(len(means[-1]))))
    return Mixture(np.log(counts / counts.sum()), np.stack(means), np.stack(roots))


def log_joint(mixture: Mixture, latents: np.ndarray) -> np.ndarray:
    """Log-density of latents [N, Z] together with each Gaussian, [N, K], nats."""
    dtype, parts = latents.dtype, []
    means = mixture.means.astype(dtype)
    whitenings = np.linalg.inv(mixture.roots).transpose(0, 2, 1).astype(dtype)
    for start in range(0, len(latents), _AT_ONCE):
        part = latents[start : start + _AT_ONCE]
        whites = (  # TensorFlow multiplies faster than NumPy
            tf.matmul(part - mean, whitening)
            for mean, whitening in zip(means, whitenings, strict=True)
        )
        parts.append(np.stack([tf.reduce_sum(tf.square(white), 1) for white in whites], axis=1))
    log_volumes = np.log(np.diagonal(mixture.roots, axis1=1, axis2=2)).sum(axis=1)
    log_volumes += 0.5 * latents.shape[1] * np.log(2 * np.pi)
    return mixture.log_weights - log_volumes - 0.5 * np.concatenate(parts)


@keras.saving.register_keras_serializable(package="cvae_tf")
class LatentSampler(keras.layers.Layer):
    """Draws latents from a mixture, as part of a model; before it is fitted, from the prior."""

    effect_if_missing = "samples come from the prior"

    def __init__(self, latent_dim: int, **kwargs):
        """Takes the number of latent dimensions, Z."""
        super().__init__(**kwargs)
        self.latent_dim = latent_dim
        self.build()

    def build(self, input_shape=None):
        """Makes the variables of the mixture: K standard Gaussians at first."""
        latent_dim = self.latent_dim
        for rank, name in enumerate(("log_weights", "means", "roots")):
            shape = (COMPONENTS, *[latent_dim] * rank)
            weight = self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)
            setattr(self, name, weight)
        self.roots.assign(tf.eye(latent_dim, batch_shape=[COMPONENTS]))
        self.built = True

    def take(self, mixture: Mixture) -> None:
        """Takes a mixture of K or fewer Gaussians; the missing ones are never drawn.

        They come first, where rounding of the other weights cannot lead to them.
        """
        missing = COMPONENTS - len(mixture.means)
        self.log_weights.assign(np.pad(mixture.log_weights, (missing, 0), constant_values=-1e9))
        self.means.assign(np.pad(mixture.means, ((missing, 0), (0, 0))))
        self.roots.assign(np.pad(mixture.roots, ((missing, 0), (0, 0), (0, 0))))

    @property
    def is_fitted(self) -> bool:
        """Whether it has taken a mixture."""
        return bool(np.any(self.means.numpy()))

    def draw(self, num: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws latents [num, Z] by a seed, int32 [2]; the first ones do not depend on `num`."""
        of_component, of_noise = (tf.random.fold_in(seed, number) for number in range(2))
        noise = tf.random.stateless_normal([num, self.latent_dim], of_noise)
        return self(noise, tf.random.stateless_uniform([num], of_component))

    def call(self, noise, uniform):
        """Makes latents [B, Z] from standard normal noise [B, Z] and numbers from 0 to 1, [B].

        It takes one Gaussian after the other, to save memory.
        """
        ops = keras.ops
        ends = ops.cumsum(ops.softmax(self.log_weights))[:-1]
        chosen = ops.sum(ops.cast(uniform[:, None] >= ends, "int32"), axis=1)
        latents = ops.zeros_like(noise)
        for number in range(COMPONENTS):
            own = self.means[number] + ops.matmul(noise, ops.transpose(self.roots[number]))
            latents = ops.where((chosen == number)[:, None], own, latents)
        return latents

    def get_config(self):
        """Returns what rebuilds the layer."""
        return {**super().get_config(), "latent_dim": self.latent_dim}
