"""The latent space divided into cells, and the integrals of p(x, z) over them.

The logarithm of p(x, z) is smooth, also where p(x, z) itself is a needle: that of a Gaussian has
degree two. So few nodes are decoded, and a polynomial through them gives the values at more points.
Trefethen, "Approximation Theory and Approximation Practice" (2019), chapters 8, 17 and 19.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.polynomial import legendre

from cvae_tf.models.vae.likelihoods import Products, matrix_product
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.posterior import Posterior, log_normal

_SIDE_OF_CELL = {1: 0.002, 2: 0.1}  # by latent dimensions: a few posterior deviations
_LEAST_EXTENT, _LARGEST_EXTENT = 5.0, 12.0  # of the cells, from 0 in each direction
_DEVIATIONS = 4.0  # of a posterior that must lie within the cells, and be integrated finely
_LEAST_LOG = -1e5  # nats beside the largest: polynomials need numbers
_NOTHING = 1e-37  # beside p(x), and has a logarithm
_RESOLVED = 1.5  # deviations between two points


class Grid:
    """The cells, their nodes, and what the decoder says there."""

    def __init__(
        self,
        model: CVAE,
        posteriors: Posterior,
        features: np.ndarray,
        label: int | None = None,
    ):
        """Lays cells so that the prior and all posteriors are covered.

        Args:
            model: the model.
            posteriors: of N images.
            features: theirs, [N, F]. A border that is black in all of them is compared with each
                node once, not with each image: only the features that vary are left to compare.
            label: the class that is decoded, of a conditional model.
        """
        self._posteriors = posteriors
        self._deviations = np.exp(0.5 * posteriors.logvar)
        self.density, self.latent_dim = model.pixels.density, model.latent_dim
        self.varies = (np.ptp(features, axis=0) > 0) | (not self.density.is_matrix_product)  # [F]
        self._constant = features[:1, ~self.varies]
        self.side = _SIDE_OF_CELL[model.latent_dim]
        reach = np.abs(posteriors.mean) + _DEVIATIONS * self._deviations
        self.reach = reach.max(axis=1)  # of each image's posterior, from 0, [N]
        self._cells_a_side = 2 * round(_LARGEST_EXTENT / self.side)
        self._shape = (self._cells_a_side,) * model.latent_dim
        self._decode = tf.function(
            lambda latents: self._fold(*self.density.natural(_decode(model, latents, label))),
            input_signature=[tf.TensorSpec([None, model.latent_dim])],
        )

    def rings(self) -> Iterator[tuple[np.ndarray, float]]:
        """Yields the cells by their distance from 0, and how far each ring of them reaches.

        Cells are numbered from the corner of the smallest latents.
        """
        cells = np.arange(np.prod(self._shape))
        distances = np.abs(self._corners(cells) + self.side / 2).max(axis=1)
        inner = 0.0
        for outer in np.arange(_LEAST_EXTENT, _LARGEST_EXTENT + 1):
            yield cells[(distances > inner) & (distances < outer)], outer
            inner = outer

    def parameters(self, cells: np.ndarray, nodes: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes the nodes of G cells, n a cell.

        Returns:
            Natural parameters of the features that vary, [G * n, V], and [G * n], nats: what is to
            be added to products(features, natural) to have the logarithm of p(x, z) times the
            volume of a cell.
        """
        latent_dim = self.latent_dim
        latents = self._corners(cells)[:, None] + self.side * node_places(nodes, latent_dim)
        log_prior = log_normal(latents, np.zeros_like(latents), np.zeros_like(latents)).numpy()
        log_density = log_prior + latent_dim * np.log(self.side)
        flat = latents.reshape(-1, latent_dim)
        natural, of_constant = self._decode(tf.constant(flat, tf.float32))
        return natural, tf.constant(log_density.ravel(), natural.dtype) + of_constant

    def is_about_posterior(self, images: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Whether the posteriors of M images lie in M cells, [M]."""
        centres = self._corners(cells) + self.side / 2
        deviations = self._deviations[images]
        distances = np.abs(centres - self._posteriors.mean[images]) - self.side / 2
        return np.all(distances < _DEVIATIONS * deviations, axis=1)

    def is_broad(self, images: np.ndarray) -> np.ndarray:
        """Whether the posteriors of M images are broader than a cell, [M]."""
        return self._deviations[images].min(axis=1) > self.side

    def cells_of_posteriors(self) -> np.ndarray:
        """Finds the cell in which the posterior mean of each image lies, [N]."""
        places = np.floor((self._posteriors.mean + _LARGEST_EXTENT) / self.side).astype(int)
        return np.ravel_multi_index(places.T, self._shape, mode="clip")

    def _fold(self, natural: tf.Tensor, log_normalizer: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Leaves the features that vary [G, V]; adds the others up [G], less the normalizer."""
        if self.varies.all():
            return natural, -log_normalizer
        varying, others = (tf.gather(natural, np.flatnonzero(part), axis=1)
                           for part in (self.varies, ~self.varies))  # fmt: skip
        of_constant = matrix_product(others, tf.constant(self._constant, natural.dtype))[:, 0]
        return varying, of_constant - log_normalizer

    def _corners(self, cells: np.ndarray) -> np.ndarray:
        places = np.stack(np.unravel_index(cells, self._shape), axis=-1)
        return places * self.side - _LARGEST_EXTENT


def _decode(model: CVAE, latents: tf.Tensor, label: int | None) -> tf.Tensor:
    """The parameters of p(x|z), of a conditional model those of one class."""
    labels = None if label is None else tf.fill(tf.shape(latents)[:1], label)
    return model.parameters(latents, labels)


def node_places(nodes: int, latent_dim: int) -> np.ndarray:
    """The Gauss-Legendre nodes of the unit cell, [n^Z, Z].

    Args:
        nodes: n a side.
        latent_dim: Z.
    """
    side = (_nodes(nodes)[0] + 1) / 2
    return np.array(list(itertools.product(side, repeat=latent_dim)))


@functools.cache
def node_log_weights(nodes: int, latent_dim: int) -> np.ndarray:
    """The logarithms of the nodes' weights, which add up to 1, [n^Z]."""
    side = np.log(_nodes(nodes)[1] / 2)
    return functools.reduce(np.add.outer, [side] * latent_dim).ravel()


@functools.cache
def onto_points(nodes: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the values at more points of a side from those at its nodes, by Legendre polynomials.

    Args:
        nodes: n.
        points: m, at Gauss-Legendre nodes too.

    Returns:
        Two matrices [m, n]: of the polynomial through the values, and of the same without its
        terms of the highest degree. How far they differ says how good the first one is.
    """
    places, weights = _nodes(nodes)
    terms = np.arange(nodes)
    of_terms = legendre.legvander(places, nodes - 1).T * weights * (terms[:, None] + 0.5)
    at_points = legendre.legvander(_nodes(points)[0], nodes - 1)
    return at_points @ of_terms, at_points[:, :-1] @ of_terms[:-1]


@functools.cache
def _nodes(number: int) -> tuple[np.ndarray, np.ndarray]:
    return legendre.leggauss(number)


class Rule(NamedTuple):
    """How a cell is integrated from what is known at its nodes."""

    matrices: tuple[tf.Tensor, tf.Tensor]  # from nodes to points, [n^Z, m^Z]; see `onto_points`
    log_weights: tf.Tensor  # of the points, [m^Z]

    @classmethod
    def of(cls, nodes: int, points: int, latent_dim: int) -> "Rule":
        """Takes so many nodes and points a side."""
        full, lower = (
            tf.constant(functools.reduce(np.kron, [of_side.T] * latent_dim), tf.float32)
            for of_side in onto_points(nodes, points)
        )
        log_weights = tf.constant(node_log_weights(points, latent_dim), tf.float32)
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
    at_nodes = tf.cast(tf.maximum(joint - largest[:, None], _LEAST_LOG), tf.float32)
    log_mass, lower = (
        largest + tf.cast(_log_mean(tf.matmul(at_nodes, matrix), rule.log_weights), largest.dtype)
        for matrix in rule.matrices
    )
    return Masses(log_mass, lower, largest - tf.reduce_min(joint, axis=1))


def _log_mean(values: tf.Tensor, log_weights: tf.Tensor) -> tf.Tensor:
    return tf.reduce_logsumexp(values + log_weights, axis=1)
