"""Latents that cover the prior, compared with what is known of a Gaussian."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from cvae_tf.models.vae.even_latents import even_latents, numbers_within_class, prior_quantiles


def _latents(num, dim, seed=0):
    return even_latents(num, dim, tf.constant([1, seed])).numpy()


@pytest.mark.parametrize("dim", [1, 2])
def test_they_lie_as_the_prior_and_more_evenly_than_by_chance(dim):
    shares = stats.norm.cdf(_latents(1024, dim))
    by_chance = np.random.default_rng(0).uniform(size=(1024, dim))
    found, usual = (stats.qmc.discrepancy(each.astype(float)) for each in (shares, by_chance))
    assert found < usual / 20


def test_the_first_ones_are_spread_as_evenly_and_do_not_depend_on_the_number():
    few, many = _latents(60, 2), _latents(1024, 2)
    np.testing.assert_array_equal(few, many[:60])
    by_chance = np.random.default_rng(0).uniform(size=(60, 2))
    found, usual = (stats.qmc.discrepancy(each) for each in (stats.norm.cdf(few), by_chance))
    assert found < usual / 4


def test_each_alone_is_a_sample_of_the_prior():
    own = np.stack([_latents(10, 2, seed)[7] for seed in range(400)])
    for values in own.T:
        assert stats.kstest(values, "norm").pvalue > 0.001
    assert abs(np.corrcoef(own.T)[0, 1]) < 0.2


def test_averages_are_those_of_the_prior_with_little_noise():
    """E cos(a'z) = exp(-|a|^2 / 2); as many by chance would miss it by 0.017."""
    means = [np.mean(np.cos(_latents(1024, 2, seed) @ [0.7, -1.1])) for seed in range(20)]
    assert np.mean(means) == pytest.approx(np.exp(-0.5 * (0.7**2 + 1.1**2)), abs=3e-3)
    assert np.std(means) < 0.008


def test_none_is_infinite():
    ends = prior_quantiles(tf.constant([0.0, 0.5, 1.0])).numpy()
    np.testing.assert_allclose(ends, [stats.norm.ppf(2.0**-24), 0, -stats.norm.ppf(2.0**-24)])


def test_xla_gives_the_same():
    compiled = tf.function(even_latents, jit_compile=True)
    found = compiled(64, 2, tf.constant([1, 2]))
    assert np.all(np.isfinite(found)) and abs(np.mean(found)) < 0.1


def test_numbers_within_class_count_the_same_labels_before():
    found = numbers_within_class(tf.constant([3, 1, 3, 3, 0, 1]))
    np.testing.assert_array_equal(found, [0, 0, 1, 2, 0, 1])
