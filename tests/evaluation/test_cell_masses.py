"""Integrals over cells, compared with plain loops in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.evaluation import cell_masses
from cvae_tf.evaluation.cell_masses import Rule
from cvae_tf.models.vae.likelihoods import matrix_product

NODES, CELLS, IMAGES, WIDTH = 4, 3, 5, 6


def _case():
    random = np.random.default_rng(0)
    natural = random.normal(size=(CELLS * NODES, WIDTH)).astype(np.float32)
    log_measure = random.normal(size=CELLS * NODES).astype(np.float32)
    features = random.normal(size=(IMAGES, WIDTH)).astype(np.float32)
    return features, natural, log_measure


def _by_hand(features, natural, log_measure):
    """The logarithm of the sum over the nodes of each cell, [B, G]."""
    joint = (features @ natural.T + log_measure).reshape(IMAGES, CELLS, NODES)
    return np.log(np.exp(joint).sum(axis=2))


def _negative_distances(features, natural):
    """What a likelihood without matrix products has in their place."""
    return -tf.reduce_sum(tf.square(features[:, None] - natural), axis=2)


def test_cells_are_added_up_for_every_image_and_small_ones_apart():
    features, natural, log_measure = _case()
    expected = _by_hand(features, natural, log_measure)
    least = np.median(expected, axis=1).astype(np.float32) - 1e-3
    log_weights = np.log([0.1, 0.2, 0.3, 0.4])
    log_density = log_measure - np.tile(log_weights, CELLS)
    of_nodes = cell_masses.by_node(log_weights, tf.constant(natural), tf.constant(log_density))
    excess, matters, small = cell_masses.of_cells(features, least, *of_nodes, NODES, matrix_product)
    cube = (excess.numpy() + least[:, None]).reshape(IMAGES, NODES, CELLS)
    np.testing.assert_allclose(np.log(np.exp(cube).sum(axis=1)), expected, rtol=1e-5)
    np.testing.assert_array_equal(matters, expected > least[:, None])
    below = np.where(expected > least[:, None], -np.inf, expected)
    np.testing.assert_allclose(small, np.log(np.exp(below).sum(axis=1)), rtol=1e-5)


@pytest.mark.parametrize("products", [matrix_product, _negative_distances])
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_pairs_are_integrated_over_their_own_cells_between_the_nodes_too(latent_dim, products):
    features, natural, log_density = _case()
    row = np.array([2, 0, 0, 1, 2])
    cubes = natural.reshape(CELLS, NODES, WIDTH), log_density.reshape(CELLS, NODES)
    nodes = {1: NODES, 2: 2}[latent_dim]
    rule = Rule.of(nodes, 40, latent_dim)
    of_pairs = cell_masses.traced_of_pairs(tf.float32, products)
    found = of_pairs(features, *cubes, row, rule, products)
    axis = (np.arange(2000) + 0.5) / 2000
    places = (np.polynomial.legendre.leggauss(nodes)[0] + 1) / 2
    for image, cell in enumerate(row):
        values = features[image] @ cubes[0][cell].T
        if products is _negative_distances:
            values = -np.square(features[image] - cubes[0][cell]).sum(axis=1)
        values = values + cubes[1][cell]
        if latent_dim == 1:
            between = np.polynomial.Polynomial.fit(places, values, nodes - 1)(axis)
        else:  # along one latent, then along the other
            along = np.diff(places)[0]
            first, second = values.reshape(2, 2)
            rows = first + (second - first) * (axis[:, None] - places[0]) / along
            between = rows[:, :1] + (rows[:, 1:] - rows[:, :1]) * (axis - places[0]) / along
        expected = np.log(np.exp(between).mean())
        assert found.log_mass[image].numpy() == pytest.approx(expected, abs=1e-3)
        assert found.lower[image].numpy() != pytest.approx(expected, abs=1e-3)
        assert found.spread[image].numpy() == pytest.approx(np.ptp(values), rel=1e-4)


def test_pairs_are_traced_once_whatever_the_rule_and_the_sizes():
    features, natural, log_density = _case()

    def products(features, natural):
        traces.append(1)
        return matrix_product(features, natural)

    traces = []
    for nodes, points, num_cells in ((2, 4, 5), (2, 8, 3), (4, 8, 3), (4, 16, 2)):
        rule = Rule.of(nodes, points, 1)
        shape = num_cells, nodes
        cubes = np.resize(natural, (*shape, WIDTH)), np.resize(log_density, shape)
        row = np.arange(num_cells)
        of_pairs = cell_masses.traced_of_pairs(tf.float32, products)
        of_pairs(features[:num_cells], *cubes, row, rule, products)
    assert len(traces) == 1


def test_points_are_close_enough_for_what_a_rule_says():
    for points in (16, 64):
        deviation = 1 / np.sqrt(8 * cell_masses.most_spread(points))  # of a cell's side
        places, weights = np.polynomial.legendre.leggauss(points)
        for centre in (0.5, 0.51, 0.53):
            density = np.exp(-(((places + 1) / 2 - centre) ** 2) / (2 * deviation**2))
            expected = np.sqrt(2 * np.pi) * deviation
            assert density @ weights / 2 == pytest.approx(expected, rel=0.01)
