"""The discretized logistic against SciPy and plain sums."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from cvae_tf.models.layers import LogisticParameters
from cvae_tf.models.vae.levels import discretized_logistic_log_prob as log_prob
from cvae_tf.models.vae.levels import discretized_logistic_mean, log_prob_of_levels

LEVELS = np.arange(256) / 255
SMALLEST = -7 - np.log(2)  # log scale of PixelCNN++, for levels in [0, 1]
LOCATIONS = (-3.0, 0.0, 0.3137, 0.5, 1.0, 1.7)
LOG_SCALES = (SMALLEST, -6.0, -3.3, -1.0, 0.5, 4.0)
PARAMETERS = np.stack(np.meshgrid(LOCATIONS, LOG_SCALES), axis=-1).reshape(-1, 1, 2)  # [36, 1, 2]


def _log_probs(location, log_scale, dtype=np.float64):
    """Of all levels, [..., 256]."""
    parameters = (np.asarray(value, dtype) for value in (location, log_scale))
    return log_prob_of_levels(tf.constant(LEVELS, dtype), *parameters).numpy()


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_probabilities_of_the_levels_sum_to_1(dtype, error):
    found = _log_probs(PARAMETERS[..., 0], PARAMETERS[..., 1], dtype).astype(float)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, rtol=error)


@pytest.mark.parametrize(
    ("location", "log_scale"), [(0.3137, -3.3), (1.25, -2.0), (0.5, 3.0), (-0.5, -4.0)]
)
def test_every_level_has_the_mass_between_its_borders(location, log_scale):
    density = scipy.stats.logistic(location, np.exp(log_scale))
    borders = [-np.inf, *(np.arange(0.5, 255) / 255), np.inf]
    below, above = np.diff(density.cdf(borders)), -np.diff(density.sf(borders))
    expected = np.log(np.where(location > LEVELS, below, above))
    np.testing.assert_allclose(_log_probs(location, log_scale), expected, rtol=1e-8, atol=1e-10)
    single = _log_probs(location, log_scale, np.float32)
    np.testing.assert_allclose(single, expected, rtol=2e-5, atol=1e-5)


def test_levels_are_those_of_uint8_images_and_the_nearest_to_others():
    grey = (np.arange(256, dtype=np.uint8) / np.float32(255)).astype(np.float32)
    location, log_scale = np.float32(0.4), np.float32(-3)
    for shift in np.float32([0, 0.4 / 255, -0.4 / 255]):  # as a warp may leave them
        found = log_prob_of_levels(tf.constant(grey + shift), location, log_scale)
        np.testing.assert_allclose(found, _log_probs(0.4, -3.0), atol=1e-4)


def test_pixels_and_channels_are_summed_each_with_parameters_of_its_own():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, 4, 5, 3)) / 255
    location, log_scale = random.uniform(size=(2, 3, 4, 5, 3)) * [[[[[1]]]], [[[[-3]]]]]
    found = log_prob(tf.constant(images), tf.constant(np.concatenate([location, log_scale], -1)))
    of_all = _log_probs(location[..., None], log_scale[..., None])
    level = np.rint(255 * images).astype(int)[..., None]
    expected = np.take_along_axis(of_all, level, axis=-1).sum(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_whatever_a_decoder_makes_is_finite_and_so_is_its_gradient():
    large = np.float32([-1e30, -1e4, 0, 80, 100, 1e4, 1e30])
    made = np.stack(np.meshgrid(large, large), axis=-1).reshape(1, 7, 7, 2)
    for level in np.float32([0, 1 / 255, 128 / 255, 1]):
        given = tf.constant(made)
        with tf.GradientTape() as tape:
            tape.watch(given)
            outputs = LogisticParameters()(given)
            values = log_prob_of_levels(level, outputs[..., :1], outputs[..., 1:])
        assert np.isfinite(values).all() and np.isfinite(tape.gradient(values, given)).all()
        assert np.min(outputs[..., 1]) > SMALLEST - 1e-5
    means = discretized_logistic_mean(outputs).numpy()
    assert np.all((means >= 0) & (means <= 1))


def test_mean_is_that_of_the_levels():
    expected = np.exp(_log_probs(PARAMETERS[..., 0], PARAMETERS[..., 1])) @ LEVELS
    outputs = PARAMETERS.reshape(-1, 1, 1, 2).astype(np.float32)
    away = np.abs(np.ravel(discretized_logistic_mean(outputs)) - expected)
    is_wide = PARAMETERS[:, 0, 1] > -5
    assert away[is_wide].max() < 2e-5 and away.max() < 0.5 / 255  # narrow ones are where they are
