"""The ELBO, its terms and other objectives, Gaussian posteriors: by SciPy and formulas in NumPy."""

import math

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.networks import Options
from cvae_tf.models.vae import objectives, posterior
from cvae_tf.models.vae.likelihoods import bernoulli_log_prob
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.objectives import Objective
from cvae_tf.models.vae.posterior import FullPosterior, Posterior


def test_terms_of_each_image_agree_with_products_of_probabilities():
    random = np.random.default_rng(0)
    images = random.integers(0, 2, (7, 4, 5, 2)).astype(np.float64)
    logits = 2 * random.normal(size=(7, 4, 5, 2))
    latents, mean, logvar = random.normal(size=(3, 7, 3))
    log_likelihood = bernoulli_log_prob(images, logits)
    terms = objectives.elbo_terms(log_likelihood, latents, Posterior(mean, logvar))
    white = 1 / (1 + np.exp(-logits))
    of_pixels = np.where(images == 1, white, 1 - white).reshape(7, -1).prod(axis=1)
    prior = scipy.stats.norm.pdf(latents).prod(axis=1)
    posterior = scipy.stats.norm(mean, np.exp(logvar / 2)).pdf(latents).prod(axis=1)
    np.testing.assert_allclose(terms.log_likelihood, np.log(of_pixels), rtol=1e-9)
    np.testing.assert_allclose(terms.log_prior, np.log(prior), rtol=1e-9)
    np.testing.assert_allclose(terms.log_posterior, np.log(posterior), rtol=1e-9)
    np.testing.assert_allclose(terms.kl, np.log(posterior / prior), rtol=1e-9)
    np.testing.assert_allclose(terms.elbo, np.log(of_pixels * prior / posterior), rtol=1e-9)


def test_importance_weighted_bound_takes_the_log_of_the_mean_for_each_image():
    log_weights = np.log([[1.0, 8.0], [3.0, 2.0]])
    bound = objectives.importance_weighted_bound
    np.testing.assert_allclose(bound(log_weights), np.log([2.0, 5.0]), rtol=1e-12)
    small = np.array([[-2000.0], [-2000.0 + math.log(3)]])  # beyond the range of a float
    assert float(bound(small)[0]) == pytest.approx(-2000 + math.log(2), rel=1e-12)
    value, log_likelihood, kl, _ = _value(Objective("iwae", 5, beta=2.0))
    weights = np.exp(log_likelihood - 2.0 * kl.sum(-1))
    assert value == pytest.approx(np.mean(np.log(weights.mean(axis=0))), rel=1e-9)


def _value(objective, num=4, latent_dim=3):
    """The value of an objective for random terms, and those terms in NumPy."""
    random, samples = np.random.default_rng(1), objective.importance_samples
    mean, logvar = random.normal(size=(2, num, latent_dim))
    noise = random.normal(size=(samples, num, latent_dim))
    latents = mean + np.exp(logvar / 2) * noise
    log_likelihood = random.normal(-5, 2, size=(samples, num))
    log_prior = -0.5 * (latents**2 + np.log(2 * np.pi))
    log_posterior = -0.5 * (noise**2 + logvar + np.log(2 * np.pi))
    terms = objectives.ElboTerms(
        log_likelihood.ravel(), log_prior.sum(-1).ravel(), log_posterior.sum(-1).ravel()
    )
    posterior = Posterior(tf.constant(mean), tf.constant(logvar))
    flat = tf.constant(latents.reshape(-1, latent_dim))
    value = float(objectives.objective_value(objective, terms, posterior, flat, objective.beta))
    sampled_kl = log_posterior - log_prior
    exact_kl = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)
    return value, log_likelihood, sampled_kl, exact_kl


@pytest.mark.parametrize("beta", [0.0, 0.25, 4.0])
def test_beta_weighs_the_kl_by_samples_or_in_closed_form(beta):
    value, log_likelihood, kl, _ = _value(Objective(beta=beta))
    assert value == pytest.approx(np.mean(log_likelihood - beta * kl.sum(-1)), rel=1e-9)
    value, log_likelihood, _, kl = _value(Objective("elbo_analytic", beta=beta))
    assert value == pytest.approx(np.mean(log_likelihood - beta * kl.sum(-1)), rel=1e-9)


@pytest.mark.parametrize(("name", "samples"), [("elbo_analytic", 1), ("iwae", 3)])
def test_free_bits_are_the_least_that_each_dimension_pays(name, samples):
    plain = _value(Objective(name, samples, beta=0.5))[0]
    value, _, sampled_kl, exact_kl = _value(Objective(name, samples, beta=0.5, free_bits=1.0))
    kl = exact_kl if name == "elbo_analytic" else sampled_kl.mean(axis=0)
    by_dimension = kl.mean(axis=0)
    assert np.any(by_dimension < 1.0)
    missing = np.sum(np.maximum(by_dimension, 1.0) - by_dimension)
    assert value == pytest.approx(plain - 0.5 * missing, rel=1e-9)


