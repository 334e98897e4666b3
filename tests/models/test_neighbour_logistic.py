"""The logistic of neighbours against loops over pixels, and images drawn value by value."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from cvae_tf.models.layers import NeighbourParameters
from cvae_tf.models.vae.likelihoods import NEIGHBOUR_LOGISTIC

HEIGHT, WIDTH = 4, 5
LEVELS = np.arange(256) / 255


def _order(channels):
    """Places of values: even fields of a chessboard, then odd ones; red, green, blue."""
    places = np.ndindex(HEIGHT, WIDTH, channels)
    return sorted(places, key=lambda place: (place[0] + place[1]) % 2)


def _parameters(channels):
    """Of an image, [H, W, P]; hardly anything lies beyond black and white."""
    random, shape = np.random.default_rng(channels), (HEIGHT, WIDTH, channels)
    location = random.uniform(0.4, 0.6, shape)
    log_scale = np.log(0.02) + random.normal(scale=0.3, size=shape)
    shares = random.normal(scale=0.5, size=(HEIGHT, WIDTH, channels * (channels + 1) // 2))
    return np.concatenate([location, log_scale, shares], axis=-1)


def _distribution(images, parameters, row, column, channel):
    """Probabilities of the levels of a value, [256, N], given images [H, W, C, N] before it."""
    channels, own, rest = images.shape[2], parameters[row, column], []
    beside = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    beside = [images[r, c] - 0.5 for r, c in beside if 0 <= r < HEIGHT and 0 <= c < WIDTH]
    beside = beside if (row + column) % 2 else []
    for number in range(channel + 1):
        near = own[2 * channels + number] * np.mean(beside, axis=0)[number] if beside else 0.0
        rest.append(images[row, column, number] - 0.5 - near)
    first = 3 * channels + channel * (channel - 1) // 2
    location = own[channel] + near + sum(own[first + e] * rest[e] for e in range(channel))
    borders = np.array([-np.inf, *(np.arange(0.5, 255) / 255), np.inf])[:, None]
    return np.diff(expit((borders - location) / np.exp(own[channels + channel])), axis=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_value_has_its_mass_given_those_before_it_whatever_comes_after(channels):
    random, parameters = np.random.default_rng(0), _parameters(channels)
    image = random.integers(0, 256, (HEIGHT, WIDTH, channels)) / 255
    outputs, order, total = np.tile(parameters, (256, 1, 1, 1)), _order(channels), 0.0
    tried = np.tile(image, (256, 1, 1, 1))
    for number, place in enumerate(order):
        for later in order[number:]:
            tried[:, *later] = random.integers(0, 256, 256) / 255
        tried[:, *place] = LEVELS
        found = np.array(NEIGHBOUR_LOGISTIC.log_prob_of_values(tried, outputs))[:, *place]
        expected = _distribution(image[..., None], parameters, *place)[:, 0]
        assert np.exp(found).sum() == pytest.approx(1, abs=1e-9), place
        np.testing.assert_allclose(np.exp(found), expected, rtol=1e-6, atol=1e-12)
        tried[:, *place] = image[place]
        total += found[np.rint(255 * image[place]).astype(int)]
    assert float(NEIGHBOUR_LOGISTIC.log_prob(image[None], parameters[None])[0]) == pytest.approx(
        total
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_is_that_of_images_drawn_value_by_value(channels):
    random, parameters, num = np.random.default_rng(1), _parameters(channels), 20_000
    images = np.zeros((HEIGHT, WIDTH, channels, num))
    for place in _order(channels):
        below = _distribution(images, parameters, *place).cumsum(axis=0)
        images[place] = (below < random.uniform(size=num)).sum(axis=0) / 255
    error = images.std(axis=-1) / np.sqrt(num)
    found = np.array(NEIGHBOUR_LOGISTIC.mean(parameters[None]))[0]
    np.testing.assert_array_less(np.abs(found - images.mean(axis=-1)), 5 * error + 0.5 / 255)


def test_whatever_a_decoder_makes_is_finite_and_so_is_its_gradient():
    large = np.random.default_rng(2).choice(np.float32([-1e30, -1e4, 0, 80, 1e30]), (9, 4, 5, 12))
    given, images = tf.constant(large), tf.constant(np.rint(np.abs(np.sin(large[..., :3]))))
    with tf.GradientTape() as tape:
        tape.watch(given)
        outputs = NeighbourParameters()(given)
        values = NEIGHBOUR_LOGISTIC.log_prob_of_values(images, outputs)
    assert np.isfinite(values).all() and np.isfinite(tape.gradient(values, given)).all()
    means = NEIGHBOUR_LOGISTIC.mean(outputs).numpy()
    assert np.all((means >= 0) & (means <= 1))
