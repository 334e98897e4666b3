"""Distances between sets of features: against SciPy, closed forms, slow ways and known sets."""

import numpy as np
import pytest
import scipy.linalg

from cvae_tf.distances import precision_recall as module
from cvae_tf.distances.frechet import Statistics, frechet_distance, statistics
from cvae_tf.distances.precision_recall import precision_recall


def _gaussian(random, size, rank=None):
    factor = random.standard_normal((size, rank or size))
    return Statistics(random.standard_normal(size), factor @ factor.T)


@pytest.mark.parametrize("size", [1, 64])
def test_the_frechet_distance_is_that_of_the_matrix_root(size):
    random = np.random.default_rng(size)
    first, second = (_gaussian(random, size) for _ in range(2))
    root = scipy.linalg.sqrtm(first.covariance @ second.covariance).real
    expected = np.sum((first.mean - second.mean) ** 2) + np.trace(
        first.covariance + second.covariance - 2 * root
    )
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_equal_sets_have_no_frechet_distance_however_singular():
    random = np.random.default_rng(0)
    for rank in (1, 5, 32):
        own = _gaussian(random, 32, rank)
        assert frechet_distance(own, own) == pytest.approx(0, abs=1e-5 * np.trace(own.covariance))
    assert np.isnan(frechet_distance(own, Statistics(own.mean * np.nan, own.covariance)))


def test_statistics_are_those_of_numpy_in_float64():
    features = np.random.default_rng(1).normal(1000, 1, (500, 3)).astype(np.float32)
    found = statistics(features)
    np.testing.assert_allclose(found.mean, features.astype(np.float64).mean(axis=0))
    np.testing.assert_allclose(found.covariance, np.cov(features.astype(np.float64).T))
    np.testing.assert_array_equal(statistics(np.ones((1, 3))).covariance, np.zeros((3, 3)))


def _share(points, others, neighbours):
    """Of the paper: the share of points within the radius of one of the others."""
    between = np.linalg.norm(others[:, None] - others, axis=-1)
    radii = np.sort(between, axis=1)[:, neighbours]
    return np.mean((np.linalg.norm(points[:, None] - others, axis=-1) <= radii).any(axis=1))


def test_precision_and_recall_are_what_the_paper_says(monkeypatch):
    random = np.random.default_rng(0)
    real, drawn = random.standard_normal((60, 4)), 0.7 * random.standard_normal((45, 4)) + 1.2
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    found = precision_recall(real, drawn, neighbours=3)
    assert found == pytest.approx((_share(drawn, real, 3), _share(real, drawn, 3)))
    assert 0 < found.recall < found.precision < 1
    of_one_kind = precision_recall(real, np.tile(real[:1], (20, 1)) + 1e-4)
    assert of_one_kind.precision == 1 and of_one_kind.recall < 0.05
    assert precision_recall(real, real + 100) == (0, 0)
    assert precision_recall(np.eye(2), np.eye(2)) == (1, 1)  # two images are enough
