import itertools

import numpy as np
import tensorflow as tf

from cvae_tf.core.randomness import Stream, stream_seed


def test_the_same_use_has_the_same_seed():
    first, again = (stream_seed(5, Stream.DATA_ORDER, 7).numpy() for _ in range(2))
    assert first.dtype == np.int32 and first.shape == (2,)
    np.testing.assert_array_equal(first, again)


def test_every_seed_stream_and_index_has_seeds_of_its_own():
    uses = itertools.product(range(8), Stream, range(8))
    seeds = [tuple(stream_seed(seed, stream, index).numpy()) for seed, stream, index in uses]
    assert len(set(seeds)) == len(seeds) == 8 * len(Stream) * 8


def test_the_first_use_is_index_zero():
    left, right = stream_seed(3, Stream.PICTURES), stream_seed(3, Stream.PICTURES, 0)
    np.testing.assert_array_equal(left, right)


def test_tensors_of_any_integer_type_and_numbers_agree():
    expected = stream_seed(9, Stream.TRAINING_NOISE, 123).numpy()
    for dtype in (tf.int32, tf.int64):
        index = tf.constant(123, dtype)
        seed = tf.function(stream_seed)(tf.constant(9, dtype), Stream.TRAINING_NOISE, index)
        np.testing.assert_array_equal(seed, expected)


def test_the_largest_seed_is_taken():
    assert stream_seed(2**31 - 1, Stream.DATA_ORDER).shape == (2,)


def test_noise_of_different_steps_is_not_correlated():
    seeds = [stream_seed(0, Stream.TRAINING_NOISE, step) for step in range(20)]
    noise = np.stack([tf.random.stateless_normal([5000], seed) for seed in seeds])
    correlations = np.corrcoef(noise) - np.eye(20)
    assert np.abs(correlations).max() < 5 / np.sqrt(5000)
