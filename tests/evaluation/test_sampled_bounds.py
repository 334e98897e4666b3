import numpy as np
import pytest
import tensorflow as tf
from conftest import binary_images, tiny_cvae, vivid

from cvae_tf.core.randomness import normal_of_samples
from cvae_tf.evaluation import evaluated_model, sampled_bounds
from cvae_tf.models.vae.posterior import Posterior


@pytest.fixture(scope="module")
def tiny():
    """A model of 6 x 6 pixels whose images differ by their latents."""
    return evaluated_model.from_model(vivid(tiny_cvae(seed=2), times=3), {})


@pytest.fixture(scope="module")
def pixels():
    return binary_images(20)


def _bounds(tiny, pixels, sizes, samples=1, seed=0, batch_size=100):
    posteriors = sampled_bounds.encode(tiny, pixels, 8)
    return sampled_bounds.bounds(tiny, pixels, posteriors, sizes, samples, seed, batch_size)


def test_mean_weighs_images_equally_and_knows_its_error():
    values = np.array([1.0, 2.0, 3.0, 10.0])
    mean = sampled_bounds.mean_of(values)
    assert mean.mean == 4.0
    assert mean.standard_error == pytest.approx(np.sqrt(np.sum((values - 4) ** 2) / 3 / 4))


def test_posteriors_of_a_smaller_last_batch_are_those_of_each_image(tiny, pixels):
    in_parts, at_once = (sampled_bounds.encode(tiny, pixels, size) for size in (8, 20))
    assert in_parts.mean.shape == (20, 2)
    for part, whole in zip(in_parts, at_once, strict=True):
        np.testing.assert_allclose(part, whole, rtol=1e-5, atol=1e-6)


def test_batches_of_unequal_size_weigh_images_equally(pixels):
    model = tiny_cvae()
    model.decoder.set_weights([0 * weights for weights in model.decoder.get_weights()])
    model.decoder.layers[-1].bias.assign([1.0])
    pixels = np.concatenate([pixels, np.ones((1, 6, 6, 1), np.float32)])
    same = evaluated_model.from_model(model, {})
    found = _bounds(same, pixels, [3], samples=2, batch_size=8)
    white = pixels.sum(axis=(1, 2, 3))
    expected = -white * np.log1p(np.exp(-1.0)) - (36 - white) * np.log1p(np.exp(1.0))
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=1e-5)
    assert sampled_bounds.mean_of(found.log_likelihood).mean == pytest.approx(
        expected.mean(), rel=1e-6
    )


def test_bounds_are_those_of_the_samples_that_were_drawn(tiny, pixels, monkeypatch):
    drawn = []
    densities = sampled_bounds._log_densities

    def recording(*arguments):
        results = densities(*arguments)
        drawn.append([value.numpy() for value in results])
        return results

    monkeypatch.setattr(sampled_bounds, "_log_densities", recording)
    tf.config.run_functions_eagerly(True)
    try:
        found = _bounds(tiny, pixels, [1, 3, 7], samples=4, batch_size=40)
    finally:
        tf.config.run_functions_eagerly(False)
    log_likelihoods, log_weights = (
        np.concatenate([pair[i] for pair in drawn]).astype(float) for i in (0, 1)
    )
    assert log_weights.shape == (8, 20)
    for k, values in found.importance_weighted.items():
        np.testing.assert_allclose(values, np.log(np.exp(log_weights[:k]).mean(axis=0)), rtol=1e-6)
    np.testing.assert_allclose(found.log_likelihood, log_likelihoods[:4].mean(axis=0), rtol=1e-6)


