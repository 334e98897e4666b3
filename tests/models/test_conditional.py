"""Conditional models: labels reach the networks, the ELBO is one of p(x|y), Keras trains them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import VAE_NETWORKS

from cvae_tf.core.errors import UserError
from cvae_tf.models.layers import OneHot
from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.vae.model import CVAE
from cvae_tf.registry import NETWORKS, Network

LABELS = tf.constant([0, 2, 1, 2])


def _model(network="mlp", shape=(8, 8, 1), num_classes=3, **options):
    networks = build_networks(network, shape, 2, seed=1, num_classes=num_classes)
    return CVAE(networks, seed=1, num_classes=num_classes, **options)


def _images(num=4, side=8):
    return (np.random.default_rng(0).uniform(size=(num, side, side, 1)) > 0.5).astype(np.float32)


@pytest.mark.parametrize("name", VAE_NETWORKS)
def test_labels_change_what_every_network_says(name):
    model = _model(name, (28, 28, 1))
    images, latents = _images(side=28), np.ones((4, 2), np.float32)
    for make, given in ((lambda *a: model.encode(*a).mean, images), (model.decode, latents)):
        first, other = make(given, LABELS), make(given, (LABELS + 1) % 3)
        assert np.all(np.abs(first - other).reshape(4, -1).max(axis=1) > 1e-4)
        np.testing.assert_array_equal(first, make(given, LABELS))


def test_an_image_is_not_touched_by_the_labels_of_others():
    model, images = _model(), _images()
    whole = model.encode(images, LABELS).mean
    alone = model.encode(images[1:2], LABELS[1:2]).mean
    np.testing.assert_allclose(whole[1:2], alone, atol=1e-5)


def test_labels_become_rows_of_the_unit_matrix():
    np.testing.assert_array_equal(OneHot(3)(LABELS), np.eye(3)[LABELS.numpy()])


def test_the_elbo_is_that_of_the_class_of_each_image():
    """By the formula in NumPy, of an encoder and a decoder that were given the labels."""
    model, images = _model(), _images()
    posterior = model.encode(images, LABELS)
    noise = np.random.default_rng(1).standard_normal((4, 2)).astype(np.float32)
    terms, _ = model.terms_with_noise(images, posterior, noise, labels=LABELS)
    mean, logvar = (np.asarray(part, np.float64) for part in posterior)
    latents = mean + np.exp(logvar / 2) * noise
    logits = model.decode(latents.astype(np.float32), LABELS).numpy().astype(np.float64)
    log_likelihood = (images * logits - np.logaddexp(0, logits)).sum(axis=(1, 2, 3))
    kl = -0.5 * np.sum(noise**2 + logvar - latents**2, axis=1)
    np.testing.assert_allclose(terms.log_likelihood, log_likelihood, rtol=1e-5)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-3, atol=1e-4)


def test_samples_of_the_posterior_keep_the_label_of_their_image():
    model, images = _model(), _images()
    posterior = model.encode(images, LABELS)
    noise = tf.zeros([12, 2])  # three samples of each, all of them the mean
    terms, _ = model.terms_with_noise(images, posterior, noise, 3, LABELS)
    one, _ = model.terms_with_noise(images, posterior, noise[:4], labels=LABELS)
    np.testing.assert_allclose(terms.log_likelihood, np.tile(one.log_likelihood, 3), rtol=1e-5)


def test_keras_trains_evaluates_and_predicts_with_labels():
    model, images = _model(), _images(32)
    labels = (images[:, 0, 0, 0] > 0).astype(np.int64)
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(images, labels, batch_size=8, epochs=5, verbose=0)
    assert history.history["elbo"][-1] > history.history["elbo"][0]
    assert model.evaluate(images, labels, verbose=0, return_dict=True)["elbo"] < 0
    labelled = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
    assert model.evaluate(labelled, verbose=0, return_dict=True)["elbo"] < 0
    assert model((images, labels)).shape == images.shape


def test_it_cannot_be_trained_without_labels():
    model = _model()
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    with pytest.raises(ValueError, match="A conditional model needs labels"):
        model.fit(_images(), verbose=0)


def test_it_is_saved_and_loaded_by_keras(tmp_path):
    model, images = _model("patches"), _images()
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(images, LABELS.numpy(), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.num_classes == 3
    np.testing.assert_allclose(loaded((images, LABELS)), model((images, LABELS)), atol=1e-6)
    copy = model.for_inference()
    np.testing.assert_allclose(copy((images, LABELS)), model((images, LABELS)), atol=1e-4)


def test_a_network_with_inputs_of_its_own_is_refused(monkeypatch):
    def build(plan):
        return build_networks("mlp", plan.image_shape, plan.latent_dim, seed=0)

    monkeypatch.setitem(NETWORKS._entries, "plain", Network(build))
    with pytest.raises(UserError, match="--conditional: the network 'plain' takes no labels"):
        build_networks("plain", (8, 8, 1), 2, seed=0, num_classes=3)
