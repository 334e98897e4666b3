"""The discretized logistic against plain sums, differences of 60 digits, and finite differences."""

import decimal

import numpy as np
import pytest
import tensorflow as tf
from conftest import VAE_NETWORKS

from cvae_tf.config import Config
from cvae_tf.models.layers import LogisticParameters
from cvae_tf.models.vae import discretized_logistic
from cvae_tf.models.vae.discretized_logistic import log_prob, log_prob_of_levels
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.pixels import Pixels

LEVELS = np.arange(256) / 255
SMALLEST = -7 - np.log(2)  # log scale of PixelCNN++, for levels in [0, 1]
PARAMETERS = [
    (location, log_scale)
    for location in (-3.0, 0.0, 0.3137, 0.5, 1.0, 1.7)
    for log_scale in (SMALLEST, -6.0, -3.3, -1.0, 0.5, 4.0)
]


def _log_probs(location, log_scale, dtype=np.float64):
    """Of all levels, [256]."""
    arguments = (np.full(256, value, dtype) for value in (location, log_scale))
    return log_prob_of_levels(tf.constant(LEVELS, dtype), *arguments).numpy()


def _exact(level, location, log_scale):
    """The same of one level, by the difference of two logistic functions with 60 digits."""
    with decimal.localcontext(decimal.Context(prec=2000, Emin=-(10**9), Emax=10**9)):
        location, log_scale = decimal.Decimal(location), decimal.Decimal(log_scale)
        borders = ((level + decimal.Decimal(side)) / 255 for side in ("-0.5", "0.5"))
        below, above = (
            1 / (1 + (-(border - location) / log_scale.exp()).exp()) for border in borders
        )
        if level == 0:
            return float(above.ln())
        return float((1 - below).ln() if level == 255 else (above - below).ln())


@pytest.mark.parametrize(("location", "log_scale"), PARAMETERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_of_the_levels_sum_to_1(location, log_scale, dtype):
    total = np.exp(_log_probs(location, log_scale, dtype).astype(float)).sum()
    assert total == pytest.approx(1, rel=1e-9 if dtype is np.float64 else 1e-4)


@pytest.mark.parametrize("level", [0, 1, 80, 254, 255])
@pytest.mark.parametrize(
    ("location", "log_scale"),
    [(0.3137, -3.3), (0.0, -5.0), (1.25, -2.0), (0.5, SMALLEST), (0.5, 3.0), (-0.5, -4.0)],
)
def test_every_level_has_the_mass_between_its_borders(level, location, log_scale):
    location, log_scale = (float(np.float32(value)) for value in (location, log_scale))
    expected = _exact(level, location, log_scale)
    assert _log_probs(location, log_scale)[level] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    single = _log_probs(location, log_scale, np.float32)[level]
    assert single == pytest.approx(expected, rel=2e-5, abs=1e-6)


def test_levels_are_those_of_uint8_images():
    grey = (np.arange(256, dtype=np.uint8) / np.float32(255)).astype(np.float32)
    shift = np.float32(0.4 / 255)  # as a warp may leave them: the nearest level counts
    location, log_scale = (np.full(256, value, np.float32) for value in (0.4, -3.0))
    found = (
        log_prob_of_levels(tf.constant(x), location, log_scale)
        for x in (grey, grey + shift, grey - shift)
    )
    for values in found:
        np.testing.assert_allclose(values, _log_probs(0.4, -3.0), atol=1e-4)


def test_pixels_and_channels_are_summed_each_with_parameters_of_its_own():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, 4, 5, 3)) / 255
    location, log_scale = random.uniform(size=(2, 3, 4, 5, 3)) * [[[[[1]]]], [[[[-3]]]]]
    found = log_prob(tf.constant(images), tf.constant(np.concatenate([location, log_scale], -1)))
    expected = np.zeros(3)
    for place in np.ndindex(images.shape):
        level = round(255 * images[place])
        expected[place[0]] += _log_probs(location[place], log_scale[place])[level]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("level", [0, 1, 128, 255])
