"""Integrals over cells, compared with plain loops in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.evaluation import cell_masses
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
    of_nodes = cell_masses.by_node(NODES, tf.constant(natural), tf.constant(log_measure))
    found, small = cell_masses.of_cells(features, least, *of_nodes, NODES, matrix_product)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    below = np.where(expected > least[:, None], -np.inf, expected)
    np.testing.assert_allclose(small, np.log(np.exp(below).sum(axis=1)), rtol=1e-5)


@pytest.mark.parametrize("products", [matrix_product, _negative_distances])
def test_pairs_are_integrated_over_their_own_cells(products):
    features, natural, log_measure = _case()
    row = np.array([2, 0, 0, 1, 2])
    cubes = natural.reshape(CELLS, NODES, WIDTH), log_measure.reshape(CELLS, NODES)
    found = cell_masses.of_pairs(features, *cubes, row, products)
    for image, cell in enumerate(row):
        values = features[image] @ cubes[0][cell].T
        if products is _negative_distances:
            values = -np.square(features[image] - cubes[0][cell]).sum(axis=1)
        expected = np.log(np.exp(values + cubes[1][cell]).sum())
        assert found[image].numpy() == pytest.approx(expected, rel=1e-5)
