import math

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.models.vae import objectives
from cvae_tf.models.vae.likelihoods import bernoulli_log_prob
from cvae_tf.models.vae.posterior import Posterior


def _case(num=7, latent_dim=3, seed=0):
    random = np.random.default_rng(seed)
    return {
        "images": random.integers(0, 2, (num, 4, 5, 2)).astype(np.float64),
        "logits": 2 * random.normal(size=(num, 4, 5, 2)),
        "latents": random.normal(size=(num, latent_dim)),
        "mean": random.normal(size=(num, latent_dim)),
        "logvar": random.normal(size=(num, latent_dim)),
    }


def _terms(case):
    images, logits, latents, mean, logvar = case.values()
    log_likelihood = bernoulli_log_prob(images, logits)
    return objectives.elbo_terms(log_likelihood, latents, Posterior(mean, logvar))


def _density(z, mean, variance):
    bell = np.exp(-((z - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    return bell.prod(axis=1)


def test_terms_agree_with_products_of_probabilities():
    case = _case()
    terms = _terms(case)
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
    terms = _terms(_case(num=5))
    assert all(term.shape == (5,) for term in (*terms, terms.kl, terms.elbo))


def test_terms_of_an_image_do_not_depend_on_its_batch():
    case = _case()
    alone = _terms({name: value[2:3] for name, value in case.items()})
    together = _terms(case)
    np.testing.assert_allclose(np.array(together)[:, 2:3], np.array(alone), rtol=1e-12)


def test_posterior_equal_to_the_prior_costs_nothing():
    case = _case(latent_dim=2)
    case["mean"] = case["logvar"] = np.zeros((7, 2))
    terms = _terms(case)
    np.testing.assert_allclose(terms.kl, 0, atol=1e-12)
    np.testing.assert_allclose(terms.elbo, terms.log_likelihood, rtol=1e-12)


def test_importance_weighted_bound_takes_the_log_of_the_mean_for_each_image():
    log_weights = np.log([[1.0, 8.0], [3.0, 2.0]])
    np.testing.assert_allclose(
        objectives.importance_weighted_bound(log_weights), np.log([2.0, 5.0]), rtol=1e-12
    )


def test_importance_weighted_bound_needs_no_weights_that_fit_into_a_float():
    log_weights = np.array([[-2000.0], [-2000.0 + math.log(3)]])
    value = float(objectives.importance_weighted_bound(log_weights)[0])
    assert value == pytest.approx(-2000 + math.log(2), rel=1e-12)


def test_importance_weighted_bound_of_one_sample_is_the_elbo():
    log_weights = np.random.default_rng(0).normal(size=(1, 6))
    np.testing.assert_allclose(objectives.importance_weighted_bound(log_weights), log_weights[0])


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


@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0, 4.0])
def test_beta_weighs_the_kl(beta):
    value, log_likelihood, kl, _ = _value(objectives.Objective(beta=beta))
    assert value == pytest.approx(np.mean(log_likelihood - beta * kl.sum(-1)), rel=1e-9)


def test_analytic_objective_takes_the_kl_in_closed_form():
    value, log_likelihood, _, kl = _value(objectives.Objective("elbo_analytic", beta=0.5))
    assert value == pytest.approx(np.mean(log_likelihood - 0.5 * kl.sum(-1)), rel=1e-9)


def test_iwae_objective_averages_weights_within_the_log_and_images_outside():
    value, log_likelihood, kl, _ = _value(objectives.Objective("iwae", 5, beta=2.0))
    weights = np.exp(log_likelihood - 2.0 * kl.sum(-1))
    assert value == pytest.approx(np.mean(np.log(weights.mean(axis=0))), rel=1e-9)
    averaged_outside = np.mean(np.log(weights))
    assert abs(value - averaged_outside) > 0.1


@pytest.mark.parametrize("name", ["elbo", "elbo_analytic", "iwae"])
def test_free_bits_are_the_least_that_each_dimension_pays(name):
    samples = 3 if name == "iwae" else 1
    plain = _value(objectives.Objective(name, samples, beta=0.5))
    value, _, sampled_kl, exact_kl = _value(
        objectives.Objective(name, samples, beta=0.5, free_bits=1.0)
    )
    kl = exact_kl if name == "elbo_analytic" else sampled_kl.mean(axis=0)
    by_dimension = kl.mean(axis=0)
    assert np.any(by_dimension < 1.0)
    missing = np.sum(np.maximum(by_dimension, 1.0) - by_dimension)
    assert value == pytest.approx(plain[0] - 0.5 * missing, rel=1e-9)


def test_warm_up_raises_beta_from_0_to_its_value():
    objective = objectives.Objective(beta=2.0, kl_warmup_steps=10)
    betas = [float(objective.beta_at(tf.constant(step))) for step in (0, 5, 10, 1000)]
    np.testing.assert_allclose(betas, [0.0, 1.0, 2.0, 2.0])
    assert objectives.Objective(beta=2.0).beta_at(tf.constant(0)) == 2.0


def test_only_the_plain_objective_is_the_elbo():
    assert objectives.Objective().is_elbo
    for other in ({"name": "iwae"}, {"beta": 0.5}, {"kl_warmup_steps": 1}, {"free_bits": 0.1}):
        assert not objectives.Objective(**other).is_elbo


@pytest.mark.parametrize("labels", [None, np.array([0, 1, 0, 2])])
def test_shared_bound_is_the_mean_likelihood_under_the_latents_of_a_class(labels):
    log_likelihood = np.random.default_rng(4).normal(size=(4, 7))
    of_latents = np.array([0, 1, 0, 2, 1, 0, 0])
    given = [] if labels is None else [tf.constant(labels), tf.constant(of_latents)]
    found = objectives.shared_bound(tf.constant(log_likelihood), *given)
    for image, bound in enumerate(found.numpy()):
        own = slice(None) if labels is None else of_latents == labels[image]
        assert bound == pytest.approx(np.log(np.mean(np.exp(log_likelihood[image, own]))))
