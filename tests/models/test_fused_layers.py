import keras
import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.models import fused_layers
from cvae_tf.models.networks.building import build_networks


@pytest.fixture(scope="module")
def networks():
    pair = build_networks("patches", (28, 28, 1), latent_dim=2, seed=0)
    for network in pair:
        for variable in network.weights:
            noise = tf.random.stateless_normal(variable.shape, [1, len(variable.shape)])
            variable.assign_add(0.1 * noise)
    return pair


@pytest.mark.parametrize("batch_size", [1, 255, 256, 300])
def test_results_stay_the_same(networks, batch_size):
    copies = [fused_layers.copy(network) for network in networks]
    inputs = [
        tf.random.stateless_uniform([batch_size, *network.input_shape[1:]], [3, 4])
        for network in networks
    ]
    for network, copy, batch in zip(networks, copies, inputs, strict=True):
        np.testing.assert_allclose(copy(batch), network(batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [5, 400])
def test_normalisation_is_that_of_each_vector_alone(batch_size):
    norm = keras.layers.LayerNormalization(epsilon=0.01)
    network = keras.Sequential([keras.Input((6,)), norm])
    gamma, beta = np.random.default_rng(0).normal(size=(2, 6))
    network.set_weights([gamma, beta])
    copy = fused_layers.copy(network)
    vectors = np.random.default_rng(1).normal(3, 2, size=(batch_size, 6))
    deviations = vectors - vectors.mean(axis=1, keepdims=True)
    variances = np.mean(deviations**2, axis=1, keepdims=True)
    expected = gamma * deviations / np.sqrt(variances + 0.01) + beta
    np.testing.assert_allclose(copy(vectors.astype(np.float32)), expected, rtol=1e-4, atol=1e-5)


def test_copies_have_weights_of_their_own(networks):
    copy = fused_layers.copy(networks.decoder)
    before = copy.get_weights()[0].copy()
    original = networks.decoder.weights[0]
    original.assign_add(tf.ones_like(original))
    np.testing.assert_array_equal(copy.get_weights()[0], before)


def test_mixed_precision_becomes_float32_and_stays_close():
    networks = build_networks("patches", (28, 28, 1), 2, seed=0, precision="mixed_bfloat16")
    latents = tf.random.stateless_normal([300, 2], [5, 6])
    copy = fused_layers.copy(networks.decoder)
    np.testing.assert_allclose(
        tf.cast(copy(latents), tf.float32),
        tf.cast(networks.decoder(latents), tf.float32),
        atol=0.1,
    )
    assert copy(latents).dtype == tf.float32
    moved = np.abs(copy(latents + 1e-3) - copy(latents)).mean()
    assert 0 < moved < 0.01  # bfloat16 would not tell the two apart, or by whole steps
