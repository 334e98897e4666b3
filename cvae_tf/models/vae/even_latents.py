"""Latents that cover the prior evenly, under which all images of a batch are compared."""

import tensorflow as tf

_SMALLEST = 2.0**-24  # share of the prior beside a latent, so that none is infinite


def even_latents(num: int | tf.Tensor, dim: int, key: tf.Tensor) -> tf.Tensor:
    """Draws latents that lie as the prior does, but more evenly than by chance.

    They are quantiles of the prior by a Kronecker sequence, all moved together by chance (Cranley &
    Patterson, "Randomization of number theoretic methods for multiple integration", 1976). Any
    number of the first ones is spread as evenly.

    Args:
        num: M, how many.
        dim: Z, the latent dimensions.
        key: int32 [2], by which they are moved.

    Returns:
        [M, Z]; each of them alone is a sample of the prior.
    """
    numbers = tf.cast(tf.range(num), tf.float64)[:, None]
    shares = tf.cast(numbers * _steps(dim) % 1.0, tf.float32)
    return prior_quantiles((shares + tf.random.stateless_uniform([dim], key)) % 1.0)


def prior_quantiles(shares: tf.Tensor) -> tf.Tensor:
    """Where these shares of a standard Gaussian, from 0 to 1, lie below; finite."""
    return tf.math.ndtri(tf.clip_by_value(shares, _SMALLEST, 1 - _SMALLEST))


def _steps(dim: int) -> list[float]:
    """Powers of the inverse of the generalised golden ratio, by which the sequence goes on.

    Roberts, "The unreasonable effectiveness of quasirandom sequences" (2018).
    """
    ratio = 2.0
    for _ in range(60):
        ratio = (1 + ratio) ** (1 / (dim + 1))
    return [ratio**-power for power in range(1, dim + 1)]


def numbers_within_class(labels: tf.Tensor) -> tf.Tensor:
    """Counts, for each of M labels, the same ones before it, [M]."""
    order = tf.argsort(labels, stable=True)
    in_order = tf.gather(labels, order)
    counts = tf.range(tf.size(labels)) - tf.searchsorted(in_order, in_order)
    return tf.scatter_nd(order[:, None], counts, tf.shape(labels))
