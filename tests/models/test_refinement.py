"""Refined posteriors where the true ones are known, where a decoder bends, and by NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.models.vae import refinement
from cvae_tf.models.vae.likelihoods import BERNOULLI, GAUSSIAN
from cvae_tf.models.vae.posterior import FullPosterior

DIM, PIXELS, IMAGES = 3, 20, 5
VARIANCE = 0.3


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


def _curved():
    """Black-and-white images of a decoder that is bent."""
    random = np.random.default_rng(0)
    weights = tf.constant(2 * random.normal(size=(2, PIXELS)), tf.float32)

    def decode(latents):
        return tf.reshape(3 * tf.sin(latents @ weights), [-1, 4, 5, 1])

    pixels = tf.constant(random.integers(0, 2, (IMAGES, 4, 5, 1)), tf.float32)
    start = tf.constant(random.normal(size=(IMAGES, 2)), tf.float32)
    return decode, pixels, start


def test_few_steps_find_the_posterior_of_a_linear_decoder():
    decode, density, pixels, mean, covariance = _linear_gaussian()
    found = refinement.refine(decode, density, pixels, tf.zeros([IMAGES, DIM]), 3)
    np.testing.assert_allclose(found.mean, mean, atol=2e-3)
    expected = np.tile(covariance, (IMAGES, 1, 1))
    np.testing.assert_allclose(found.covariance, expected, rtol=0.02, atol=2e-4)
    wide = FullPosterior(tf.zeros([IMAGES, DIM]), tf.eye(DIM, batch_shape=[IMAGES]))
    best = refinement.best_gaussian(decode, density, pixels, wide, 4)
    np.testing.assert_allclose(best.mean, mean, atol=5e-3)
    np.testing.assert_allclose(best.covariance, expected, atol=5e-3)


def test_steps_never_go_down_and_end_at_a_mode():
    decode, pixels, start = _curved()
    values = []
    for steps in (0, 1, 3, 20):
        mean = refinement.refine(decode, BERNOULLI, pixels, start, steps).mean
        values.append(refinement.log_joint(decode, BERNOULLI, pixels, mean).numpy())
    assert np.all(np.diff(values, axis=0) >= 0)
    assert np.all(values[-1] > values[0] + 1)
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        away = tf.constant([0.02 * np.cos(angle), 0.02 * np.sin(angle)], tf.float32)
        around = refinement.log_joint(decode, BERNOULLI, pixels, mean + away)
        assert np.all(around < values[-1] + 1e-3)


def test_the_curvature_is_that_of_the_jacobian():
    decode, pixels, start = _curved()
    found = refinement.refine(decode, BERNOULLI, pixels, start, 0)
    with tf.GradientTape() as tape:
        tape.watch(start)
        outputs = tf.reshape(decode(start), [IMAGES, PIXELS])
    jacobian = tape.batch_jacobian(outputs, start).numpy().astype(float)
    white = 1 / (1 + np.exp(-outputs.numpy().astype(float)))
    information = np.einsum("bpi,bp,bpj->bij", jacobian, white * (1 - white), jacobian) + np.eye(2)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(information), rtol=0.05, atol=1e-4)


def _elbo(decode, pixels, gaussians, num=5_000):
    """By many samples, in NumPy."""
    noise = np.random.default_rng(1).normal(size=(num, 2))
    elbos = []
    for image, mean, factor in zip(pixels.numpy(), *map(np.asarray, gaussians), strict=True):
        latents = mean + noise @ factor.T.astype(float)
        logits = decode(tf.constant(latents, tf.float32)).numpy().reshape(num, -1).astype(float)
        signs = 2 * image.reshape(-1) - 1
        log_likelihood = -np.logaddexp(0, -signs * logits).sum(axis=1).mean()
        covariance = factor.astype(float) @ factor.T
        kl = 0.5 * (np.trace(covariance) + mean @ mean - 2 - np.linalg.slogdet(covariance)[1])
        elbos.append(log_likelihood - kl)
    return np.array(elbos)


def test_the_best_gaussian_has_a_higher_elbo_than_that_at_the_mode():
    decode, pixels, start = _curved()
    at_mode = refinement.refine(decode, BERNOULLI, pixels, start, 10)
    best = refinement.best_gaussian(decode, BERNOULLI, pixels, at_mode, 10)
    gain = _elbo(decode, pixels, best) - _elbo(decode, pixels, at_mode)
    assert np.all(gain > -0.03) and gain.mean() > 0.01


def test_images_do_not_depend_on_those_beside_them():
    decode, pixels, start = _curved()
    together = refinement.refine(decode, BERNOULLI, pixels, start, 5)
    alone = refinement.refine(decode, BERNOULLI, pixels[2:3], start[2:3], 5)
    for whole, one in zip(together, alone, strict=True):
        np.testing.assert_allclose(whole[2], one[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dim", [1, 2])
def test_spread_latents_have_the_quantiles_of_the_prior(dim):
    latents = refinement.spread_latents(50, dim)
    assert latents.shape == (50**dim, dim)
    np.testing.assert_allclose(latents.mean(axis=0), 0, atol=1e-6)
    below = (latents[:, 0] < -1).mean()
    assert below == pytest.approx(0.1587, abs=0.02)  # of a standard Gaussian


def test_the_best_of_a_set_is_the_likeliest():
    decode, pixels, _ = _curved()
    latents = tf.constant(np.random.default_rng(2).normal(size=(40, 2)), tf.float32)
    places, values = refinement.best_of(BERNOULLI, pixels, latents, decode(latents))
    for row in range(IMAGES):
        repeated = tf.repeat(pixels[row : row + 1], 40, axis=0)
        expected = refinement.log_joint(decode, BERNOULLI, repeated, latents).numpy()
        np.testing.assert_allclose(values[row], expected.max(), rtol=1e-5)
        np.testing.assert_array_equal(places[row], latents[expected.argmax()])
