"""What a step climbs of a batch whose images share latents."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tiny_networks

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.vae import climbed, objectives
from cvae_tf.models.vae.even_latents import even_latents
from cvae_tf.models.vae.model import CVAE


def _binary(num, side=6):
    return tf.cast(tf.random.stateless_uniform([num, side, side, 1], [1, 1]) > 0.5, tf.float32)


def _model(networks, objective, **options):
    model = CVAE(networks, 1, objective=objective, **options)
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    return model


def _value_and_terms(model, images, labels=None):
    noise = tf.random.stateless_normal([len(images), model.latent_dim], [1, 2])
    return climbed.value_and_terms(model, images, labels, noise, images)


def _latents(model, num):
    key = derived_key(model.seed, Purpose.SHARED_LATENTS, model.steps)
    return even_latents(num, model.latent_dim, key)


def _log_likelihood(model, image, latents, label=None):
    """Under each of the latents, one by one, [M]."""
    labels = None if label is None else tf.fill([len(latents)], label)
    outputs = model.decode(latents, labels)
    return model.pixels.density.log_prob(tf.repeat(image[None], len(latents), axis=0), outputs)


def test_the_shared_objective_is_half_the_elbo_and_half_log_p_of_x():
    images = _binary(5)
    model = _model(tiny_networks(seed=4), objectives.Objective("shared", shared_latents=9))
    value, terms = _value_and_terms(model, images)
    bounds = [
        np.log(np.mean(np.exp(_log_likelihood(model, image, _latents(model, 9)))))
        for image in images
    ]
    elbo = np.mean(terms.elbo)
    assert float(value) == pytest.approx((elbo + np.mean(bounds)) / 2, rel=1e-5)
    plain = _value_and_terms(_model(tiny_networks(seed=4), objectives.ELBO), images)[0]
    assert elbo == pytest.approx(float(plain), rel=1e-6)


def test_beta_is_the_weight_of_the_kl_in_the_elbos_half():
    images, found = _binary(5), []
    for beta in (1.0, 0.0):
        objective = objectives.Objective("shared", beta=beta, shared_latents=9)
        value, terms = _value_and_terms(_model(tiny_networks(seed=4), objective), images)
        found.append(float(value))
    assert found[1] - found[0] == pytest.approx(np.mean(terms.kl) / 2, rel=1e-4)


def test_latents_are_others_at_each_step_and_the_same_in_every_test():
    images, model = _binary(5), _model(tiny_networks(seed=4), objectives.Objective("shared"))
    noise = tf.random.stateless_normal([5, model.latent_dim], [1, 2])

    def value(training):
        return float(climbed.value_and_terms(model, images, None, noise, images, training)[0])

    before = value(training=True), value(training=False)
    model.optimizer.iterations.assign(1)
    after = value(training=True), value(training=False)
    assert before[0] != after[0] and before[1] == after[1]


def test_every_class_has_latents_in_batches_of_any_size():
    networks = build_networks("mlp", (8, 8, 1), 2, seed=1, num_classes=9)
    objective = objectives.Objective("shared", shared_latents=4)
    model = _model(networks, objective, num_classes=9)
    value, _ = _value_and_terms(model, _binary(9, side=8), tf.range(9))
    assert np.isfinite(value)


def test_a_conditional_model_shares_latents_within_a_class():
    networks = build_networks("mlp", (8, 8, 1), 2, seed=1, num_classes=3)
    objective = objectives.Objective("shared", shared_latents=6)
    model = _model(networks, objective, num_classes=3)
    images, labels = _binary(4, side=8), tf.constant([0, 1, 1, 2])
    value, terms = _value_and_terms(model, images, labels)
    latents, bounds = _latents(model, 6), []
    for image, label, own in zip(images, (0, 1, 1, 2), (2, 3, 3, 1), strict=True):
        log_likelihood = _log_likelihood(model, image, latents[:own], label)  # labels 0 1 1 2 0 1
        bounds.append(np.log(np.mean(np.exp(log_likelihood))))
    expected = (np.mean(terms.elbo) + np.mean(bounds)) / 2
    assert float(value) == pytest.approx(expected, rel=1e-5)