def test_log_weights_are_joint_over_posterior(tiny, pixels):
    posteriors = sampled_bounds.encode(tiny, pixels, 20)
    key, batch = tf.constant([3, 4]), sampled_bounds._Batch(pixels, posteriors, None)
    log_likelihood, log_weights = sampled_bounds._log_densities(
        tiny, batch, key, first=tf.constant(0), first_sample=tf.constant(0), num=2
    )
    mean, deviation = posteriors.mean, np.exp(posteriors.logvar / 2)
    noise = normal_of_samples(key, 0, 20, 2, 0, 2).numpy().reshape(2, 20, 2)
    latents = mean + deviation * noise
    white = 1 / (1 + np.exp(-tiny.decode(tf.constant(latents.reshape(40, 2))).numpy()))
    of_pixels = np.where(np.tile(pixels, (2, 1, 1, 1)) == 1, white, 1 - white)
    expected = np.log(of_pixels).sum(axis=(1, 2, 3)).reshape(2, 20)
    np.testing.assert_allclose(log_likelihood, expected, rtol=1e-4)
    log_prior = -0.5 * (latents**2 + np.log(2 * np.pi)).sum(-1)
    log_posterior = -(0.5 * (noise**2 + np.log(2 * np.pi)) + np.log(deviation)).sum(-1)
    np.testing.assert_allclose(log_weights, expected + log_prior - log_posterior, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 20, 60])
def test_numbers_do_not_depend_on_the_size_of_batches(tiny, pixels, batch_size):
    expected = _bounds(tiny, pixels, [1, 5], samples=3, batch_size=1000)
    found = _bounds(tiny, pixels, [1, 5], samples=3, batch_size=batch_size)
    np.testing.assert_allclose(found.log_likelihood, expected.log_likelihood, rtol=1e-5)
    for k in (1, 5):
        np.testing.assert_allclose(
            found.importance_weighted[k], expected.importance_weighted[k], rtol=1e-5
        )


def test_a_bound_does_not_depend_on_the_other_numbers_of_samples(tiny, pixels):
    alone = _bounds(tiny, pixels, [5]).importance_weighted[5]
    among = _bounds(tiny, pixels, [1, 5, 13], samples=9).importance_weighted[5]
    np.testing.assert_array_equal(alone, among)


def test_bounds_rise_with_the_number_of_samples(tiny, pixels):
    found = _bounds(tiny, pixels, [1, 10, 1000])
    means = [values.mean() for values in found.importance_weighted.values()]
    assert all(np.diff(means) > 0) and means[-1] - means[0] > 0.01


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tiny, pixels):
    first, again, other = (_bounds(tiny, pixels, [2], seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.importance_weighted[2], again.importance_weighted[2])
    assert np.all(first.importance_weighted[2] != other.importance_weighted[2])


def test_decoded_batches_do_not_grow_with_the_number_of_samples(tiny, pixels):
    sizes = []

    def decode(latents):
        sizes.append(latents.shape[0])
        return tiny.decode(latents)

    _bounds(tiny._replace(decode=decode), pixels, [500], batch_size=8)
    assert max(sizes) <= 8


def test_kl_is_the_closed_form_summed_over_nothing():
    posteriors = Posterior(np.array([[0.5, -1.0]]), np.array([[0.2, -0.4]]))
    variance = np.exp(posteriors.logvar)
    expected = (posteriors.mean**2 + variance - 1 - posteriors.logvar) / 2
    np.testing.assert_allclose(sampled_bounds.kl_per_dimension(posteriors), expected, rtol=1e-6)


def test_active_units_are_those_whose_means_vary():
    random = np.random.default_rng(0)
    means = random.normal(size=(1000, 3)) * [1.0, 0.15, 0.05] + 7
    assert sampled_bounds.count_active_units(Posterior(means, 0 * means)) == 2


def test_bounds_of_images_that_are_too_unlikely_for_a_float_are_finite(tiny):
    unlikely = tiny._replace(decode=lambda latents: tf.fill([latents.shape[0], 6, 6, 1], -100.0))
    white = np.ones((2, 6, 6, 1), np.float32)
    found = _bounds(unlikely, white, [4])
    prior = Posterior(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32))
    exact = sampled_bounds.bounds(unlikely, white, prior, [4], 1, 0, 100).importance_weighted[4]
    np.testing.assert_allclose(exact, -3600, rtol=1e-5)
    assert np.isfinite(found.importance_weighted[4]).all()
