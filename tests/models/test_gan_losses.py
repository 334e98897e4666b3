"""Losses of a GAN and their penalties, against NumPy, finite differences and closed forms."""

import numpy as np
import tensorflow as tf

from cvae_tf.models.gan import losses

REAL = np.array([-30.0, -1.5, 0.0, 0.4, 3.0, 40.0])
DRAWN = np.array([25.0, 2.0, 0.0, -0.3, -1.0, -50.0])


def test_losses_are_those_of_the_papers():
    """Logarithms of probabilities, hinges, and differences of logits."""
    log_real, log_drawn = (-np.logaddexp(0, -logits) for logits in (REAL, DRAWN))
    log_no_drawn = -np.logaddexp(0, DRAWN)
    hinges = np.maximum(0, 1 - REAL) + np.maximum(0, 1 + DRAWN)
    for loss, of_discriminator, of_generator in (
        (losses.NON_SATURATING, -log_real - log_no_drawn, -log_drawn),
        (losses.HINGE, hinges, -DRAWN),
        (losses.WGAN_GP, DRAWN - REAL, -DRAWN),
    ):
        real, drawn = tf.constant(REAL), tf.constant(DRAWN)
        np.testing.assert_allclose(loss.discriminator(real, drawn), of_discriminator, 1e-6, 1e-12)
        np.testing.assert_allclose(loss.generator(drawn), of_generator, 1e-6, 1e-12)


def _judge(images):
    """A smooth function of each image, with no gradient of length one."""
    flat = tf.reshape(images, [tf.shape(images)[0], -1])
    weights = tf.constant(np.linspace(-1, 2, 12), flat.dtype)
    return tf.sin(tf.linalg.matvec(flat, weights)) + tf.reduce_sum(flat**3, axis=1)


def _squared_gradients(images, step=1e-5):
    """By finite differences."""
    squares = np.zeros(len(images))
    for index in np.ndindex(images.shape[1:]):
        move = np.zeros_like(images)
        move[(slice(None), *index)] = step
        squares += ((_judge(images + move) - _judge(images - move)) / (2 * step)).numpy() ** 2
    return squares


def test_penalties_are_of_gradients_at_real_images_and_between_them_and_drawn_ones():
    random = np.random.default_rng(1)
    real, drawn = random.uniform(size=(2, 4, 2, 3, 2))
    squares = _squared_gradients(real)
    np.testing.assert_allclose(losses.squared_gradients(_judge, tf.constant(real)), squares, 1e-6)
    np.testing.assert_allclose(losses.r1_penalty(_judge, tf.constant(real)), squares.mean() / 2)
    shares = random.uniform(size=(4, 1, 1, 1))
    norms = np.sqrt(_squared_gradients(shares * real + (1 - shares) * drawn))
    found = losses.distance_penalty(_judge, *map(tf.constant, (real, drawn, shares)))
    np.testing.assert_allclose(found, np.mean((norms - 1) ** 2), rtol=1e-6)
