import keras
import numpy as np
import tensorflow as tf

from cvae_tf.models.dropout import seed_dropout
from cvae_tf.models.networks.building import Options, build_networks

KEY = tf.constant([3, 4])
ONES = np.ones((50, 40), np.float32)


def _network():
    layers = [keras.layers.Dropout(0.25, seed=0, name=name) for name in ("one", "two")]
    inputs = keras.Input((40,))
    return keras.Model(inputs, [layer(inputs) for layer in layers])


def _masks(network, key):
    seed_dropout([network], key)
    return [np.asarray(part) for part in network(ONES, training=True)]


def test_masks_follow_from_the_key_alone():
    network = _network()
    first, again = _masks(network, KEY), _masks(network, KEY)
    for mask, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(mask, same)
    other = _masks(network, tf.constant([3, 5]))
    assert np.any(first[0] != other[0])


def test_each_layer_drops_features_of_its_own():
    one, two = _masks(_network(), KEY)
    for mask in (one, two):
        assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.75)}
        assert 0.2 < np.mean(mask == 0) < 0.3
    assert 0.2 < np.mean((one == 0) != (two == 0)) < 0.5


def test_nothing_is_dropped_outside_training():
    for part in _network()(ONES):
        np.testing.assert_array_equal(part, ONES)


def test_networks_have_dropout_where_it_is_asked_for():
    with_it = build_networks("mlp", (8, 8, 1), 2, seed=0, options=Options(dropout=0.5))
    without = build_networks("mlp", (8, 8, 1), 2, seed=0)
    counts = [
        sum(isinstance(layer, keras.layers.Dropout) for layer in network.layers)
        for network in (*with_it, *without)
    ]
    assert counts == [1, 1, 0, 0]
