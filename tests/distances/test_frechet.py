"""The Frechet distance, against SciPy's matrix root, closed forms, and its own properties."""

import numpy as np
import pytest
import scipy.linalg

from cvae_tf.distances.frechet import Statistics, frechet_distance, statistics


def _gaussian(random, size, rank=None):
    factor = random.standard_normal((size, rank or size))
    return Statistics(random.standard_normal(size), factor @ factor.T)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_it_is_that_of_the_matrix_root(size):
    random = np.random.default_rng(size)
    first, second = (_gaussian(random, size) for _ in range(2))
    root = scipy.linalg.sqrtm(first.covariance @ second.covariance).real
    expected = np.sum((first.mean - second.mean) ** 2) + np.trace(
        first.covariance + second.covariance - 2 * root
    )
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-6)


def test_of_numbers_it_is_the_closed_form():
    first, second = (
        Statistics(np.array([1.0]), np.array([[4.0]])),
        Statistics(np.array([3.0]), np.array([[9.0]])),
    )
    assert frechet_distance(first, second) == pytest.approx((1 - 3) ** 2 + (2 - 3) ** 2)


def test_equal_ones_have_none_however_singular():
    random = np.random.default_rng(0)
    for rank in (1, 5, 32):
        own = _gaussian(random, 32, rank)
        assert frechet_distance(own, own) == pytest.approx(0, abs=1e-5 * np.trace(own.covariance))
    nothing = Statistics(np.zeros(4), np.zeros((4, 4)))
    assert frechet_distance(nothing, nothing) == 0


def test_statistics_are_those_of_numpy_in_float64():
    features = np.random.default_rng(1).normal(1000, 1, (500, 3)).astype(np.float32)
    found = statistics(features)
    assert found.covariance.dtype == np.float64
    np.testing.assert_allclose(found.mean, features.astype(np.float64).mean(axis=0))
    np.testing.assert_allclose(found.covariance, np.cov(features.astype(np.float64).T))


def test_a_single_image_has_no_covariance():
    found = statistics(np.ones((1, 3)))
    assert np.all(found.covariance == 0) and np.all(found.mean == 1)
