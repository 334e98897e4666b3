"""Refined posteriors: known ones are found, and those of whole models are better."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import binary_images, tiny_cvae, vivid

from cvae_tf.models.networks import Options
from cvae_tf.models.vae import refinement
from cvae_tf.models.vae.likelihoods import GAUSSIAN, LIKELIHOODS
from cvae_tf.models.vae.model import CVAE

DIM, PIXELS, IMAGES = 3, 20, 5
VARIANCE = 0.3
LABELS = tf.constant([0, 2, 1, 2])
SMALL = {"network": "mlp", "image_shape": (8, 8, 1), "options": Options(hidden=(16,)), "seed": 1}


def _linear_gaussian():
    """A decoder whose posteriors are known: means that are linear in z, one variance."""
    random = np.random.default_rng(0)
    weights = random.normal(size=(DIM, PIXELS))
    pixels = random.normal(size=(IMAGES, PIXELS))

    def log_prob(images, outputs):
        squares = tf.square(images - outputs) / VARIANCE + np.log(2 * np.pi * VARIANCE)
        return -0.5 * tf.reduce_sum(squares, axis=(1, 2, 3))

    density = GAUSSIAN._replace(
        log_prob=log_prob, information=lambda outputs: tf.fill(tf.shape(outputs), 1 / VARIANCE)
    )

    def decode(latents):
        return tf.reshape(latents @ tf.constant(weights, tf.float32), [-1, 4, 5, 1])

    precision = weights @ weights.T / VARIANCE + np.eye(DIM)
    mean = np.linalg.solve(precision, weights @ pixels.T / VARIANCE).T
    images = tf.constant(pixels.reshape(IMAGES, 4, 5, 1), tf.float32)
    return decode, density, images, mean, np.linalg.inv(precision)


def test_few_steps_find_the_posterior_of_a_linear_decoder():
    decode, density, pixels, mean, covariance = _linear_gaussian()
    found = refinement.refine(decode, density, pixels, tf.zeros([IMAGES, DIM]), 3)
    np.testing.assert_allclose(found.mean, mean, atol=2e-3)
    expected = np.tile(covariance, (IMAGES, 1, 1))
    np.testing.assert_allclose(found.covariance, expected, rtol=0.02, atol=2e-4)


# Of whole models: where they begin, parts, labels, every likelihood.


@pytest.fixture(scope="module")
def model():
    """A model of 6 x 6 pixels whose images differ by their latents."""
    return vivid(tiny_cvae(seed=2))


def _log_joint(model, pixels, latents, labels=None):
    decode = refinement.decoder_for(model, labels)
    return refinement.log_joint(decode, model.pixels.likelihood, pixels, latents).numpy()


def test_images_begin_at_the_likeliest_of_many_places(model):
    pixels = tf.constant(binary_images(12))
    start = refinement.first_latents(model, pixels, None)
    own = _log_joint(model, pixels, model.encode(pixels).mean)
    found = _log_joint(model, pixels, start)
    assert np.all(found >= own) and found.mean() > own.mean() + 0.1
    random = np.random.default_rng(0)
    for other in random.normal(size=(20, 12, 2)):  # none drawn from the prior is much better
        assert np.all(_log_joint(model, pixels, tf.constant(other, tf.float32)) < found + 0.5)
    many = tiny_cvae(seed=2, latent_dim=5)
    np.testing.assert_array_equal(
        refinement.first_latents(many, pixels, None), many.encode(pixels).mean
    )


def test_parts_are_joined_in_order_and_better_than_the_encoders(model, monkeypatch):
    pixels = tf.constant(binary_images(11))
    monkeypatch.setattr(refinement, "_PIXELS", 12 * 36)  # four images at once
    assert refinement.images_at_once(model) == 4
    start = refinement.first_latents(model, pixels, None)
    whole = refinement.from_latents(model, pixels, None, start, 3)
    in_parts = refinement.refine_images(model, pixels, None, 3)
    for one, other in zip(whole, in_parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-3)
    noise = tf.constant(np.random.default_rng(0).normal(size=(400 * 11, 2)), tf.float32)
    own, refined = (
        model.terms_with_noise(pixels, posterior, noise, 400)[0].elbo.numpy().mean()
        for posterior in (model.encode(pixels), in_parts)
    )
    assert refined > own + 0.3


def test_every_class_is_refined_under_its_own_labels():
    model = vivid(CVAE(**SMALL, num_classes=3))
    pixels = tf.constant(np.random.default_rng(0).integers(0, 2, (4, 8, 8, 1)), tf.float32)
    start = refinement.first_latents(model, pixels, LABELS)
    together = refinement.from_latents(model, pixels, LABELS, start, 4)
    for row in range(4):
        own = slice(row, row + 1)
        begin = refinement.first_latents(model, pixels[own], LABELS[own])
        np.testing.assert_allclose(start[own], begin, atol=1e-3)
        alone = refinement.from_latents(model, pixels[own], LABELS[own], begin, 4)
        np.testing.assert_allclose(together.mean[own], alone.mean, atol=1e-3)
    others = refinement.from_latents(model, pixels, (LABELS + 1) % 3, start, 4)
    assert np.abs(others.mean - together.mean).max() > 5e-3


@pytest.mark.parametrize(
    ("likelihood", "latent_dim"), list(zip(LIKELIHOODS, (6, 1, 6, 1, 6), strict=True))
)
def test_every_likelihood_can_be_refined(likelihood, latent_dim):
    model = vivid(CVAE(**SMALL, likelihood=likelihood, latent_dim=latent_dim))
    grey = tf.constant(np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)) / 255, tf.float32)
    pixels = model.pixels.binarize_mode(grey)
    start = refinement.first_latents(model, pixels, None) + 0.5  # away from a mode
    places = [start]
    for steps in (1, 5):  # never down
        found = refinement.from_latents(model, pixels, None, start, steps)
        places.append(found.mean)
    values = np.array([_log_joint(model, pixels, each) for each in places])
    assert np.all(np.diff(values, axis=0) >= -1e-3) and np.all(values[-1] > values[0])
    variances = np.linalg.eigvalsh(found.covariance)
    assert variances.min() > 0 and variances.max() <= 1.001  # no wider than the prior
