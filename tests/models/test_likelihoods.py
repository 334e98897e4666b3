"""Likelihoods of pixels: integrals, means, slopes, information, by plain sums; what pixels are."""

import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from scipy.special import expit

from cvae_tf.models.vae.levels import discretized_logistic_log_prob as log_prob
from cvae_tf.models.vae.levels import discretized_logistic_mean, log_prob_of_levels
from cvae_tf.models.vae.likelihoods import (
    DISCRETIZED_LOGISTIC,
    LIKELIHOODS,
    NEIGHBOUR_LOGISTIC,
    Pixels,
    bernoulli_log_prob,
)

NAMES = list(LIKELIHOODS)


def _outputs(name, logit, logvar=-1.2):
    """Parameters of one pixel, [1, 1, 1, P]."""
    values = [logit, logvar, 0.3][: LIKELIHOODS[name].num_parameters(1)]
    return np.array(values, np.float64).reshape(1, 1, 1, -1)


def _density(name, grey, outputs):
    images = grey.reshape(-1, 1, 1, 1)
    tiled = np.tile(outputs, (len(grey), 1, 1, 1))
    return np.exp(LIKELIHOODS[name].log_prob(tf.constant(images), tf.constant(tiled)))


def _nodes(name, num):
    """Where a density is summed up, and the weights of the trapezoidal rule."""
    grey, step = np.linspace(*((-8, 9) if name == "gaussian" else (0, 1)), num, retstep=True)
    weights = np.full_like(grey, step)
    weights[[0, -1]] /= 2
    return grey, weights


LOGITS = (-30.0, -2.0, -0.11, -0.09, 0.0, 0.05, 3.0, 50.0)


@pytest.mark.parametrize("name", NAMES)
def test_densities_of_grey_levels_integrate_to_1_with_the_mean_they_name(name):
    grey, weights = _nodes(name, 200_001)
    is_density = abs(_density(name, grey, _outputs(name, 2.0)) @ weights - 1) < 1e-3
    assert LIKELIHOODS[name].is_density == is_density
    for logit in LOGITS if is_density else ():
        outputs = _outputs(name, logit)
        density = _density(name, grey, outputs) * weights
        assert density.sum() == pytest.approx(1, abs=1e-6), logit
        mean = float(np.ravel(LIKELIHOODS[name].mean(outputs))[0])
        assert mean == pytest.approx(density @ grey, abs=1e-5), logit
        if name == "gaussian":
            assert density @ (grey - mean) ** 2 == pytest.approx(math.exp(-1.2))


def test_bernoulli_probabilities_of_all_images_sum_to_1_and_the_mean_is_that_of_white():
    images = ((np.arange(256)[:, None] >> np.arange(8)) & 1).reshape(256, 2, 4, 1).astype(float)
    logits = np.tile(np.random.default_rng(2).normal(size=(1, 2, 4, 1)), (256, 1, 1, 1))
    probabilities = np.exp(bernoulli_log_prob(images, logits))
    assert probabilities.sum() == pytest.approx(1, rel=1e-12)
    mean = np.tensordot(probabilities, images, 1)
    np.testing.assert_allclose(LIKELIHOODS["bernoulli"].mean(logits[0]), mean, rtol=1e-9)
    images, extreme = (
        np.float32(each).reshape(4, 1, 1, 1) for each in ([0, 1] * 2, [-1e4, 1e4, 1e4, -1e4])
    )
    np.testing.assert_allclose(bernoulli_log_prob(images, extreme), [0, 0, -1e4, -1e4])


@pytest.mark.parametrize("name", NAMES)
def test_gradients_agree_with_finite_differences(name):
    image = tf.constant([[[[1.0 if name == "bernoulli" else 0.3]]]], tf.float64)
    log_prob = LIKELIHOODS[name].log_prob
    for logit in (-2.0, -0.05, 0.0, 1.5):
        outputs = tf.constant(_outputs(name, logit))
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = log_prob(image, outputs)
        for i, slope in enumerate(tape.gradient(value, outputs).numpy().ravel()):
            shift = np.zeros(outputs.shape)
            shift[..., i] = 1e-5
            ends = [float(log_prob(image, outputs + sign * shift)[0]) for sign in (1, -1)]
            assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-6), logit


@pytest.mark.parametrize("name", NAMES)
def test_all_images_under_all_latents_agree_with_sums_one_by_one(name):
    random, own = np.random.default_rng(3), LIKELIHOODS[name]
    images = random.uniform(size=(5, 4, 3, 2)).astype(np.float32)
    if name == "bernoulli":
        images = np.rint(images)
    num_parameters = 4 if name == "gaussian" else own.num_parameters(2)
    outputs = random.normal(size=(7, 4, 3, num_parameters)).astype(np.float32)
    if name == "gaussian":
        outputs[..., 2:] = outputs[:, :1, :1, 2:3]  # an image has one variance
    together = own.log_prob_of_all(tf.constant(images), tf.constant(outputs))
    for number in range(7):
        tiled = np.tile(outputs[[number]], (5, 1, 1, 1))
        alone = own.log_prob(tf.constant(images), tf.constant(tiled))
        np.testing.assert_allclose(together[:, number], alone, rtol=1e-4, atol=1e-4)
    if own.given_image is not None:
        return
    pixel, parameters = np.full((1, 1, 1, 1), 1.0), _outputs(name, 0.4)
    many = own.log_prob(np.tile(pixel, (1, 6, 5, 1)), np.tile(parameters, (1, 6, 5, 1)))
    assert float(many[0]) == pytest.approx(30 * float(own.log_prob(pixel, parameters)[0]))


