"""Integrals of p(x, z) over cells of the latent space, of many images at once."""

import functools

import numpy as np
import tensorflow as tf

from cvae_tf.models.vae.likelihoods import Products


def by_node(
    num_nodes: int, natural: tf.Tensor, log_measure: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts parameters in the order of first all first nodes of G cells, then the second, ...

    Args:
        num_nodes: of a cell, n.
        natural: parameters of the pixels, [G * n, F].
        log_measure: what `Grid.parameters` gives with them, [G * n].

    Returns:
        The same, [n * G, F] and [n, G].
    """
    cube = tf.reshape(natural, [-1, num_nodes, natural.shape[-1]])
    natural = tf.reshape(tf.transpose(cube, [1, 0, 2]), tf.shape(natural))
    log_measure = tf.transpose(tf.reshape(log_measure, [-1, num_nodes]))
    return tf.cast(natural, tf.float32), tf.cast(log_measure, tf.float32)


@tf.function(reduce_retracing=True)
def of_cells(
    features: tf.Tensor,
    least: tf.Tensor,
    natural: tf.Tensor,
    log_measure: tf.Tensor,
    num_nodes: int,
    products: Products,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Integrates p(x, z) over G cells for B images.

    Args:
        features: of the images, [B, F].
        least: log-masses from which on a cell matters to them, [B].
        natural: of the nodes, in the order of `by_node`, [n * G, F].
        log_measure: theirs, [n, G].
        num_nodes: n.
        products: those of `likelihoods.Likelihood`.

    Returns:
        The log-masses, [B, G], and that of those together which are not above the least, [B].
    """
    found = products(features, natural)
    # Node by node: a reduction over a short last axis takes twice as long.
    of_nodes = tf.split(found, num_nodes, axis=1)
    joint = [values + log_measure[node] for node, values in enumerate(of_nodes)]
    largest = functools.reduce(tf.maximum, joint)
    largest = tf.where(tf.math.is_finite(largest), largest, 0.0)  # else nothing would be NaN
    log_mass = largest + tf.math.log(tf.add_n([tf.exp(each - largest) for each in joint]))
    small = tf.where(log_mass > least[:, None], -np.inf, log_mass)
    return log_mass, tf.reduce_logsumexp(small, axis=-1)


@tf.function(reduce_retracing=True)
def of_pairs(
    features: tf.Tensor,
    natural: tf.Tensor,
    log_measure: tf.Tensor,
    row: tf.Tensor,
    products: Products,
) -> tf.Tensor:
    """Integrates p(x, z) for P images, each over one of G cells.

    Args:
        features: of the images, [P, F].
        natural: parameters of the pixels at n nodes of each cell, [G, n, F].
        log_measure: what `Grid.parameters` gives with them, [G, n].
        row: which cell belongs to the image, [P].
        products: those of `likelihoods.Likelihood`.

    Returns:
        The log-masses, [P], nats.
    """
    num_cells, nodes = tf.shape(natural)[0], tf.shape(natural)[1]
    of_all = products(features, tf.reshape(natural, [num_cells * nodes, -1]))
    of_own = tf.gather(tf.reshape(of_all, [-1, num_cells, nodes]), row, batch_dims=1)
    return tf.reduce_logsumexp(of_own + tf.gather(log_measure, row), axis=1)