@pytest.mark.parametrize("location", [-0.4, 0.5, 1.1])
@pytest.mark.parametrize("log_scale", [SMALLEST, -4.0, -2.0, -3.239, 0.0, 3.0])
def test_gradients_agree_with_finite_differences(level, location, log_scale):
    parameters = tf.constant([location, log_scale], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        value = log_prob_of_levels(tf.constant(LEVELS[level]), *tf.unstack(parameters))
    for i, slope in enumerate(tape.gradient(value, parameters).numpy()):
        ends = [
            float(log_prob_of_levels(tf.constant(LEVELS[level]), *(parameters + shift)))
            for shift in (1e-6 * np.eye(2)[i], -1e-6 * np.eye(2)[i])
        ]
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("location", [-1e30, -1e4, 0.0, 1e4, 1e30])
@pytest.mark.parametrize("more", [-1e30, -1e4, 0.0, 80.0, 100.0, 1e4, 1e30])
def test_whatever_a_decoder_makes_is_finite_and_so_is_its_gradient(location, more):
    images = tf.constant(np.float32([0, 1 / 255, 128 / 255, 1])[:, None, None, None])
    made = tf.constant(np.full((4, 1, 1, 2), [location, more], np.float32))
    with tf.GradientTape() as tape:
        tape.watch(made)
        outputs = LogisticParameters()(made)
        values = log_prob(images, outputs)
    assert np.isfinite(values).all() and np.isfinite(tape.gradient(values, made)).all()
    means = discretized_logistic.mean(outputs).numpy()
    assert np.all((means >= 0) & (means <= 1))
    if location and more <= 0:  # far away and narrow
        np.testing.assert_allclose(means, np.full((4, 1, 1, 1), location > 0), atol=1e-6)


def test_parameters_begin_wide_about_the_middle_and_have_a_floor_that_they_can_leave():
    location, log_scale = np.moveaxis(LogisticParameters()(np.zeros((1, 1, 1, 2))), -1, 0)
    assert float(location.squeeze()) == 0.5
    deviation = np.exp(float(log_scale.squeeze())) * np.pi / np.sqrt(3)  # of a logistic density
    assert deviation == pytest.approx(0.2, rel=0.01)
    made = tf.Variable(np.full((1, 2, 2, 2), -20, np.float32))
    with tf.GradientTape() as tape:
        log_scale = LogisticParameters()(made)[..., 1]
    assert SMALLEST - 1e-5 <= np.min(log_scale) < SMALLEST + 0.01
    assert np.all(tape.gradient(log_scale, made)[..., 1] > 0)


@pytest.mark.parametrize(("location", "log_scale"), PARAMETERS)
def test_mean_is_that_of_the_levels(location, log_scale):
    expected = np.exp(_log_probs(location, log_scale)) @ LEVELS
    outputs = np.array([location, log_scale], np.float32).reshape(1, 1, 1, 2)
    found = float(np.ravel(discretized_logistic.mean(outputs))[0])
    least = 2e-5 if log_scale > -5 else 0.5 / 255  # of narrow ones, it is where they are
    assert found == pytest.approx(expected, abs=least)


def test_one_value_alone_costs_nothing():
    """Locations beyond black and white: the background of digits needs no precision."""
    assert _log_probs(-0.2, -4.0)[0] > -1e-4 and _log_probs(1.2, -4.0)[255] > -1e-4


@pytest.mark.parametrize(("num_images", "num_latents"), [(1, 300), (40, 21), (300, 3)])
def test_images_are_compared_with_latents_in_little_memory(monkeypatch, num_images, num_latents):
    random, sizes = np.random.default_rng(0), []
    features = tf.constant(random.integers(0, 256, (num_images, 768)) / 255, tf.float32)
    natural = tf.constant(random.uniform(-1, 1, (num_latents, 2 * 768)), tf.float32)
    whole = log_prob_of_levels(features, *tf.split(natural[:, None], 2, axis=-1))

    def watched(*arguments):
        values = log_prob_of_levels(*arguments)
        sizes.append(int(tf.size(values)))
        return values

    monkeypatch.setattr(discretized_logistic, "log_prob_of_levels", watched)
    found = discretized_logistic._sums.python_function(features, natural)
    np.testing.assert_allclose(found, np.sum(whole, axis=-1).T, rtol=1e-5)
    assert len(sizes) > 1 and max(sizes) <= 100_000 + tf.size(features)
    assert len(sizes) <= tf.size(whole) // 100_000 + num_latents // 100 + 3  # no more than needed


def test_bits_are_near_the_entropy_of_what_is_drawn_from_it():
    probabilities = np.exp(_log_probs(0.4, -2.5))
    drawn = np.random.default_rng(0).choice(256, 50_000, p=probabilities / probabilities.sum())
    bits = -_log_probs(0.4, -2.5)[drawn] / np.log(2)
    entropy = -np.sum(probabilities * np.log2(probabilities))
    assert bits.mean() == pytest.approx(entropy, abs=4 * bits.std() / np.sqrt(50_000))


@pytest.mark.parametrize("network", VAE_NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_learns_it(network, channels):
    shape = (28, 28, channels)
    if network == "tutorial" and channels == 3:
        pytest.skip("takes one channel")
    config = Config.create(
        network=network, latent_dim=5, binarize="none", likelihood="discretized_logistic"
    )
    model = CVAE.from_settings(config, shape, steps_per_epoch=1)
    assert model.decode(np.zeros((3, 5), np.float32)).shape == (3, 28, 28, 2 * channels)
    assert model.decode_mean(np.zeros((3, 5), np.float32)).shape == (3, *shape)
    model.compile("adam")
    images = (
        np.random.default_rng(0).integers(0, 256, (8, 7, 7, channels)).repeat(4, 1).repeat(4, 2)
    )
    images = (images / 255).astype(np.float32)
    first = float(model.train_step(tf.constant(images))["log_likelihood"])
    bits = -first / (np.prod(shape) * np.log(2))
    assert 5 < bits < 9.5  # 8 are of no knowledge at all
    for _ in range(3):
        model.reset_metrics()
        last = float(model.train_step(tf.constant(images))["log_likelihood"])
    assert last > first


def test_it_is_a_distribution_of_grey_levels_but_no_density():
    pixels = Pixels("none", "discretized_logistic")
    assert pixels.has_likelihood
    assert pixels.entry.takes_grey and pixels.entry.is_of_levels and not pixels.entry.is_density


@pytest.mark.parametrize("log_scale", [-6.0, -4.0, -2.0])
@pytest.mark.parametrize("location", [-0.2, 0.0, 0.4, 0.99, 1.1])
def test_information_is_nearly_the_mean_square_of_the_slope(location, log_scale):
    move = 1e-6
    weights = np.exp(_log_probs(location, log_scale))
    by_location = _log_probs(location + move, log_scale) - _log_probs(location - move, log_scale)
    by_scale = _log_probs(location, log_scale + move) - _log_probs(location, log_scale - move)
    expected = [weights @ np.square(each / (2 * move)) for each in (by_location, by_scale)]
    outputs = tf.constant(np.array([location, log_scale]).reshape(1, 1, 1, 2))
    of_location, of_scale = np.ravel(discretized_logistic.DISCRETIZED_LOGISTIC.information(outputs))
    np.testing.assert_allclose(
        of_location, expected[0], rtol=0.12, atol=1e-6 * np.exp(-2 * log_scale)
    )
    print("scale", location, log_scale, of_scale, expected[1])
