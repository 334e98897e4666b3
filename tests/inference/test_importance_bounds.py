"""Estimates by posterior samples, of the encoder's and of refined posteriors, beside NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import binary_images, designed_model, tiny_cvae, vivid

from cvae_tf.core.randomness import Purpose, derived_key, normal_of_samples
from cvae_tf.evaluation import evaluating
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.inference import importance_bounds
from cvae_tf.models.vae.posterior import Posterior


@pytest.fixture(scope="module")
def tiny():
    """A model of 6 x 6 pixels whose images differ by their latents."""
    return vivid(tiny_cvae(seed=2), times=3)


@pytest.fixture(scope="module")
def pixels():
    return binary_images(20)


def _with_parameters(tiny, parameters):
    return designed_model(tiny.encode, parameters, 2, tiny.image_shape)


def _bounds(tiny, pixels, sizes, samples=1, seed=0, batch_size=100):
    posteriors = importance_bounds.encode(tiny, pixels, 8)
    return importance_bounds.bounds(tiny, pixels, posteriors, sizes, samples, seed, batch_size)


def test_means_know_their_error_and_active_units_vary():
    values = np.array([1.0, 2.0, 3.0, 10.0])
    mean, error = importance_bounds.mean_of(values)
    assert (mean, error) == (4, pytest.approx(np.sqrt(np.sum((values - 4) ** 2) / 3 / 4)))
    means = np.random.default_rng(0).normal(size=(1000, 3)) * [1.0, 0.15, 0.05] + 7
    assert importance_bounds.count_active_units(Posterior(means, 0 * means)) == 2


def test_bounds_are_means_of_joint_over_posterior(tiny, pixels):
    """By NumPy, of the same noise."""
    found = _bounds(tiny, pixels, [1, 3, 7], samples=4, batch_size=40)
    mean, logvar = (np.asarray(part, float) for part in importance_bounds.encode(tiny, pixels, 20))
    key = derived_key(0, Purpose.EVALUATION_NOISE)
    noise = normal_of_samples(key, 0, 20, 2, 0, 7).numpy().reshape(7, 20, 2)
    latents = mean + np.exp(logvar / 2) * noise
    logits = tiny.parameters(tf.constant(latents.reshape(140, 2), tf.float32)).numpy()
    of_pixels = np.where(np.tile(pixels, (7, 1, 1, 1)) == 1, logits, -logits)
    log_likelihood = -np.logaddexp(0, -of_pixels).sum(axis=(1, 2, 3)).reshape(7, 20)
    np.testing.assert_allclose(found.log_likelihood, log_likelihood[:4].mean(axis=0), rtol=1e-4)
    log_weights = log_likelihood + 0.5 * (noise**2 - latents**2 + logvar).sum(axis=-1)
    for k, values in found.importance_weighted.items():
        expected = np.logaddexp.reduce(log_weights[:k], axis=0) - np.log(k)
        np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_numbers_depend_on_the_seed_and_not_on_batches_which_do_not_grow(tiny, pixels):
    expected, sizes = _bounds(tiny, pixels, [1, 5], samples=3, batch_size=1000), []

    def decode(latents, labels):
        sizes.append(latents.shape[0])
        return tiny.parameters(latents)

    found = _bounds(_with_parameters(tiny, decode), pixels, [5, 13], samples=3, batch_size=7)
    assert max(sizes) <= 7
    np.testing.assert_allclose(found.log_likelihood, expected.log_likelihood, rtol=1e-5)
    values = found.importance_weighted[5]
    np.testing.assert_allclose(values, expected.importance_weighted[5], rtol=1e-5)
    assert np.all(values != _bounds(tiny, pixels, [5], seed=1).importance_weighted[5])


def test_bounds_of_images_that_are_too_unlikely_for_a_float_are_finite(tiny):
    unlikely = _with_parameters(
        tiny, lambda latents, labels: tf.fill([latents.shape[0], 6, 6, 1], -100.0)
    )
    prior = Posterior(*np.zeros((2, 2, 2), np.float32))
    white = np.ones((2, 6, 6, 1), np.float32)
    found = importance_bounds.bounds(unlikely, white, prior, [4], 1, 0, 100)
    np.testing.assert_allclose(found.importance_weighted[4], -3600, rtol=1e-5)


def test_refined_elbos_are_those_of_the_formula_and_higher_than_the_encoders(tiny, pixels):
    task = evaluating.Task(tiny, EvaluationSettings(samples=30, batch_size=10), pixels)
    found = evaluating.refine(task, 5, [1, 30])
    mean, factor = (np.asarray(part, np.float64) for part in found.posteriors)
    covariance = factor @ factor.transpose(0, 2, 1)
    trace, determinant = np.trace(covariance, axis1=1, axis2=2), np.linalg.det(covariance)
    kl = 0.5 * (trace + np.square(mean).sum(axis=1) - 2 - np.log(determinant))
    np.testing.assert_allclose(found.elbo, found.bounds.log_likelihood - kl, rtol=1e-4, atol=1e-4)
    own = importance_bounds.encode(tiny, pixels, 20)
    own_kl = importance_bounds.kl_per_dimension(own).sum(axis=1)
    of_encoder = _bounds(tiny, pixels, [1], samples=30).log_likelihood - own_kl
    assert of_encoder.mean() < found.elbo.mean()
