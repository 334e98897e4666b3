"""Latents that all images of a batch share: how they cover the prior, and what a step climbs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.networks import Options, build_networks
from cvae_tf.models.vae import objectives
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.objectives import even_latents, prior_quantiles


def _even(num, dim, seed=0):
    return even_latents(num, dim, tf.constant([1, seed])).numpy()


@pytest.mark.parametrize("dim", [1, 2])
def test_they_lie_as_the_prior_and_more_evenly_than_by_chance(dim):
    many, by_chance = _even(1024, dim), np.random.default_rng(0).uniform(size=(1024, dim))
    np.testing.assert_array_equal(many[:60], _even(60, dim))  # whatever the number
    shares = stats.norm.cdf(many.astype(float))
    assert stats.qmc.discrepancy(shares) < stats.qmc.discrepancy(by_chance) / 20


def test_each_alone_is_a_sample_of_the_prior_and_none_is_infinite():
    own = np.stack([_even(10, 2, seed)[7] for seed in range(200)])
    for values in own.T:
        assert stats.kstest(values, "norm").pvalue > 0.001
    assert abs(np.corrcoef(own.T)[0, 1]) < 0.25
    ends = prior_quantiles(tf.constant([0.0, 0.5, 1.0])).numpy()
    np.testing.assert_allclose(ends, [stats.norm.ppf(2.0**-24), 0, -stats.norm.ppf(2.0**-24)])


def _binary(num):
    return tf.cast(tf.random.stateless_uniform([num, 8, 8, 1], [1, 1]) > 0.5, tf.float32)


def _model(num_latents):
    networks = build_networks("mlp", (8, 8, 1), 2, 1, options=Options(hidden=(16,)))
    model = CVAE(networks, 1, objective=objectives.Objective("shared", shared_latents=num_latents))
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
    outputs = model.parameters(even_latents(6, model.latent_dim, key))
    alone = (tf.repeat(image[None], 6, axis=0) for image in images)  # under each of the latents
    bounds = [
        np.log(np.mean(np.exp(model.pixels.likelihood.log_prob(own, outputs)))) for own in alone
    ]
    expected = (np.mean(terms.elbo) + np.mean(bounds)) / 2
    assert float(value) == pytest.approx(expected, rel=1e-5)
