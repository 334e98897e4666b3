"""Noise is a pure function of (seed, purpose, step or image); uses never share a key."""

import itertools
import statistics

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.core import randomness
from cvae_tf.core.randomness import Purpose, derived_key

PURPOSES = Purpose.__members__.values()  # also those that were one number under two names


def test_a_use_has_always_the_same_key_and_shares_it_with_no_other():
    uses = list(itertools.product((0, 1, 2, 2**31 - 1), PURPOSES, range(4)))
    keys = [derived_key(*use).numpy() for use in uses]
    assert {(key.dtype, key.shape) for key in keys} == {(np.dtype("int32"), (2,))}
    assert len({tuple(key) for key in keys}) == len(uses)
    np.testing.assert_array_equal(derived_key(*uses[0][:2]), keys[0])
    seed, purpose, index = uses[-1]
    in_graph = tf.function(derived_key)(tf.constant(seed), purpose, tf.constant(index, tf.int64))
    np.testing.assert_array_equal(in_graph, keys[-1])
    pairs = [derived_key(tf.constant([1, i]), Purpose.SAMPLES) for i in (2, 3)]
    assert pairs[0].shape == (2,) and np.any(pairs[0] != pairs[1])


@pytest.mark.parametrize("draw", [randomness.normal_of_images, randomness.uniform_of_images])
@pytest.mark.parametrize("width", [1, 7])
def test_numbers_of_an_image_depend_on_its_number_alone(draw, width):
    key = derived_key(3, Purpose.EVALUATION_NOISE)
    together, in_graph = draw(key, 0, 50, width).numpy(), tf.function(draw)
    for first, num in ((0, 7), (7, 43), (49, 1)):
        own = together[first : first + num]
        np.testing.assert_array_equal(draw(key, first, num, width), own)
        part = in_graph(key, tf.constant(first), tf.constant(num), width)
        np.testing.assert_array_equal(part, own)
    assert len(np.unique(together)) == together.size
    whole = randomness.normal_of_samples(key, 0, 6, width, 0, 5).numpy().reshape(5, 6, width)
    part = randomness.normal_of_samples(key, 2, 3, width, 1, 4).numpy().reshape(4, 3, width)
    np.testing.assert_array_equal(part, whole[1:, 2:5])
    assert len(np.unique(whole)) == whole.size


def test_numbers_of_images_have_the_distributions_they_are_named_after():
    key = derived_key(4, Purpose.EVALUATION_NOISE)
    normal = randomness.normal_of_images(key, 10, 5000, 3).numpy().ravel()
    of_normal = np.array([statistics.NormalDist().cdf(x) for x in normal])
    of_uniform = randomness.uniform_of_images(key, 10, 5000, 3).numpy().ravel()
    for shares in (of_normal, of_uniform):
        even = (np.arange(15_000) + 0.5) / 15_000
        assert np.abs(np.sort(shares) - even).max() < 2 / np.sqrt(15_000)  # Kolmogorov-Smirnov


def test_numpy_and_layers_draw_other_numbers_for_every_use():
    uses = list(itertools.product((0, 1), PURPOSES))
    draws = [tuple(randomness.numpy_generator(*use).random(4)) for use in uses]
    assert len(set(draws)) == len(draws)
    assert tuple(randomness.numpy_generator(*uses[5]).random(4)) == draws[5]
    layers = list(itertools.product((0, 1, 2**31 - 1), ("encoder", "decoder"), ("conv", "dense")))
    seeds = [randomness.layer_seed(*layer) for layer in layers]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**31 for seed in seeds)
    assert randomness.layer_seed(*layers[5]) == seeds[5]
