"""What a step climbs of a batch whose images share their samples."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tiny_networks

from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.vae import climbed, objectives
from cvae_tf.models.vae.model import CVAE


def _binary(num, side=6):
    return tf.cast(tf.random.stateless_uniform([num, side, side, 1], [1, 1]) > 0.5, tf.float32)


def _model(networks, objective, **options):
    model = CVAE(networks, 1, objective=objective, **options)
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    return model


def test_terms_of_the_shared_objective_are_those_of_each_image_and_its_own_samples():
    images, terms = _binary(5), {}
    for name in ("iwae", "shared"):
        model = _model(tiny_networks(seed=4), objectives.Objective(name, 3))
        noise = tf.random.stateless_normal([15, model.latent_dim], [1, 2])
        terms[name] = climbed.value_and_terms(model, images, None, noise, images)[1]
    for own, shared in zip(terms["iwae"], terms["shared"], strict=True):
        np.testing.assert_allclose(own, shared, rtol=1e-4, atol=1e-4)


def test_a_conditional_model_shares_samples_within_a_class():
    networks = build_networks("mlp", (8, 8, 1), 2, seed=1, num_classes=3)
    model = _model(networks, objectives.Objective("shared"), num_classes=3)
    images, labels = _binary(4, side=8), tf.constant([0, 1, 1, 2])
    noise = tf.random.stateless_normal([4, 2], [1, 2])
    given = images, labels, noise
    value, terms = climbed.value_and_terms(model, *given, images)
    alone = [
        float(climbed.value_and_terms(model, *(part[own] for part in given), images[own])[0])
        for own in (slice(0, 1), slice(1, 3), slice(3, 4))
    ]
    assert float(value) == pytest.approx((alone[0] + 2 * alone[1] + alone[2]) / 4, rel=1e-5)
    assert alone[0] == pytest.approx(float(terms.elbo[0]), rel=1e-5)
