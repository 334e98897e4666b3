import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import binary_images, tiny_cvae, weights_of

from cvae_tf.training.averaged_weights import averaged, take_averages
from cvae_tf.training.optimizers import build_optimizer

DECAY = 0.8


@pytest.fixture
def learned():
    """A model after five steps, and the averages of its weights by the formula."""
    model = tiny_cvae(optimizer=build_optimizer(1e-2, ema=DECAY))
    images, average = tf.constant(binary_images(16)), None
    for _ in range(5):
        model.train_step(images)
        weights = weights_of(model)
        average = weights if average is None else [
            DECAY * old + (1 - DECAY) * new for old, new in zip(average, weights, strict=True)
        ]  # fmt: skip
    return model, average


def _assert_weights(model, expected):
    for weight, value in zip(weights_of(model), expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol=1e-5, atol=1e-6)


def test_within_it_the_weights_are_their_averages_and_then_as_before(learned):
    model, average = learned
    before = weights_of(model)
    with averaged(model):
        _assert_weights(model, average)
        with averaged(model):
            _assert_weights(model, average)
        _assert_weights(model, average)
    for weight, value in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert np.abs(before[0] - average[0]).max() > 1e-4


def test_weights_come_back_also_after_an_error(learned):
    model, _ = learned
    before = weights_of(model)
    with pytest.raises(KeyboardInterrupt), averaged(model):
        raise KeyboardInterrupt
    for weight, value in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_averages_can_be_taken_for_good(learned):
    model, average = learned
    take_averages(model)
    _assert_weights(model, average)


@pytest.mark.parametrize("optimizer", [build_optimizer(1e-2, ema=DECAY), keras.optimizers.SGD()])
def test_without_a_step_or_without_averages_nothing_changes(optimizer):
    model = tiny_cvae(optimizer=optimizer)
    before = weights_of(model)
    with averaged(model):
        take_averages(model)
        for weight, value in zip(weights_of(model), before, strict=True):
            np.testing.assert_array_equal(weight, value)
