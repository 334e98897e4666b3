import itertools
import statistics

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.core import randomness
from cvae_tf.core.randomness import Purpose, derived_key


def test_the_same_use_has_the_same_seed():
    first, again = (derived_key(5, Purpose.DATA_ORDER, 7).numpy() for _ in range(2))
    assert first.dtype == np.int32 and first.shape == (2,)
    np.testing.assert_array_equal(first, again)


def test_every_seed_stream_and_index_has_seeds_of_its_own():
    uses = itertools.product(range(8), Purpose, range(8))
    seeds = [tuple(derived_key(seed, stream, index).numpy()) for seed, stream, index in uses]
    assert len(set(seeds)) == len(seeds) == 8 * len(Purpose) * 8


def test_the_first_use_is_index_zero():
    left, right = derived_key(3, Purpose.PICTURES), derived_key(3, Purpose.PICTURES, 0)
    np.testing.assert_array_equal(left, right)


def test_tensors_of_any_integer_type_and_numbers_agree():
    expected = derived_key(9, Purpose.TRAINING_NOISE, 123).numpy()
    for dtype in (tf.int32, tf.int64):
        index = tf.constant(123, dtype)
        seed = tf.function(derived_key)(tf.constant(9, dtype), Purpose.TRAINING_NOISE, index)
        np.testing.assert_array_equal(seed, expected)


def test_the_largest_seed_is_taken():
    assert derived_key(2**31 - 1, Purpose.DATA_ORDER).shape == (2,)


def test_noise_of_different_steps_is_not_correlated():
    seeds = [derived_key(0, Purpose.TRAINING_NOISE, step) for step in range(20)]
    noise = np.stack([tf.random.stateless_normal([5000], seed) for seed in seeds])
    correlations = np.corrcoef(noise) - np.eye(20)
    assert np.abs(correlations).max() < 5 / np.sqrt(5000)


def test_a_pair_of_numbers_is_a_seed_too():
    keys = [derived_key(tf.constant(pair), Purpose.SAMPLES).numpy() for pair in ([1, 2], [1, 3])]
    assert keys[0].shape == (2,) and np.any(keys[0] != keys[1])


@pytest.mark.parametrize("draw", [randomness.normal_of_images, randomness.uniform_of_images])
@pytest.mark.parametrize("width", [1, 2, 4, 7])
def test_numbers_of_an_image_depend_on_its_number_alone(draw, width):
    key = derived_key(3, Purpose.EVALUATION_NOISE)
    together = draw(key, 0, 50, width).numpy()
    in_graph = tf.function(draw)
    for first, num in ((0, 7), (7, 43), (49, 1)):
        np.testing.assert_array_equal(draw(key, first, num, width), together[first : first + num])
        part = in_graph(key, tf.constant(first), tf.constant(num), width)
        np.testing.assert_array_equal(part, together[first : first + num])
    assert len(np.unique(together)) == together.size


def test_numbers_of_images_have_the_distributions_they_are_named_after():
    key = derived_key(4, Purpose.EVALUATION_NOISE)
    normal = np.sort(randomness.normal_of_images(key, 10, 20_000, 3).numpy().ravel())
    uniform = np.sort(randomness.uniform_of_images(key, 10, 20_000, 3).numpy().ravel())
    shares = (np.arange(60_000) + 0.5) / 60_000
    of_normal = np.array([statistics.NormalDist().cdf(x) for x in normal[::50]])
    assert np.abs(of_normal - shares[::50]).max() < 2 / np.sqrt(60_000)  # Kolmogorov-Smirnov
    assert np.abs(uniform - shares).max() < 2 / np.sqrt(60_000)


def test_samples_of_images_are_those_of_their_numbers():
    key = derived_key(5, Purpose.EVALUATION_NOISE)
    whole = randomness.normal_of_samples(key, 0, 6, 2, 0, 5).numpy().reshape(5, 6, 2)
    part = randomness.normal_of_samples(key, 2, 3, 2, 1, 4).numpy().reshape(4, 3, 2)
    np.testing.assert_array_equal(part, whole[1:, 2:5])
    assert len(np.unique(whole)) == whole.size


def test_numpy_draws_other_numbers_for_every_purpose():
    draws = [randomness.numpy_generator(1, purpose).random(4).tolist() for purpose in Purpose]
    assert len({tuple(draw) for draw in draws}) == len(Purpose)
    assert randomness.numpy_generator(1, Purpose.SCORES).random(4).tolist() in draws


def test_layers_get_seeds_by_their_names():
    seeds = [
        randomness.layer_seed(seed, network, layer)
        for seed in (0, 1, 2**31 - 1)
        for network in ("encoder", "decoder")
        for layer in ("conv_1", "conv_2", "dense")
    ]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**31 for seed in seeds)
    assert randomness.layer_seed(1, "encoder", "conv_2") == seeds[7]
