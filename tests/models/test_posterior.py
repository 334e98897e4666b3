"""Gaussian posteriors against SciPy, quadrature and the closed forms in NumPy."""

import numpy as np
import pytest
import scipy.stats

from cvae_tf.models.vae import posterior
from cvae_tf.models.vae.posterior import FullPosterior, Posterior


def test_log_normal_is_that_of_scipy_summed_over_the_axes_of_an_image():
    values, mean, logvar = np.random.default_rng(0).normal(size=(3, 5, 4, 3, 2))
    expected = scipy.stats.norm(mean, np.exp(logvar / 2)).logpdf(values)
    found = posterior.log_normal(values, mean, logvar, axis=(1, 2, 3))
    np.testing.assert_allclose(found, expected.sum(axis=(1, 2, 3)), rtol=1e-12)
    found = posterior.log_normal(values, mean, logvar)
    np.testing.assert_allclose(found, expected.sum(axis=-1), rtol=1e-12)


def test_samples_and_density_of_a_diagonal_gaussian_are_its_own():
    mean, logvar, noise = np.random.default_rng(1).normal(size=(3, 4, 2))
    gaussian = Posterior(mean, logvar)
    latents = np.asarray(gaussian.sample(noise))
    np.testing.assert_allclose(latents, mean + np.sqrt(np.exp(logvar)) * noise, rtol=1e-12)
    expected = scipy.stats.norm(mean, np.exp(logvar / 2)).logpdf(latents).sum(axis=1)
    np.testing.assert_allclose(gaussian.log_density(latents), expected, rtol=1e-9)


def test_kl_is_that_of_quadrature_in_each_dimension_and_their_sum():
    mean, logvar = np.array([[0.7, -1.2, 0.0]]), np.array([[0.9, -1.0, 0.0]])
    axis, step = np.linspace(-30, 30, 60_001, retstep=True)
    log_p = scipy.stats.norm.logpdf(axis)
    expected = []
    for own, variance in zip(mean[0], np.exp(logvar[0]), strict=True):
        log_q = scipy.stats.norm(own, np.sqrt(variance)).logpdf(axis)
        expected.append(np.sum(np.exp(log_q) * (log_q - log_p)) * step)
    gaussian = Posterior(mean, logvar)
    found = np.asarray(posterior.kl_per_dimension(gaussian))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert float(posterior.analytic_kl(gaussian)[0]) == pytest.approx(sum(expected), rel=1e-9)


@pytest.mark.parametrize("dim", [1, 3])
def test_a_full_gaussian_has_the_density_samples_and_kl_of_its_covariance(dim):
    random, num = np.random.default_rng(dim), 4
    roots = random.normal(size=(num, dim, dim))
    covariance = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(dim)
    mean, noise = random.normal(size=(2, num, dim))
    gaussian = FullPosterior(mean, np.linalg.cholesky(covariance))
    latents = np.asarray(gaussian.sample(noise))
    away = np.einsum("bij,bj->bi", gaussian.factor, noise)
    np.testing.assert_allclose(latents, mean + away, rtol=1e-9)
    each = [scipy.stats.multivariate_normal(*own) for own in zip(mean, covariance, strict=True)]
    expected = [own.logpdf(place) for own, place in zip(each, latents, strict=True)]
    np.testing.assert_allclose(gaussian.log_density(latents), expected, rtol=1e-9)
    np.testing.assert_allclose(gaussian.covariance, covariance, rtol=1e-9)
    diagonal = np.diagonal(covariance, axis1=1, axis2=2)
    np.testing.assert_allclose(np.exp(gaussian.logvar), diagonal, rtol=1e-9)
    squares = diagonal.sum(axis=1) + np.square(mean).sum(axis=1)
    expected = 0.5 * (squares - dim - np.log(np.linalg.det(covariance)))
    np.testing.assert_allclose(gaussian.kl(), expected, rtol=1e-9)
