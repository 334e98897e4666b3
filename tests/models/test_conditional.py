"""Conditional models: the ELBO is one of p(x|y), and Keras trains, saves and loads them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.models.networks.building import Options, build_networks
from cvae_tf.models.vae.model import CVAE

LABELS = tf.constant([0, 2, 1, 2])


@pytest.fixture
def model():
    options = Options(hidden=(16,))
    networks = build_networks("mlp", (8, 8, 1), 2, seed=1, num_classes=3, options=options)
    return CVAE(networks, seed=1, num_classes=3)


def _images(num=4):
    return (np.random.default_rng(0).uniform(size=(num, 8, 8, 1)) > 0.5).astype(np.float32)


def test_an_image_is_not_touched_by_the_labels_of_others(model):
    images = _images()
    whole, outputs = model.encode(images, LABELS).mean, model.decode(tf.ones([4, 2]), LABELS)
    for row in range(4):  # a batch is computed in two halves, an image alone is not
        own = slice(row, row + 1)
        alone = model.encode(images[own], LABELS[own]).mean
        np.testing.assert_allclose(whole[own], alone, atol=1e-5)
        alone = model.decode(tf.ones([1, 2]), LABELS[own])
        np.testing.assert_allclose(outputs[own], alone, atol=1e-5)


def test_the_elbo_is_that_of_the_class_of_each_image_for_every_sample(model):
    """By the formula in NumPy, of an encoder and a decoder that were given the labels."""
    images, posterior = _images(), model.encode(_images(), LABELS)
    noise = np.random.default_rng(1).standard_normal((12, 2)).astype(np.float32)
    terms, _ = model.terms_with_noise(images, posterior, noise, 3, LABELS)
    mean, logvar = (np.tile(np.asarray(part, np.float64), (3, 1)) for part in posterior)
    latents = mean + np.exp(logvar / 2) * noise
    logits = model.decode(latents.astype(np.float32), np.tile(LABELS, 3)).numpy().astype(float)
    white = np.tile(images, (3, 1, 1, 1))
    log_likelihood = (white * logits - np.logaddexp(0, logits)).sum(axis=(1, 2, 3))
    kl = -0.5 * np.sum(noise**2 + logvar - latents**2, axis=1)
    np.testing.assert_allclose(terms.log_likelihood, log_likelihood, rtol=1e-5)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-3, atol=1e-4)


def test_keras_trains_evaluates_predicts_saves_and_loads_it_with_labels(model, tmp_path):
    images = _images(32)
    labels = (images[:, 0, 0, 0] > 0).astype(np.int64)
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(images, labels, batch_size=8, epochs=5, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0]
    pairs = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
    found = model.evaluate(pairs, verbose=0, return_dict=True)["elbo"]
    assert found == pytest.approx(model.evaluate(images, labels, verbose=0)[0], rel=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.num_classes == 3
    expected = model((images, labels))
    assert expected.shape == images.shape
    np.testing.assert_allclose(loaded((images, labels)), expected, atol=1e-6)
    np.testing.assert_allclose(model.for_inference()((images, labels)), expected, atol=1e-4)
    with pytest.raises(ValueError, match="A conditional model needs labels"):
        model.train_step(images)
