import math

import numpy as np
import pytest

from cvae_tf.models.vae import posterior
from cvae_tf.models.vae.posterior import FullPosterior, Posterior


def test_log_normal_integrates_to_1():
    axis = np.linspace(-12, 12, 801)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = np.exp(posterior.log_normal(grid, np.array([0.3, -0.5]), np.array([0.8, -1.6])))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-9)


def test_log_normal_has_the_mean_and_variance_that_it_is_given():
    axis = np.linspace(-20, 20, 4001)
    density = np.exp(posterior.log_normal(axis[:, None], np.array([1.5]), np.array([0.7])))
    weights = np.asarray(density) / np.sum(density)
    assert weights @ axis == pytest.approx(1.5, abs=1e-6)
    assert weights @ (axis - 1.5) ** 2 == pytest.approx(math.exp(0.7), rel=1e-6)


def test_log_normal_of_the_standard_gaussian_at_0():
    zeros = np.zeros((1, 5))
    value = posterior.log_normal(zeros, zeros, zeros)
    assert float(value[0]) == pytest.approx(-2.5 * math.log(2 * math.pi), rel=1e-12)


def test_sampled_kl_averages_to_the_analytic_kl():
    num = 200_000
    mean, logvar = np.array([[0.7, -1.2, 0.1]]), np.array([[0.5, -1.0, -0.3]])
    noise = np.random.default_rng(0).normal(size=(num, 3))
    latents = mean + np.sqrt(np.exp(logvar)) * noise
    log_q = posterior.log_normal(latents, mean, logvar)
    log_p = posterior.log_normal(latents, np.zeros(3), np.zeros(3))
    samples = np.asarray(log_q - log_p)
    expected = float(posterior.analytic_kl(Posterior(mean, logvar))[0])
    assert abs(samples.mean() - expected) < 4 * samples.std() / np.sqrt(num)
    assert samples.std() / np.sqrt(num) < 0.01 * expected


def test_analytic_kl_agrees_with_quadrature():
    axis = np.linspace(-30, 30, 60_001)
    mean, variance = 1.1, math.exp(0.9)
    log_q = -((axis - mean) ** 2) / (2 * variance) - 0.5 * math.log(2 * math.pi * variance)
    log_p = -(axis**2) / 2 - 0.5 * math.log(2 * math.pi)
    expected = np.sum(np.exp(log_q) * (log_q - log_p)) * (axis[1] - axis[0])
    value = posterior.analytic_kl(Posterior(np.array([[1.1]]), np.array([[0.9]])))
    assert float(value[0]) == pytest.approx(expected, rel=1e-9)


def test_analytic_kl_is_0_only_for_the_prior():
    zeros = np.zeros((1, 4))
    assert float(posterior.analytic_kl(Posterior(zeros, zeros))[0]) == 0
    assert float(posterior.analytic_kl(Posterior(zeros + 0.1, zeros))[0]) == pytest.approx(
        4 * 0.005
    )
    assert float(posterior.analytic_kl(Posterior(zeros, zeros - 0.1))[0]) > 0


def test_kl_is_a_sum_over_latent_dimensions_not_a_mean():
    mean, logvar = np.array([[0.7, -1.2, 0.1]]), np.array([[0.5, -1.0, -0.3]])
    by_dimension = [
        float(posterior.analytic_kl(Posterior(mean[:, [i]], logvar[:, [i]]))[0]) for i in range(3)
    ]
    np.testing.assert_allclose(posterior.kl_per_dimension(Posterior(mean, logvar))[0], by_dimension)
    assert float(posterior.analytic_kl(Posterior(mean, logvar))[0]) == pytest.approx(
        sum(by_dimension)
    )
    assert min(by_dimension) > 0


def test_log_normal_sums_over_the_axes_of_an_image():
    values, mean, logvar = np.random.default_rng(0).normal(size=(3, 5, 4, 3, 2))
    together = posterior.log_normal(values, mean, logvar, axis=(1, 2, 3))
    flat = posterior.log_normal(*(part.reshape(5, -1) for part in (values, mean, logvar)))
    np.testing.assert_allclose(together, flat, rtol=1e-12)


def _full(dim, num=4):
    random = np.random.default_rng(dim)
    roots = random.normal(size=(num, dim, dim))
    covariance = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(dim)
    gaussian = FullPosterior(random.normal(size=(num, dim)), np.linalg.cholesky(covariance))
    return gaussian, covariance, random.normal(size=(num, dim))


@pytest.mark.parametrize("dim", [1, 3])
def test_a_full_gaussian_has_the_density_of_the_formula(dim):
    gaussian, covariance, latents = _full(dim)
    away = latents - gaussian.mean
    distance = np.einsum("bi,bij,bj->b", away, np.linalg.inv(covariance), away)
    expected = -0.5 * (distance + np.log(np.linalg.det(covariance)) + dim * np.log(2 * np.pi))
    np.testing.assert_allclose(gaussian.log_density(latents), expected, rtol=1e-9)
    np.testing.assert_allclose(gaussian.covariance, covariance, rtol=1e-9)
    np.testing.assert_allclose(
        np.exp(gaussian.logvar), np.diagonal(covariance, axis1=1, axis2=2), rtol=1e-9
    )


@pytest.mark.parametrize("dim", [1, 3])
def test_samples_of_a_full_gaussian_have_its_mean_and_covariance(dim):
    gaussian, covariance, _ = _full(dim, num=1)
    noise = np.random.default_rng(0).normal(size=(200_000, dim))
    samples = gaussian.repeated(len(noise)).sample(noise).numpy()
    np.testing.assert_allclose(samples.mean(axis=0), gaussian.mean[0], atol=0.02)
    np.testing.assert_allclose(
        np.atleast_2d(np.cov(samples.T)), covariance[0], rtol=0.03, atol=0.03
    )


@pytest.mark.parametrize("dim", [1, 3])
def test_kl_of_a_full_gaussian_is_the_mean_of_the_ratio_of_densities(dim):
    gaussian, covariance, _ = _full(dim)
    trace = np.trace(covariance, axis1=1, axis2=2)
    squares = np.square(gaussian.mean).sum(axis=1)
    expected = 0.5 * (trace + squares - dim - np.log(np.linalg.det(covariance)))
    np.testing.assert_allclose(gaussian.kl(), expected, rtol=1e-9)


def test_a_full_gaussian_without_covariances_is_the_diagonal_one():
    random = np.random.default_rng(5)
    mean, logvar, latents = random.normal(size=(3, 4, 2))
    full = FullPosterior(mean, np.exp(logvar / 2)[:, :, None] * np.eye(2))
    diagonal = Posterior(mean, logvar)
    np.testing.assert_allclose(full.log_density(latents), diagonal.log_density(latents), rtol=1e-9)
    np.testing.assert_allclose(full.kl(), posterior.analytic_kl(diagonal), rtol=1e-9)
    np.testing.assert_allclose(full.sample(latents), diagonal.sample(latents), rtol=1e-9)
