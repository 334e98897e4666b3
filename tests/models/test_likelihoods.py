import math

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf import registry
from cvae_tf.models.vae.likelihoods import bernoulli_log_prob

NAMES = list(registry.LIKELIHOODS)
LIKELIHOODS = {name: registry.LIKELIHOODS.load(name) for name in NAMES}


def _outputs(name, logit, logvar=-1.2):
    """Parameters of one pixel, [1, 1, 1, P]."""
    values = [logit, logvar] if LIKELIHOODS[name].head else [logit]
    return np.array(values, np.float64).reshape(1, 1, 1, -1)


def _density(name, grey, outputs):
    images = grey.reshape(-1, 1, 1, 1)
    tiled = np.tile(outputs, (len(grey), 1, 1, 1))
    return np.exp(LIKELIHOODS[name].log_prob(tf.constant(images), tf.constant(tiled)))


@pytest.mark.parametrize("name", NAMES)
def test_registry_says_which_likelihoods_are_densities_of_grey_levels(name):
    grey, step = np.linspace(-8, 9, 340_001, retstep=True)
    density = _density(name, grey, _outputs(name, 2.0)) * step
    integrals = density.sum(), density[(grey >= 0) & (grey <= 1)].sum()
    is_density = any(abs(integral - 1) < 1e-3 for integral in integrals)
    assert registry.LIKELIHOODS[name].is_density == is_density


@pytest.mark.parametrize("name", NAMES)
def test_likelihoods_say_how_many_channels_they_need(name):
    channels = _outputs(name, 0.0).shape[-1]
    head = LIKELIHOODS[name].head
    made = np.zeros((2, 4, 3, LIKELIHOODS[name].decoder_channels(1)), np.float32)
    assert (head()(made) if head else made).shape == (2, 4, 3, channels)


@pytest.mark.parametrize("logit", [-30.0, -2.0, -0.11, -0.09, -1e-4, 0.0, 0.05, 0.1, 3.0, 50.0])
def test_continuous_bernoulli_integrates_to_1_with_the_mean_it_names(logit):
    grey, step = np.linspace(0, 1, 200_001, retstep=True)
    outputs = _outputs("continuous_bernoulli", logit)
    density = _density("continuous_bernoulli", grey, outputs)
    weights = np.full_like(grey, step)
    weights[[0, -1]] /= 2
    assert density @ weights == pytest.approx(1, abs=1e-6)
    mean = float(np.ravel(LIKELIHOODS["continuous_bernoulli"].mean(outputs))[0])
    assert mean == pytest.approx(density * grey @ weights, abs=1e-5)


def test_gaussian_integrates_to_1_with_the_mean_and_variance_it_names():
    grey, step = np.linspace(-8, 9, 40_001, retstep=True)
    outputs = _outputs("gaussian", logit=0.7)
    weights = _density("gaussian", grey, outputs) * step
    mean = float(np.ravel(LIKELIHOODS["gaussian"].mean(outputs))[0])
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    assert weights @ grey == pytest.approx(mean, abs=1e-9)
    assert mean == pytest.approx(1 / (1 + math.exp(-0.7)))
    assert weights @ (grey - mean) ** 2 == pytest.approx(math.exp(-1.2), rel=1e-9)


def test_cross_entropy_of_grey_levels_integrates_to_less_than_1():
    grey, step = np.linspace(0, 1, 100_001, retstep=True)
    assert _density("bernoulli", grey, _outputs("bernoulli", 2.0)).sum() * step < 0.6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("logit", [-2.0, -0.1, -0.05, 0.0, 0.02, 0.1, 1.5])