def test_warm_up_raises_beta_from_0_to_its_value():
    objective = Objective(beta=2.0, kl_warmup_steps=10)
    betas = [float(objective.beta_at(tf.constant(step))) for step in (0, 5, 10, 1000)]
    np.testing.assert_allclose(betas, [0.0, 1.0, 2.0, 2.0])
    assert Objective(beta=2.0).beta_at(tf.constant(0)) == 2.0
    assert Objective().is_elbo
    for other in ({"name": "iwae"}, {"beta": 0.5}, {"kl_warmup_steps": 1}, {"free_bits": 0.1}):
        assert not Objective(**other).is_elbo


# Gaussian posteriors.


def test_log_normal_is_that_of_scipy_summed_over_the_axes_of_an_image():
    values, mean, logvar = np.random.default_rng(0).normal(size=(3, 5, 4, 3, 2))
    expected = scipy.stats.norm(mean, np.exp(logvar / 2)).logpdf(values)
    found = posterior.log_normal(values, mean, logvar, axis=(1, 2, 3))
    np.testing.assert_allclose(found, expected.sum(axis=(1, 2, 3)), rtol=1e-12)


def test_a_full_gaussian_has_the_density_samples_and_kl_of_its_covariance():
    random, num, dim = np.random.default_rng(3), 4, 3
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


# Latents that all images of a batch share: how they cover the prior, and what a step climbs.


def _even(num, dim, seed=0):
    return objectives.even_latents(num, dim, tf.constant([1, seed])).numpy()


@pytest.mark.parametrize("dim", [1, 2])
def test_they_lie_as_the_prior_and_more_evenly_than_by_chance(dim):
    many, by_chance = _even(1024, dim), np.random.default_rng(0).uniform(size=(1024, dim))
    np.testing.assert_array_equal(many[:60], _even(60, dim))  # whatever the number
    shares = scipy.stats.norm.cdf(many.astype(float))
    assert scipy.stats.qmc.discrepancy(shares) < scipy.stats.qmc.discrepancy(by_chance) / 20


def test_each_alone_is_a_sample_of_the_prior_and_none_is_infinite():
    own = np.stack([_even(10, 2, seed)[7] for seed in range(200)])
    for values in own.T:
        assert scipy.stats.kstest(values, "norm").pvalue > 0.001
    assert abs(np.corrcoef(own.T)[0, 1]) < 0.25
    ends = objectives.prior_quantiles(tf.constant([0.0, 0.5, 1.0])).numpy()
    least = scipy.stats.norm.ppf(2.0**-24)
    np.testing.assert_allclose(ends, [least, 0, -least])


def _binary(num):
    return tf.cast(tf.random.stateless_uniform([num, 8, 8, 1], [1, 1]) > 0.5, tf.float32)


def _model(num_latents):
    objective = Objective("shared", shared_latents=num_latents)
    options = {"image_shape": (8, 8, 1), "options": Options(hidden=(16,))}
    model = CVAE(network="mlp", objective=objective, seed=1, **options)
    model.compile(keras.optimizers.SGD(1.0))
    return model


def _value_and_terms(model, images, training=False):
    noise = tf.random.stateless_normal([len(images), model.latent_dim], [1, 2])
    posterior = model.encode(images, training=training)
    terms, latents = model.terms_with_noise(images, posterior, noise)
    return model.objective_value(terms, posterior, latents, images, training), terms


def test_latents_are_others_at_each_step_and_the_same_in_every_test():
    images, model, found = _binary(5), _model(9), []
    for step in (0, 1):
        model.optimizer.iterations.assign(step)
        found.append([float(_value_and_terms(model, images, how)[0]) for how in (True, False)])
    assert found[0][0] != found[1][0] and found[0][1] == found[1][1]


def test_the_objective_is_half_the_elbo_and_half_log_p_of_x():
    model, images = _model(6), _binary(4)
    value, terms = _value_and_terms(model, images)
    key = derived_key(model.seed, Purpose.SHARED_LATENTS, model.steps)
    outputs = model.parameters(objectives.even_latents(6, model.latent_dim, key))
    alone = (tf.repeat(image[None], 6, axis=0) for image in images)  # under each of the latents
    bounds = [
        np.log(np.mean(np.exp(model.pixels.likelihood.log_prob(own, outputs)))) for own in alone
    ]
    expected = (np.mean(terms.elbo) + np.mean(bounds)) / 2
    assert float(value) == pytest.approx(expected, rel=1e-5)
