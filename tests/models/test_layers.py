import math

import numpy as np
import tensorflow as tf

from cvae_tf.models.layers import FourierFeatures, ImageLogvar


def test_fourier_features_are_latents_with_sines_and_cosines():
    layer = FourierFeatures(5, seed=1)
    latents = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    features = layer(latents).numpy()
    phases = latents.astype(float) @ layer.kernel.numpy()
    expected = np.hstack([latents, np.sin(phases), np.cos(phases)])
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_fourier_features_come_back_from_their_config():
    layer = FourierFeatures(5, seed=1)
    again = FourierFeatures.from_config(layer.get_config())
    latents = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(again(latents), layer(latents))


def test_image_logvar_is_one_number_for_an_image():
    outputs = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype(np.float32)
    logits, logvar = np.split(ImageLogvar()(outputs).numpy(), 2, axis=-1)
    np.testing.assert_array_equal(logits, outputs[..., :2])
    means = outputs[..., 2].astype(float).mean(axis=(1, 2))
    expected = -12 + np.log1p(np.exp(12 + 2 * math.log(0.2) + means))
    for image, number in zip(logvar, expected, strict=True):
        np.testing.assert_allclose(image, np.full((5, 6, 2), number), rtol=1e-6)


def test_image_logvar_has_a_floor_that_it_can_leave():
    outputs = tf.Variable(np.full((1, 2, 2, 2), -20, np.float32))
    with tf.GradientTape() as tape:
        logvar = ImageLogvar()(outputs)[..., 1]
    assert -12 <= np.min(logvar) < -11.9
    assert np.all(tape.gradient(logvar, outputs)[..., 1] > 0)
