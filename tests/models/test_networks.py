"""Networks by name: what they take, how they begin, what they refuse; patches; layers."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import VAE_NETWORKS

from cvae_tf.core.errors import UserError
from cvae_tf.models import layers
from cvae_tf.models.layers import FourierFeatures, ImageLogvar, seed_dropout
from cvae_tf.models.networks import Options, build_networks


def _kernels(pair):
    variables = [variable for network in pair for variable in network.trainable_variables]
    return [variable.numpy() for variable in variables if variable.name == "kernel"]


@pytest.mark.parametrize("name", VAE_NETWORKS)
def test_every_network_begins_by_its_seed_alone_with_layers_that_differ(name):
    """Checkpoints know variables by their names; Keras numbers the layers that have none."""
    keras.utils.set_random_seed(1)
    undisturbed = np.random.uniform()
    keras.utils.set_random_seed(1)
    first, other = (build_networks(name, (28, 28, 1), 3, seed) for seed in (0, 2**31 - 1))
    assert np.random.uniform() == undisturbed
    for model, same in zip(first, other, strict=True):
        paths = [variable.path for variable in model.variables]
        assert paths == [variable.path for variable in same.variables]
        assert len(set(paths)) == len(paths)
    for one, another in zip(_kernels(first), _kernels(other), strict=True):
        assert np.mean(one == another) < 0.01
    # Glorot weights of one seed are the same but for a factor, which correlations do not see.
    beginnings = np.corrcoef([kernel.ravel()[:128] for kernel in _kernels(first)])
    assert np.abs(beginnings - np.eye(len(beginnings))).max() < 0.5
    assert first.encoder(np.zeros((3, 28, 28, 1), np.float32)).shape == (3, 6)
    assert first.decoder(np.zeros((3, 3), np.float32)).shape == (3, 28, 28, 1)


@pytest.mark.parametrize("name", VAE_NETWORKS)
def test_labels_change_what_every_network_says(name):
    networks = build_networks(name, (28, 28, 1), 2, seed=1, num_classes=3)
    images = np.random.default_rng(0).uniform(size=(4, 28, 28, 1)).astype(np.float32)
    labels = np.int32([0, 2, 1, 2])
    for network, given in zip(networks, (images, np.ones((4, 2), np.float32)), strict=True):
        first, other = network([given, labels]), network([given, (labels + 1) % 3])
        assert np.all(np.abs(first - other).reshape(4, -1).max(axis=1) > 1e-4)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("tutorial", (8, 8, 1), "28 x 28 pixels with 1 channel; these images are 8 x 8 with 1"),
        ("patches", (7, 28, 1), "8 to 256 pixels a side; these images are 7 x 28 with 1"),
        ("patches", (28, 28, 2), "1 or 3 channels; these images are 28 x 28 with 2"),
    ],
)
def test_images_that_a_network_cannot_take_are_refused(name, shape, message):
    with pytest.raises(UserError, match=message):
        build_networks(name, shape, latent_dim=2, seed=0)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_precision_is_that_of_the_layers_and_weights_stay_float32(precision):
    before = keras.config.dtype_policy().name
    encoder, _ = build_networks("patches", (28, 28, 1), 2, seed=0, precision=precision)
    assert {layer.dtype_policy.name for layer in encoder.layers[1:]} == {precision}
    assert {variable.dtype for variable in encoder.variables} == {"float32"}
    assert keras.config.dtype_policy().name == before
    copy = layers.copy_for_use(encoder)  # for use
    assert {layer.dtype_policy.name for layer in copy.layers[1:]} == {"float32"}


# The network on patches


def _apply(layers, values):
    for layer in layers:
        values = layer(values)
    return np.asarray(values)


def _image_of(grid, height, width, side, channels):
    """Lays the patches [rows, columns, side * side * channels] out, pixel by pixel."""
    image = np.zeros((height, width, channels))
    for y, x, c in np.ndindex(image.shape):
        image[y, x, c] = grid[y // side, x // side, (y % side * side + x % side) * channels + c]
    return image


@pytest.mark.parametrize(("shape", "side"), [((28, 28, 1), 4), ((9, 256, 3), 32)])
def test_pixels_become_channels_of_their_patch_and_back(shape, side):
    encoder, decoder = build_networks("patches", shape, latent_dim=2, seed=0)
    image = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    before = itertools.takewhile(lambda layer: "conv" not in layer.name, encoder.layers[1:])
    grid = _apply(before, image[None])[0]
    assert grid.shape[:2] == (-(-shape[0] // side), -(-shape[1] // side))
    np.testing.assert_array_equal(_image_of(grid, *shape[:2], side, shape[2]), image)
    assert decoder(np.zeros((2, 2), np.float32)).shape == (2, *shape)
    last = [layer.name for layer in decoder.layers].index("logits")
    np.testing.assert_array_equal(_apply(decoder.layers[last + 1 :], grid[None])[0], image)


# Layers of our own.


def test_fourier_features_are_latents_with_sines_and_cosines():
    layer = FourierFeatures(5, seed=1, of_first=3, variance=2.0)
    inputs = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    found = layer(inputs)
    phases = inputs[:, :3].astype(float) @ layer.kernel.numpy()
    expected = np.hstack([inputs, np.sin(phases), np.cos(phases)])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(FourierFeatures.from_config(layer.get_config())(inputs), found)


def test_image_logvar_is_one_number_for_an_image_with_a_floor_that_it_can_leave():
    outputs = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype(np.float32)
    logits, logvar = np.split(ImageLogvar()(outputs).numpy(), 2, axis=-1)
    np.testing.assert_array_equal(logits, outputs[..., :2])
    means = outputs[..., 2].astype(float).mean(axis=(1, 2))
    expected = -12 + np.log1p(np.exp(12 + 2 * math.log(0.2) + means))
    for image, number in zip(logvar, expected, strict=True):
        np.testing.assert_allclose(image, np.full((5, 6, 2), number), rtol=1e-6)
    lowest = ImageLogvar()(np.full((1, 2, 2, 2), -20, np.float32))[..., 1]
    assert -12 <= np.min(lowest) < -11.9


def test_each_dropout_layer_drops_features_of_its_own_that_follow_from_the_key():
    ones = np.ones((50, 40), np.float32)
    pair = build_networks("mlp", (8, 8, 1), 2, 0, options=Options(dropout=0.25, hidden=(50,)))
    layers = [each for network in pair for each in network.layers if "Dropout" in str(type(each))]
    assert len(layers) == 2

    def masks(key):
        seed_dropout(pair, tf.constant(key))
        return [layer(ones, training=True).numpy() for layer in layers]

    first, again, other = masks([3, 4]), masks([3, 4]), masks([3, 5])
    np.testing.assert_array_equal(first, again)
    assert np.any(first[0] != other[0])
    for mask in first:
        assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.75)}
        assert 0.2 < np.mean(mask == 0) < 0.3
    assert 0.2 < np.mean((first[0] == 0) != (first[1] == 0)) < 0.5
    np.testing.assert_array_equal(layers[0](ones), ones)  # in use


def test_fused_copies_give_the_same_with_weights_of_their_own():
    for network in build_networks("patches", (28, 28, 1), latent_dim=2, seed=0):
        for variable in network.weights:  # gains and shifts are all alike at first
            noise = tf.random.stateless_normal(variable.shape, [1, len(variable.shape)])
            variable.assign_add(0.1 * noise)
        copy = layers.copy_for_use(network)
        for size in (1, 255, 256):
            batch = tf.random.stateless_uniform([size, *network.input_shape[1:]], [3, 4])
            np.testing.assert_allclose(copy(batch), network(batch), rtol=1e-4, atol=1e-5)
        before = copy.get_weights()[0].copy()
        network.weights[0].assign_add(tf.ones_like(network.weights[0]))
        np.testing.assert_array_equal(copy.get_weights()[0], before)
