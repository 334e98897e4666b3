"""Layers of our own, dropout that follows from a key, and fused layers as plain ones."""

import math

import numpy as np
import tensorflow as tf

from cvae_tf.models import fused_layers
from cvae_tf.models.dropout import seed_dropout
from cvae_tf.models.layers import FourierFeatures, ImageLogvar
from cvae_tf.models.networks.building import Options, build_networks

RANDOM = np.random.default_rng(0)


def test_fourier_features_are_latents_with_sines_and_cosines():
    layer = FourierFeatures(5, seed=1, of_first=3, variance=2.0)
    inputs = RANDOM.normal(size=(4, 5)).astype(np.float32)
    found = layer(inputs)
    phases = inputs[:, :3].astype(float) @ layer.kernel.numpy()
    expected = np.hstack([inputs, np.sin(phases), np.cos(phases)])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(FourierFeatures.from_config(layer.get_config())(inputs), found)


def test_image_logvar_is_one_number_for_an_image_with_a_floor_that_it_can_leave():
    outputs = RANDOM.normal(size=(4, 5, 6, 3)).astype(np.float32)
    logits, logvar = np.split(ImageLogvar()(outputs).numpy(), 2, axis=-1)
    np.testing.assert_array_equal(logits, outputs[..., :2])
    means = outputs[..., 2].astype(float).mean(axis=(1, 2))
    expected = -12 + np.log1p(np.exp(12 + 2 * math.log(0.2) + means))
    for image, number in zip(logvar, expected, strict=True):
        np.testing.assert_allclose(image, np.full((5, 6, 2), number), rtol=1e-6)
    outputs = tf.Variable(np.full((1, 2, 2, 2), -20, np.float32))
    with tf.GradientTape() as tape:
        logvar = ImageLogvar()(outputs)[..., 1]
    assert -12 <= np.min(logvar) < -11.9
    assert np.all(tape.gradient(logvar, outputs)[..., 1] > 0)


def test_each_dropout_layer_drops_features_of_its_own_that_follow_from_the_key():
    options, ones = Options(dropout=0.25, hidden=(50,)), np.ones((50, 40), np.float32)
    pairs = [build_networks("mlp", (8, 8, 1), 2, 0, options=own) for own in (options, Options())]
    layers = [
        [layer for network in pair for layer in network.layers if "Dropout" in str(type(layer))]
        for pair in pairs
    ]
    assert [len(found) for found in layers] == [2, 0]

    def masks(key):
        seed_dropout(pairs[0], tf.constant(key))
        return [layer(ones, training=True).numpy() for layer in layers[0]]

    first, again, other = masks([3, 4]), masks([3, 4]), masks([3, 5])
    np.testing.assert_array_equal(first, again)
    assert np.any(first[0] != other[0])
    for mask in first:
        assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.75)}
        assert 0.2 < np.mean(mask == 0) < 0.3
    assert 0.2 < np.mean((first[0] == 0) != (first[1] == 0)) < 0.5
    np.testing.assert_array_equal(layers[0][0](ones), ones)  # in use


def test_fused_copies_give_the_same_with_weights_of_their_own():
    for network in build_networks("patches", (28, 28, 1), latent_dim=2, seed=0):
        for variable in network.weights:  # gains and shifts are all alike at first
            noise = tf.random.stateless_normal(variable.shape, [1, len(variable.shape)])
            variable.assign_add(0.1 * noise)
        copy = fused_layers.copy(network)
        for size in (1, 255, 256):
            batch = tf.random.stateless_uniform([size, *network.input_shape[1:]], [3, 4])
            np.testing.assert_allclose(copy(batch), network(batch), rtol=1e-4, atol=1e-5)
        before = copy.get_weights()[0].copy()
        network.weights[0].assign_add(tf.ones_like(network.weights[0]))
        np.testing.assert_array_equal(copy.get_weights()[0], before)