def test_gradients_agree_with_finite_differences(name, logit):
    image = tf.constant([[[[1.0 if name == "bernoulli" else 0.3]]]], tf.float64)
    outputs = tf.constant(_outputs(name, logit))
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        value = LIKELIHOODS[name].log_prob(image, outputs)
    gradient = tape.gradient(value, outputs).numpy().ravel()
    for i, slope in enumerate(gradient):
        shift = np.zeros(outputs.shape)
        shift[..., i] = 1e-5
        ends = [LIKELIHOODS[name].log_prob(image, outputs + sign * shift) for sign in (1, -1)]
        assert slope == pytest.approx(float((ends[0] - ends[1])[0]) / 2e-5, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_all_images_under_all_latents_agree_with_one_by_one(name):
    random = np.random.default_rng(3)
    images = random.uniform(size=(5, 4, 3, 2)).astype(np.float32)
    if name == "bernoulli":
        images = np.rint(images)
    outputs = random.normal(size=(7, 4, 3, 4 if LIKELIHOODS[name].head else 2)).astype(np.float32)
    if name == "gaussian":
        outputs[..., 2:] = outputs[:, :1, :1, 2:3]  # an image has one variance
    together = LIKELIHOODS[name].log_prob_of_all(tf.constant(images), tf.constant(outputs))
    for i in range(7):
        own = tf.constant(np.tile(outputs[[i]], (5, 1, 1, 1)))
        alone = LIKELIHOODS[name].log_prob(tf.constant(images), own)
        np.testing.assert_allclose(together[:, i], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_summed_not_averaged(name):
    images, outputs = np.full((1, 1, 1, 1), 1.0), _outputs(name, 0.4)
    one = float(LIKELIHOODS[name].log_prob(images, outputs)[0])
    many = LIKELIHOODS[name].log_prob(np.tile(images, (1, 6, 5, 1)), np.tile(outputs, (1, 6, 5, 1)))
    assert float(many[0]) == pytest.approx(30 * one, rel=1e-9)


def test_logits_of_0_cost_log_2_per_pixel():
    images = np.random.default_rng(0).integers(0, 2, (3, 28, 28, 1)).astype(np.float64)
    value = bernoulli_log_prob(images, np.zeros_like(images))
    np.testing.assert_allclose(value, [-784 * math.log(2)] * 3, rtol=1e-12)


def test_decoder_that_ignores_the_latents_reaches_the_negative_entropy():
    random = np.random.default_rng(1)
    white = random.uniform(0.05, 0.95, (4, 5, 1))
    images = (random.uniform(size=(20_000, 4, 5, 1)) < white).astype(np.float64)
    logits = np.broadcast_to(np.log(white) - np.log1p(-white), images.shape)
    values = np.asarray(bernoulli_log_prob(images, logits))
    entropy = -np.sum(white * np.log(white) + (1 - white) * np.log(1 - white))
    assert abs(values.mean() + entropy) < 4 * values.std() / np.sqrt(len(values))


def test_probabilities_of_all_images_sum_to_1():
    images = ((np.arange(256)[:, None] >> np.arange(8)) & 1).reshape(256, 2, 4, 1).astype(float)
    logits = np.tile(np.random.default_rng(2).normal(size=(1, 2, 4, 1)), (256, 1, 1, 1))
    values = bernoulli_log_prob(images, logits)
    assert np.exp(values).sum() == pytest.approx(1, rel=1e-12)


def test_extreme_logits_stay_finite():
    images = np.array([0, 1, 0, 1], np.float32).reshape(4, 1, 1, 1)
    logits = np.array([-1e4, 1e4, 1e4, -1e4], np.float32).reshape(4, 1, 1, 1)
    values = bernoulli_log_prob(images, logits)
    np.testing.assert_allclose(values, [0, 0, -1e4, -1e4])


@pytest.mark.parametrize("logit", [-9.0, -1.0, -0.05, 0.0, 0.3, 4.0, 30.0])
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("discretized")])
def test_information_is_the_mean_square_of_the_slope(name, logit):
    outputs = _outputs(name, logit)
    if name == "bernoulli":
        grey, weights = np.array([0.0, 1.0]), np.ones(2)
    else:
        ends = (-8, 9) if name == "gaussian" else (0, 1)
        grey, step = np.linspace(*ends, 400_001, retstep=True)
        weights = np.full_like(grey, step)
        weights[[0, -1]] /= 2
    weights = weights * _density(name, grey, outputs)
    expected = []
    for parameter in range(outputs.shape[-1]):
        move = np.zeros_like(outputs)
        move[..., parameter] = 1e-4
        slope = np.log(_density(name, grey, outputs + move) / _density(name, grey, outputs - move))
        expected.append(np.nansum(weights * np.square(slope / 2e-4)))
    found = LIKELIHOODS[name].information(tf.constant(outputs))
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-3, atol=1e-8)
