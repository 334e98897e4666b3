"""Latents that all images of a batch share: how they cover the prior, and what a step climbs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tiny_networks
from scipy import stats

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.vae import climbed, objectives
from cvae_tf.models.vae.even_latents import even_latents, prior_quantiles
from cvae_tf.models.vae.model import CVAE


def _even(num, dim, seed=0):
    return even_latents(num, dim, tf.constant([1, seed])).numpy()


@pytest.mark.parametrize("dim", [1, 2])
def test_they_lie_as_the_prior_and_more_evenly_than_by_chance(dim):
    many, by_chance = _even(1024, dim), np.random.default_rng(0).uniform(size=(1024, dim))
    np.testing.assert_array_equal(many[:60], _even(60, dim))  # whatever the number
    for num, times in ((60, 4), (1024, 20)):
        shares = stats.norm.cdf(many[:num].astype(float))
        usual = stats.qmc.discrepancy(by_chance[:num])
        assert stats.qmc.discrepancy(shares) < usual / times


def test_each_alone_is_a_sample_of_the_prior_and_none_is_infinite():
    own = np.stack([_even(10, 2, seed)[7] for seed in range(200)])
    for values in own.T:
        assert stats.kstest(values, "norm").pvalue > 0.001
    assert abs(np.corrcoef(own.T)[0, 1]) < 0.25
    ends = prior_quantiles(tf.constant([0.0, 0.5, 1.0])).numpy()
    np.testing.assert_allclose(ends, [stats.norm.ppf(2.0**-24), 0, -stats.norm.ppf(2.0**-24)])


def _binary(num, side=6):
    return tf.cast(tf.random.stateless_uniform([num, side, side, 1], [1, 1]) > 0.5, tf.float32)


def _model(num_latents, num_classes=0):
    networks = tiny_networks(seed=4)
    if num_classes:
        networks = build_networks("mlp", (8, 8, 1), 2, seed=1, num_classes=num_classes)
    objective = objectives.Objective("shared", shared_latents=num_latents)
    model = CVAE(networks, 1, objective=objective, num_classes=num_classes)
    model.compile(keras.optimizers.SGD(1.0))
    return model


def _value_and_terms(model, images, labels=None, training=False):
    noise = tf.random.stateless_normal([len(images), model.latent_dim], [1, 2])
    return climbed.value_and_terms(model, images, labels, noise, images, training)


def _bound(model, image, latents, label=None):
    """The logarithm of the mean likelihood of an image under each of the latents, one by one."""
    labels = None if label is None else tf.fill([len(latents)], label)
    outputs = model.decode(latents, labels)
    images = tf.repeat(image[None], len(latents), axis=0)
    return np.log(np.mean(np.exp(model.pixels.density.log_prob(images, outputs))))


def _shared(model, num):
    key = derived_key(model.seed, Purpose.SHARED_LATENTS, model.steps)
    return even_latents(num, model.latent_dim, key)


def test_the_shared_objective_is_half_the_elbo_and_half_log_p_of_x():
    images, model = _binary(5), _model(9)
    value, terms = _value_and_terms(model, images)
    bounds = [_bound(model, image, _shared(model, 9)) for image in images]
    expected = (np.mean(terms.elbo) + np.mean(bounds)) / 2
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_latents_are_others_at_each_step_and_the_same_in_every_test():
    images, model, found = _binary(5), _model(9), []
    for step in (0, 1):
        model.optimizer.iterations.assign(step)
        found.append(
            [float(_value_and_terms(model, images, None, how)[0]) for how in (True, False)]
        )
    assert found[0][0] != found[1][0] and found[0][1] == found[1][1]


def test_a_conditional_model_shares_latents_within_a_class():
    model = _model(6, num_classes=3)
    images, labels = _binary(4, side=8), [0, 1, 1, 2]
    value, terms = _value_and_terms(model, images, tf.constant(labels))
    latents, bounds = _shared(model, 6), []
    for image, label, own in zip(images, labels, (2, 3, 3, 1), strict=True):
        bounds.append(_bound(model, image, latents[:own], label))  # labels 0 1 1 2 0 1
    expected = (np.mean(terms.elbo) + np.mean(bounds)) / 2
    assert float(value) == pytest.approx(expected, rel=1e-5)
    many = _model(4, num_classes=9)  # more classes than latents: each gets one
    assert np.isfinite(_value_and_terms(many, _binary(9, side=8), tf.range(9))[0])
