import numpy as np
import pytest
import tensorflow as tf
from conftest import binary_images, tiny_cvae, vivid

from cvae_tf.evaluation import evaluated_model, refined
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.models.vae import inferring


@pytest.fixture(scope="module")
def model():
    return evaluated_model.from_model(vivid(tiny_cvae(seed=2)), {})


@pytest.fixture(scope="module")
def pixels():
    return binary_images(20)


@pytest.mark.parametrize("batch_size", [1, 21, 1000])
def test_posteriors_are_those_of_each_image_whatever_the_batch(model, pixels, batch_size):
    expected = inferring.inference(model)(tf.constant(pixels), None, 4)
    found = refined.refine(model, pixels, None, 4, batch_size)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-3)


def test_elbos_rise_from_the_encoder_to_the_best_gaussian(model, pixels):
    settings = EvaluationSettings(samples=300, batch_size=500)
    found = refined.measure(model, pixels, 5, [1, 50], settings, None)
    assert found.best_elbo.mean() > found.elbo.mean() - 0.01
    bounds = found.bounds.importance_weighted
    assert bounds[50].mean() > bounds[1].mean() > -1e9
    assert bounds[50].mean() > found.best_elbo.mean() - 0.05


def test_elbo_is_that_of_the_formula(model, pixels):
    found = refined.measure(model, pixels, 5, [], EvaluationSettings(samples=7), None)
    mean, factor = (np.asarray(part, np.float64) for part in found.posteriors)
    covariance = factor @ factor.transpose(0, 2, 1)
    trace, determinant = np.trace(covariance, axis1=1, axis2=2), np.linalg.det(covariance)
    kl = 0.5 * (trace + np.square(mean).sum(axis=1) - 2 - np.log(determinant))
    np.testing.assert_allclose(found.elbo, found.bounds.log_likelihood - kl, rtol=1e-4, atol=1e-4)


def test_more_dimensions_have_no_best_gaussian(pixels):
    model = evaluated_model.from_model(tiny_cvae(seed=2, latent_dim=3), {})
    found = refined.measure(model, pixels, 5, [1], EvaluationSettings(samples=2), None)
    assert found.best_elbo is None and found.posteriors.factor.shape == (20, 3, 3)
