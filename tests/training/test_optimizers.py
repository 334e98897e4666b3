import gc
import math
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tiny_cvae, tiny_images, weights_of

from cvae_tf.training.optimizers import FusedAdam, build_optimizer


def _train(optimizer, steps=30):
    model = tiny_cvae(optimizer=optimizer)
    step = tf.function(model.train_step)
    for number in range(steps):
        step((tiny_images(8, seed=number) > 127).astype(np.float32))
    return model


@pytest.mark.parametrize("weight_decay", [None, 0.1])
def test_fused_adam_is_the_adam_of_keras(weight_decay):
    fused = _train(FusedAdam(0.01, weight_decay=weight_decay))
    of_keras = keras.optimizers.Adam(0.01, weight_decay=weight_decay)
    of_keras.exclude_from_weight_decay(var_names=["bias"])
    of_keras = _train(of_keras)
    for first, second in zip(weights_of(fused), weights_of(of_keras), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=2e-5)
    states = (model.optimizer.variables for model in (fused, of_keras))
    for first, second in zip(*states, strict=True):
        np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-2, atol=1e-4)


def test_first_step_is_the_learning_rate_against_the_sign_of_the_gradient():
    optimizer = build_optimizer(0.25)
    variable = keras.Variable([1.0, 2.0, 3.0], name="kernel")
    optimizer.apply([tf.constant([5.0, -0.01, 0.0])], [variable])
    np.testing.assert_allclose(variable, [0.75, 2.25, 3.0], rtol=1e-4)


def _rates(steps, schedule="cosine", **options):
    schedule = build_optimizer(schedule=schedule, **options)._learning_rate
    return np.array([float(schedule(step)) for step in steps])


def test_constant_rate_stays():
    optimizer = build_optimizer(0.5)
    assert float(optimizer.learning_rate) == 0.5


def test_cosine_warms_up_and_falls_to_0():
    steps = [0, 10, 20, 110, 200]
    rates = _rates(steps, learning_rate=0.4, total_steps=200, warmup_steps=20)
    np.testing.assert_allclose(rates, [0, 0.2, 0.4, 0.2, 0], atol=1e-6)
    middle = _rates([65], learning_rate=0.4, total_steps=200, warmup_steps=20)[0]
    assert middle == pytest.approx(0.2 * (1 + math.cos(math.pi / 4)), rel=1e-5)


def test_warm_up_is_a_tenth_of_short_runs():
    rates = _rates([0, 5, 10, 100], learning_rate=1.0, total_steps=100, warmup_steps=5000)
    np.testing.assert_allclose(rates, [0, 0.5, 1, 0], atol=1e-6)


def test_a_line_falls_in_the_second_half():
    rates = _rates([0, 50, 100, 150, 200], "linear", learning_rate=0.4, total_steps=200)
    np.testing.assert_allclose(rates, [0.4, 0.4, 0.4, 0.26, 0.12], rtol=1e-5)


def test_runs_of_a_few_steps_start_at_the_full_rate():
    rates = _rates([0, 1, 2, 3], learning_rate=1.0, total_steps=3, warmup_steps=200)
    np.testing.assert_allclose(rates, [1, 0.75, 0.25, 0], atol=1e-6)


def test_weight_decay_shrinks_kernels_only():
    pair = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), keras.layers.LayerNormalization()]
    )
    for variable in pair.trainable_variables:
        variable.assign(tf.ones_like(variable))
    optimizer = build_optimizer(0.5, weight_decay=0.1)
    variables = pair.trainable_variables
    optimizer.apply([tf.zeros(variable.shape) for variable in variables], variables)
    values = {variable.name: float(np.mean(variable)) for variable in variables}
    assert values == pytest.approx({"kernel": 0.95, "bias": 1, "gamma": 1, "beta": 1})


@pytest.mark.parametrize(("clip_norm", "length"), [(0.0, 5.0), (2.0, 2.0), (7.0, 5.0)])
def test_long_gradients_are_shortened_together(clip_norm, length):
    """The first moment is a tenth of the gradients that the update has seen."""
    optimizer = build_optimizer(0.1, clip_norm=clip_norm)
    variables = [keras.Variable([0.0], name=name) for name in ("kernel", "other")]
    optimizer.apply([tf.constant([3.0]), tf.constant([4.0])], variables)
    seen = 10 * np.concatenate([moment.numpy() for moment in optimizer._momentums])
    np.testing.assert_allclose(seen, length * np.array([0.6, 0.8]), rtol=1e-5)


def test_optimizer_comes_back_from_its_config():
    optimizer = build_optimizer(0.4, "cosine", total_steps=200, warmup_steps=20)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, FusedAdam)
    assert float(again._learning_rate(10)) == pytest.approx(0.2)


def test_the_graph_of_a_step_is_not_kept():
    optimizer, variable = FusedAdam(0.1), keras.Variable([1.0, 2.0], name="kernel")
    optimizer.build([variable])

    @tf.function
    def step(gradient):
        optimizer.apply([gradient], [variable])

    graph = weakref.ref(step.get_concrete_function(tf.TensorSpec([2])).graph)
    step(tf.constant([0.1, 0.2]))
    del step
    gc.collect()
    assert graph() is None