@pytest.mark.parametrize("name", [name for name in NAMES if not LIKELIHOODS[name].is_of_levels])
def test_information_is_the_mean_square_of_the_slope(name):
    grey, steps = (np.array([0.0, 1]), np.ones(2)) if name == "bernoulli" else _nodes(name, 200_001)
    for logit in (-9.0, -0.05, 0.0, 30.0):
        outputs, expected = _outputs(name, logit), []
        weights = steps * _density(name, grey, outputs)
        for move in 1e-4 * np.eye(outputs.size).reshape(-1, *outputs.shape):
            ends = [_density(name, grey, outputs + sign * move) for sign in (1, -1)]
            slope = np.log(ends[0] / ends[1]) / 2e-4
            expected.append(np.nansum(weights * np.square(slope)))
        found = LIKELIHOODS[name].information(tf.constant(outputs))
        np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-3, atol=1e-8)


# What a pixel is made of a grey level, and what its likelihood may be called.

KEY = tf.constant([1, 2])
GREY = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1) / 255


def test_grey_levels_above_one_half_are_white_where_nothing_is_drawn():
    expected = [0.0] * 128 + [1.0] * 128
    for found in (Pixels("threshold").binarize(GREY, KEY), Pixels("dynamic").binarize_mode(GREY)):
        np.testing.assert_array_equal(np.ravel(found), expected)
    grey = np.float32([0.5, 0.50001]).reshape(1, 1, 2, 1)
    np.testing.assert_array_equal(np.ravel(Pixels().binarize_mode(grey)), [0, 1])
    np.testing.assert_array_equal(Pixels("none").binarize(GREY, KEY), GREY)


def test_drawn_pixels_are_white_with_the_grey_level_as_their_probability():
    grey = np.broadcast_to(np.float32([0.0, 0.1, 0.9, 1.0]), (20_000, 1, 1, 4))
    drawn = Pixels("dynamic").binarize(tf.constant(grey), KEY).numpy()
    np.testing.assert_allclose(drawn.mean(axis=(0, 1, 2)), [0, 0.1, 0.9, 1], atol=0.01)
    assert set(np.unique(drawn)) == {0, 1}


def test_what_is_drawn_for_an_image_depends_on_its_number_and_not_on_its_batch():
    grey = tf.fill([9, 5, 5, 1], 0.4)
    together = Pixels("dynamic").binarize(grey, KEY).numpy()
    for first, last in ((0, 4), (4, 9), (7, 8)):
        own = Pixels("dynamic").binarize(grey[first:last], KEY, first)
        np.testing.assert_array_equal(own, together[first:last])
    assert len(np.unique(together.reshape(9, -1), axis=0)) == 9


def test_cross_entropy_of_grey_levels_is_never_called_a_likelihood():
    grey = Pixels("none", "bernoulli")
    assert not grey.has_likelihood
    for measure in grey.terms.values():
        assert "likelihood" not in measure.name + measure.title and measure.name != "elbo"
    for pixels in (Pixels("threshold"), Pixels("dynamic"), Pixels("none", "gaussian")):
        assert pixels.has_likelihood
        assert [measure.name for measure in pixels.terms.values()] == list(pixels.terms)


# The discretized logistic against SciPy and plain sums.

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


def test_mean_is_that_of_the_levels():
    expected = np.exp(_log_probs(PARAMETERS[..., 0], PARAMETERS[..., 1])) @ LEVELS
    outputs = PARAMETERS.reshape(-1, 1, 1, 2).astype(np.float32)
    away = np.abs(np.ravel(discretized_logistic_mean(outputs)) - expected)
    is_wide = PARAMETERS[:, 0, 1] > -5
    assert away[is_wide].max() < 2e-5 and away.max() < 0.5 / 255  # narrow ones are where they are


# That of neighbours against loops over pixels, and images drawn value by value.

HEIGHT, WIDTH = 4, 5


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


@pytest.mark.parametrize("likelihood", [DISCRETIZED_LOGISTIC, NEIGHBOUR_LOGISTIC])
def test_whatever_a_decoder_makes_is_finite_and_so_is_its_gradient(likelihood):
    random, large = np.random.default_rng(2), [-1e30, -1e4, 0, 80, 100, 1e4, 1e30]
    given = random.choice(np.float32(large), (9, 8, 5, likelihood.num_parameters(3)))
    images = random.choice(np.float32([0, 1 / 255, 128 / 255, 1]), (9, 8, 5, 3))
    with tf.GradientTape() as tape:
        tape.watch(given := tf.constant(given))
        outputs = likelihood.head()(given)
        values = likelihood.log_prob_of_values(tf.constant(images), outputs)
    assert np.isfinite(values).all() and np.isfinite(tape.gradient(values, given)).all()
    assert np.min(outputs[..., 3:6]) > SMALLEST - 1e-5
    means = np.array(likelihood.mean(outputs))
    assert np.all((means >= 0) & (means <= 1))
