import math

import numpy as np
import pytest

from cvae_tf import objectives


def _case(num=7, latent_dim=3, seed=0):
    random = np.random.default_rng(seed)
    return {
        "images": random.integers(0, 2, (num, 4, 5, 2)).astype(np.float64),
        "logits": 2 * random.normal(size=(num, 4, 5, 2)),
        "latents": random.normal(size=(num, latent_dim)),
        "mean": random.normal(size=(num, latent_dim)),
        "logvar": random.normal(size=(num, latent_dim)),
    }


def _density(z, mean, variance):
    bell = np.exp(-((z - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    return bell.prod(axis=1)


def test_terms_agree_with_products_of_probabilities():
    case = _case()
    terms = objectives.elbo_terms(**case)
    white = 1 / (1 + np.exp(-case["logits"]))
    of_pixels = np.where(case["images"] == 1, white, 1 - white).reshape(7, -1)
    prior = _density(case["latents"], 0, 1)
    posterior = _density(case["latents"], case["mean"], np.exp(case["logvar"]))
    np.testing.assert_allclose(terms.log_likelihood, np.log(of_pixels.prod(axis=1)), rtol=1e-9)
    np.testing.assert_allclose(terms.log_prior, np.log(prior), rtol=1e-9)
    np.testing.assert_allclose(terms.log_posterior, np.log(posterior), rtol=1e-9)


def test_elbo_is_log_likelihood_minus_kl():
    terms = objectives.ElboTerms(np.array([-90.0, -3]), np.array([-5.0, -1]), np.array([-2.0, -4]))
    np.testing.assert_array_equal(terms.kl, [3, -3])
    np.testing.assert_array_equal(terms.elbo, [-93, 0])


def test_terms_are_one_value_per_image():
    terms = objectives.elbo_terms(**_case(num=5))
    assert all(term.shape == (5,) for term in (*terms, terms.kl, terms.elbo))


def test_terms_of_an_image_do_not_depend_on_its_batch():
    case = _case()
    alone = objectives.elbo_terms(**{name: value[2:3] for name, value in case.items()})
    together = objectives.elbo_terms(**case)
    np.testing.assert_allclose(np.array(together)[:, 2:3], np.array(alone), rtol=1e-12)


def test_posterior_equal_to_the_prior_costs_nothing():
    case = _case(latent_dim=2)
    case["mean"] = case["logvar"] = np.zeros((7, 2))
    terms = objectives.elbo_terms(**case)
    np.testing.assert_allclose(terms.kl, 0, atol=1e-12)
    np.testing.assert_allclose(terms.elbo, terms.log_likelihood, rtol=1e-12)


def test_log_normal_integrates_to_1():
    axis = np.linspace(-12, 12, 801)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = np.exp(objectives.log_normal(grid, np.array([0.3, -0.5]), np.array([0.8, -1.6])))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-9)


def test_log_normal_has_the_mean_and_variance_that_it_is_given():
    axis = np.linspace(-20, 20, 4001)
    density = np.exp(objectives.log_normal(axis[:, None], np.array([1.5]), np.array([0.7])))
    weights = np.asarray(density) / np.sum(density)
    assert weights @ axis == pytest.approx(1.5, abs=1e-6)
    assert weights @ (axis - 1.5) ** 2 == pytest.approx(math.exp(0.7), rel=1e-6)


def test_log_normal_of_the_standard_gaussian_at_0():
    zeros = np.zeros((1, 5))
    value = objectives.log_normal(zeros, zeros, zeros)
    assert float(value[0]) == pytest.approx(-2.5 * math.log(2 * math.pi), rel=1e-12)


def test_sampled_kl_averages_to_the_analytic_kl():
    num = 200_000
    mean, logvar = np.array([[0.7, -1.2, 0.1]]), np.array([[0.5, -1.0, -0.3]])
    noise = np.random.default_rng(0).normal(size=(num, 3))
    latents = mean + np.sqrt(np.exp(logvar)) * noise
    posterior = objectives.log_normal(latents, mean, logvar)
    prior = objectives.log_normal(latents, np.zeros(3), np.zeros(3))
    samples = np.asarray(objectives.ElboTerms(np.zeros(num), prior, posterior).kl)
    expected = float(objectives.analytic_kl(mean, logvar)[0])
    assert abs(samples.mean() - expected) < 4 * samples.std() / np.sqrt(num)
    assert samples.std() / np.sqrt(num) < 0.01 * expected


def test_analytic_kl_agrees_with_quadrature():
    axis = np.linspace(-30, 30, 60_001)
    mean, variance = 1.1, math.exp(0.9)
    log_q = -((axis - mean) ** 2) / (2 * variance) - 0.5 * math.log(2 * math.pi * variance)
    log_p = -(axis**2) / 2 - 0.5 * math.log(2 * math.pi)
    expected = np.sum(np.exp(log_q) * (log_q - log_p)) * (axis[1] - axis[0])
    value = objectives.analytic_kl(np.array([[1.1]]), np.array([[0.9]]))
    assert float(value[0]) == pytest.approx(expected, rel=1e-9)


def test_analytic_kl_is_0_only_for_the_prior():
    zeros = np.zeros((1, 4))
    assert float(objectives.analytic_kl(zeros, zeros)[0]) == 0
    assert float(objectives.analytic_kl(zeros + 0.1, zeros)[0]) == pytest.approx(4 * 0.005)
    assert float(objectives.analytic_kl(zeros, zeros - 0.1)[0]) > 0


def test_logits_of_0_cost_log_2_per_pixel():
    images = np.random.default_rng(0).integers(0, 2, (3, 28, 28, 1)).astype(np.float64)
    value = objectives.bernoulli_log_likelihood(images, np.zeros_like(images))
    np.testing.assert_allclose(value, [-784 * math.log(2)] * 3, rtol=1e-12)


def test_decoder_that_ignores_the_latents_reaches_the_negative_entropy():
    random = np.random.default_rng(1)
    white = random.uniform(0.05, 0.95, (4, 5, 1))
    images = (random.uniform(size=(20_000, 4, 5, 1)) < white).astype(np.float64)
    logits = np.broadcast_to(np.log(white) - np.log1p(-white), images.shape)
    values = np.asarray(objectives.bernoulli_log_likelihood(images, logits))
    entropy = -np.sum(white * np.log(white) + (1 - white) * np.log(1 - white))
    assert abs(values.mean() + entropy) < 4 * values.std() / np.sqrt(len(values))


def test_probabilities_of_all_images_sum_to_1():
    images = ((np.arange(256)[:, None] >> np.arange(8)) & 1).reshape(256, 2, 4, 1).astype(float)
    logits = np.tile(np.random.default_rng(2).normal(size=(1, 2, 4, 1)), (256, 1, 1, 1))
    values = objectives.bernoulli_log_likelihood(images, logits)
    assert np.exp(values).sum() == pytest.approx(1, rel=1e-12)


def test_extreme_logits_stay_finite():
    images = np.array([0, 1, 0, 1], np.float32).reshape(4, 1, 1, 1)
    logits = np.array([-1e4, 1e4, 1e4, -1e4], np.float32).reshape(4, 1, 1, 1)
    values = objectives.bernoulli_log_likelihood(images, logits)
    np.testing.assert_allclose(values, [0, 0, -1e4, -1e4])
