"""Integration over a cell: where it is looked at, with what weight, and what lies between.

The logarithm of p(x, z) is smooth, also where p(x, z) itself is a needle: that of a Gaussian has
degree two. So few nodes are decoded, and a polynomial through them gives the values at more points.
Trefethen, "Approximation Theory and Approximation Practice" (2019), chapters 8, 17 and 19.
"""

import functools
import itertools

import numpy as np
from numpy.polynomial import legendre


def places(nodes: int, latent_dim: int) -> np.ndarray:
    """The Gauss-Legendre nodes of the unit cell, [n^Z, Z].

    Args:
        nodes: n a side.
        latent_dim: Z.
    """
    side = (_nodes(nodes)[0] + 1) / 2
    return np.array(list(itertools.product(side, repeat=latent_dim)))


@functools.cache
def log_weights(nodes: int, latent_dim: int) -> np.ndarray:
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
