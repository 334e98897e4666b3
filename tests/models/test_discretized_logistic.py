"""The discretized logistic against plain sums, differences of many digits, finite differences."""

import decimal

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.models.layers import LogisticParameters
from cvae_tf.models.vae import discretized_logistic
from cvae_tf.models.vae.discretized_logistic import log_prob, log_prob_of_levels

LEVELS = np.arange(256) / 255
SMALLEST = -7 - np.log(2)  # log scale of PixelCNN++, for levels in [0, 1]
LOCATIONS = (-3.0, 0.0, 0.3137, 0.5, 1.0, 1.7)
LOG_SCALES = (SMALLEST, -6.0, -3.3, -1.0, 0.5, 4.0)
PARAMETERS = np.stack(np.meshgrid(LOCATIONS, LOG_SCALES), axis=-1).reshape(-1, 1, 2)  # [36, 1, 2]


def _log_probs(location, log_scale, dtype=np.float64):
    """Of all levels, [..., 256]."""
    parameters = (np.asarray(value, dtype) for value in (location, log_scale))
    return log_prob_of_levels(tf.constant(LEVELS, dtype), *parameters).numpy()


def _exact(level, location, log_scale):
    """The same of one level, by the difference of two logistic functions with 600 digits."""
    with decimal.localcontext(decimal.Context(prec=600, Emin=-(10**9), Emax=10**9)):
        location, log_scale = decimal.Decimal(location), decimal.Decimal(log_scale)
        borders = ((level + decimal.Decimal(side)) / 255 for side in ("-0.5", "0.5"))
        below, above = (
            1 / (1 + (-(border - location) / log_scale.exp()).exp()) for border in borders
        )
        if level == 0:
            return float(above.ln())
        return float((1 - below).ln() if level == 255 else (above - below).ln())


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_probabilities_of_the_levels_sum_to_1(dtype, error):
    found = _log_probs(PARAMETERS[..., 0], PARAMETERS[..., 1], dtype).astype(float)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, rtol=error)
    # Beyond black and white one level costs nothing: a background needs no precision.
    assert _log_probs(-0.2, -4.0, dtype)[0] > -1e-4 and _log_probs(1.2, -4.0, dtype)[255] > -1e-4


@pytest.mark.parametrize(
    ("location", "log_scale"),
    [(0.3137, -3.3), (0.0, -5.0), (1.25, -2.0), (0.5, SMALLEST), (0.5, 3.0), (-0.5, -4.0)],
)
def test_every_level_has_the_mass_between_its_borders(location, log_scale):
    location, log_scale = (float(np.float32(value)) for value in (location, log_scale))
    levels = [0, 1, 80, 254, 255]
    expected = [_exact(level, location, log_scale) for level in levels]
    found = _log_probs(location, log_scale)[levels]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    single = _log_probs(location, log_scale, np.float32)[levels]
    np.testing.assert_allclose(single, expected, rtol=2e-5, atol=1e-6)


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


def test_gradients_agree_with_finite_differences():
    levels = tf.constant(LEVELS[[0, 1, 128, 255]])
    grid = np.meshgrid([-0.4, 0.5, 1.1], [SMALLEST, -4.0, -2.0, -3.239, 0.0, 3.0], indexing="ij")
    parameters = [tf.constant(each[..., None] + np.zeros(4)) for each in grid]
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        values = log_prob_of_levels(levels, *parameters)
    for number, slopes in enumerate(tape.gradient(values, parameters)):
        ends = []
        for shift in (1e-6, -1e-6):
            moved = list(parameters)
            moved[number] = moved[number] + shift
            ends.append(log_prob_of_levels(levels, *moved))
        np.testing.assert_allclose(slopes, (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-4)


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
    means = discretized_logistic.mean(outputs).numpy()
    assert np.all((means >= 0) & (means <= 1))
    is_clear = (made[..., 0] != 0) & (made[..., 1] <= 0)  # far away and narrow
    np.testing.assert_allclose(means[..., 0][is_clear], made[..., 0][is_clear] > 0, atol=1e-6)


def test_parameters_begin_wide_about_the_middle_and_have_a_floor_that_they_can_leave():
    location, log_scale = np.ravel(LogisticParameters()(np.zeros((1, 1, 1, 2))))
    deviation = np.exp(log_scale) * np.pi / np.sqrt(3)  # of a logistic density
    assert location == 0.5 and deviation == pytest.approx(0.2, rel=0.01)
    made = tf.Variable(np.full((1, 2, 2, 2), -20, np.float32))
    with tf.GradientTape() as tape:
        log_scale = LogisticParameters()(made)[..., 1]
    assert SMALLEST - 1e-5 <= np.min(log_scale) < SMALLEST + 0.01
    assert np.all(tape.gradient(log_scale, made)[..., 1] > 0)


def test_images_are_compared_with_latents_some_at_a_time(monkeypatch):
    random = np.random.default_rng(0)
    features = tf.constant(random.integers(0, 256, (5, 12)) / 255, tf.float32)
    natural = tf.constant(random.uniform(-1, 1, (21, 24)), tf.float32)
    whole = log_prob_of_levels(features, *tf.split(natural[:, None], 2, axis=-1))
    monkeypatch.setattr(discretized_logistic, "_VALUES_AT_ONCE", 200)
    found = discretized_logistic._sums.python_function(features, natural)
    np.testing.assert_allclose(found, np.sum(whole, axis=-1).T, rtol=1e-5)


def test_mean_is_that_of_the_levels():
    expected = np.exp(_log_probs(PARAMETERS[..., 0], PARAMETERS[..., 1])) @ LEVELS
    outputs = PARAMETERS.reshape(-1, 1, 1, 2).astype(np.float32)
    away = np.abs(np.ravel(discretized_logistic.mean(outputs)) - expected)
    is_wide = PARAMETERS[:, 0, 1] > -5
    assert away[is_wide].max() < 2e-5 and away.max() < 0.5 / 255  # narrow ones are where they are
