"""Losses of a GAN and their penalties, against NumPy, finite differences and closed forms."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf import registry
from cvae_tf.models.gan import losses

REAL = np.array([-30.0, -1.5, 0.0, 0.4, 3.0, 40.0])
DRAWN = np.array([25.0, 2.0, 0.0, -0.3, -1.0, -50.0])


def _sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def test_the_classic_losses_are_logarithms_of_probabilities():
    own = losses.NON_SATURATING
    with np.errstate(over="ignore"):
        expected = -np.log(_sigmoid(REAL)) - np.log(_sigmoid(-DRAWN))
        np.testing.assert_allclose(
            own.discriminator(tf.constant(REAL), tf.constant(DRAWN)),
            expected,
            rtol=1e-6,
            atol=1e-15,
        )
        np.testing.assert_allclose(
            own.generator(tf.constant(DRAWN)), -np.log(_sigmoid(DRAWN)), rtol=1e-6, atol=1e-15
        )


def test_hinge_and_wasserstein():
    real, drawn = tf.constant(REAL), tf.constant(DRAWN)
    np.testing.assert_allclose(
        losses.HINGE.discriminator(real, drawn),
        np.maximum(0, 1 - REAL) + np.maximum(0, 1 + DRAWN),
    )
    np.testing.assert_allclose(losses.WGAN_GP.discriminator(real, drawn), DRAWN - REAL)
    for loss in (losses.HINGE, losses.WGAN_GP):
        np.testing.assert_allclose(loss.generator(drawn), -DRAWN)


@pytest.mark.parametrize("name", list(registry.GAN_LOSSES))
def test_a_better_discriminator_loses_less_and_a_better_generator_too(name):
    loss = registry.GAN_LOSSES.load(name)
    sure, unsure = (tf.constant([value]) for value in (0.9, 0.1))
    assert loss.discriminator(sure, -sure) < loss.discriminator(unsure, -unsure)
    assert loss.generator(sure) < loss.generator(unsure)


def _judge(images):
    """A smooth function of each image, with no gradient of length one."""
    flat = tf.reshape(images, [tf.shape(images)[0], -1])
    weights = tf.constant(np.linspace(-1, 2, 12), flat.dtype)
    return tf.sin(tf.linalg.matvec(flat, weights)) + tf.reduce_sum(flat**3, axis=1)


def _finite_differences(images, step=1e-5):
    gradients = np.zeros_like(images)
    for index in np.ndindex(images.shape[1:]):
        moved = images.copy()
        moved[(slice(None), *index)] += step
        back = images.copy()
        back[(slice(None), *index)] -= step
        gradients[(slice(None), *index)] = (_judge(moved) - _judge(back)) / (2 * step)
    return gradients


def test_r1_is_half_the_squared_gradient_at_real_images():
    images = np.random.default_rng(0).uniform(size=(5, 2, 3, 2))
    squares = np.sum(_finite_differences(images) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(losses.squared_gradients(_judge, tf.constant(images)), squares, 1e-6)
    np.testing.assert_allclose(losses.r1_penalty(_judge, tf.constant(images)), squares.mean() / 2)


def test_the_penalty_of_wasserstein_is_of_norms_between():
    random = np.random.default_rng(1)
    real, drawn = random.uniform(size=(2, 4, 2, 3, 2))
    shares = random.uniform(size=(4, 1, 1, 1))
    norms = np.sqrt(
        np.sum(_finite_differences(shares * real + (1 - shares) * drawn) ** 2, axis=(1, 2, 3))
    )
    found = losses.distance_penalty(_judge, *map(tf.constant, (real, drawn, shares)))
    np.testing.assert_allclose(found, np.mean((norms - 1) ** 2), rtol=1e-6)
