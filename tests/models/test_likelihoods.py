"""Likelihoods of pixels: integrals, means, slopes, information, by plain sums; what pixels are."""

import math

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.models.vae.likelihoods import LIKELIHOODS, Pixels, bernoulli_log_prob

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
