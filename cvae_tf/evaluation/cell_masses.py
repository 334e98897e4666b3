"""Integrals of p(x, z) over cells of the latent space, of many images at once."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.evaluation import cell_rules
from cvae_tf.models.vae.likelihoods import Products

_LEAST = -1e5  # nats beside the largest: polynomials need numbers
_NOTHING = 1e-37  # beside p(x), and has a logarithm
_RESOLVED = 1.5  # deviations between two points


class Rule(NamedTuple):
    """How a cell is integrated from what is known at its nodes."""

    matrices: tuple[tf.Tensor, tf.Tensor]  # from nodes to points, [n^Z, m^Z]; see `cell_rules`
    log_weights: tf.Tensor  # of the points, [m^Z]

    @classmethod
    def of(cls, nodes: int, points: int, latent_dim: int) -> "Rule":
        """Takes so many nodes and points a side."""
        full, lower = (
            tf.constant(functools.reduce(np.kron, [of_side.T] * latent_dim), tf.float32)
            for of_side in cell_rules.onto_points(nodes, points)
        )
        log_weights = tf.constant(cell_rules.log_weights(points, latent_dim), tf.float32)
        return cls((full, lower), log_weights)

    @property
    def num_nodes(self) -> int:
        """Counts the nodes of a cell, n^Z."""
        return self.matrices[0].shape[0]


def most_spread(points: int) -> float:
    """Finds the nats in a cell beyond which so many points a side are too far apart.

    A log-density that falls by s nats from the middle to a border of the cell has a deviation of
    at least 1 / sqrt(8 s) of its side; in the middle points are pi / (2 m) of it apart.
    """
    return (2 * _RESOLVED * points / math.pi) ** 2 / 8


def by_node(
    log_weights: np.ndarray, natural: tf.Tensor, log_density: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts parameters in the order of first all first nodes of G cells, then the second, ...

    Args:
        log_weights: of the nodes of a cell, [n].
        natural: parameters of the pixels, [G * n, F].
        log_density: what `Grid.parameters` gives with them, [G * n].

    Returns:
        The parameters, [n * G, F], and what is to be added to have p(x, z) and weights, [n * G].
    """
    num_nodes = len(log_weights)
    cube = tf.reshape(natural, [-1, num_nodes, natural.shape[-1]])
    natural = tf.reshape(tf.transpose(cube, [1, 0, 2]), tf.shape(natural))
    log_measure = tf.transpose(tf.reshape(log_density, [-1, num_nodes]) + log_weights)
    return tf.cast(natural, tf.float32), tf.cast(tf.reshape(log_measure, [-1]), tf.float32)


@tf.function(reduce_retracing=True)
def of_cells(
    features: tf.Tensor,
    least: tf.Tensor,
    natural: tf.Tensor,
    log_measure: tf.Tensor,
    num_nodes: int,
    products: Products,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Compares p(x, z) at the nodes of G cells for B images with what matters to them.

    Args:
        features: of the images, [B, F].
        least: log-masses from which on a cell matters to them, [B].
        natural: of the nodes, in the order of `by_node`, [n * G, F].
        log_measure: theirs, as `by_node` gives it, [n * G].
        num_nodes: n.
        products: those of `likelihoods.Likelihood`.

    Returns:
        The logarithms of p(x, z) times the weight of the node, less the least, [B, n * G]; which
        cells have more than the least, [B, G]; and the logarithm of what all others have together,
        [B].
    """
    excess = products(features, natural) - least[:, None] + log_measure
    # Node by node: a reduction over a short axis takes longer. What is too large is infinite.
    shares = tf.add_n(tf.split(tf.exp(excess), num_nodes, axis=1))
    matters = shares > 1
    small = tf.reduce_sum(tf.where(matters, 0.0, shares), axis=1)
    return excess, matters, tf.math.log(small + _NOTHING) + least


class Masses(NamedTuple):
    """Integrals of p(x, z) over the cells of P pairs, and how far they are to be trusted."""

    log_mass: tf.Tensor  # [P], nats
    lower: tf.Tensor  # the same by polynomials of one degree less, [P], nats
    spread: tf.Tensor  # between the least and the largest log p(x, z) at the nodes, [P], nats


@functools.cache
def traced_of_pairs(dtype: tf.DType, products: Products) -> Callable[..., Masses]:
    """Traces `of_pairs` for all sizes: each rule has its own, and TensorFlow would complain.

    Args:
        dtype: of all that is compared.
        products: those of `likelihoods.Likelihood`.

    Returns:
        A function of what `of_pairs` takes.
    """
    features, natural, log_density = (tf.TensorSpec([None] * rank, dtype) for rank in (2, 3, 2))
    matrix, row = tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.int64)
    rule = Rule((matrix, matrix), tf.TensorSpec([None]))
    traced = tf.function(of_pairs)
    return traced.get_concrete_function(features, natural, log_density, row, rule, products)


def of_pairs(
    features: tf.Tensor,
    natural: tf.Tensor,
    log_density: tf.Tensor,
    row: tf.Tensor,
    rule: Rule,
    products: Products,
) -> Masses:
    """Integrates p(x, z) for P images, each over one of G cells.

    Args:
        features: of the images, [P, F].
        natural: parameters of the pixels at n nodes of each cell, [G, n, F].
        log_density: what `Grid.parameters` gives with them, [G, n].
        row: which cell belongs to the image, [P].
        rule: how the values at the nodes become those at more points, and their weights.
        products: those of `likelihoods.Likelihood`.
    """
    num_cells, nodes = tf.shape(natural)[0], tf.shape(natural)[1]
    of_all = products(features, tf.reshape(natural, [num_cells * nodes, -1]))
    of_own = tf.gather(tf.reshape(of_all, [-1, num_cells, nodes]), row, batch_dims=1)
    joint = of_own + tf.gather(log_density, row)
    largest = tf.reduce_max(joint, axis=1)
    at_nodes = tf.cast(tf.maximum(joint - largest[:, None], _LEAST), tf.float32)
    log_mass, lower = (
        largest + tf.cast(_log_mean(tf.matmul(at_nodes, matrix), rule.log_weights), largest.dtype)
        for matrix in rule.matrices
    )
    return Masses(log_mass, lower, largest - tf.reduce_min(joint, axis=1))


def _log_mean(values: tf.Tensor, log_weights: tf.Tensor) -> tf.Tensor:
    return tf.reduce_logsumexp(values + log_weights, axis=1)
