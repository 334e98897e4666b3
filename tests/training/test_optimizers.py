"""Optimizers and their schedules; the averages of weights that they keep."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import binary_images, create_run, tiny_cvae, weights_of

from cvae_tf.config import _OPTIMIZERS, Config
from cvae_tf.core.errors import UserError
from cvae_tf.models.optimizers import OPTIMIZERS, FusedAdam, build_optimizer
from cvae_tf.training import building, checkpoints, run_directory
from cvae_tf.training.trainer import averaged, is_within_averages, take_averages


def _assert_weights(model, expected, rtol=0.0, atol=0.0):
    for weight, value in zip(weights_of(model), expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol, atol)


def test_fused_adam_is_the_adam_of_keras():
    of_keras = keras.optimizers.Adam(0.01, weight_decay=0.1)
    of_keras.exclude_from_weight_decay(var_names=["bias"])
    fused, other = (
        tiny_cvae(optimizer=each) for each in (FusedAdam(0.01, weight_decay=0.1), of_keras)
    )
    for step in range(6):
        fused.train_step(binary_images(8, seed=step))
        other.train_step(binary_images(8, seed=step))
    _assert_weights(fused, weights_of(other), rtol=1e-3, atol=2e-5)
    states = (model.optimizer.variables for model in (fused, other))
    for first, second in zip(*states, strict=True):
        np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-2, atol=1e-4)


COSINE = {"schedule": "cosine", "learning_rate": 0.4, "total_steps": 200, "warmup_steps": 20}
LINE = {"schedule": "linear", "learning_rate": 0.4, "total_steps": 200}
QUARTER = 0.2 * (1 + math.cos(math.pi / 4))


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        (COSINE, {0: 0, 10: 0.2, 20: 0.4, 65: QUARTER, 110: 0.2, 200: 0}),
        ({**COSINE, "total_steps": 100, "warmup_steps": 5000}, {0: 0, 5: 0.2, 10: 0.4, 100: 0}),
        (LINE, {0: 0.4, 50: 0.4, 100: 0.4, 150: 0.26, 200: 0.12}),
    ],
)
def test_the_rate_follows_its_schedule(settings, rates):
    optimizer = build_optimizer(**settings)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    for each in (optimizer, again):
        found = [each._learning_rate(step) for step in rates]
        np.testing.assert_allclose(found, [*rates.values()], atol=1e-6)


@pytest.mark.parametrize(("name", "decay"), [("adam", 0.1), ("adamw", 0.0), ("muon", 0.1)])
def test_weight_decay_shrinks_kernels_only_and_only_if_asked_for(name, decay):
    pair = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), keras.layers.LayerNormalization()]
    )
    variables = pair.trainable_variables
    for variable in variables:
        variable.assign(tf.ones_like(variable))
    optimizer = build_optimizer(0.5, weight_decay=decay, name=name)
    optimizer.apply([tf.zeros(variable.shape) for variable in variables], variables)
    values = {variable.name: float(np.mean(variable)) for variable in variables}
    assert values == pytest.approx({"kernel": 1 - decay / 2, "bias": 1, "gamma": 1, "beta": 1})


def test_every_optimizer_of_keras_is_known_by_its_name_and_descends():
    assert set(OPTIMIZERS) == set(_OPTIMIZERS)
    for name in OPTIMIZERS:
        weight = keras.Variable(np.full((2, 2), 3, np.float32), name="kernel")
        optimizer = build_optimizer(0.1, name=name, clip_norm=1.0, ema=0.9)
        optimizer.apply([tf.ones((2, 2))], [weight])
        assert np.mean(weight) < 3 and not optimizer.weight_decay, name


# Averages

DECAY = 0.8


def test_within_it_the_weights_are_their_averages_and_then_as_before():
    """Also after an error, or Ctrl-C."""
    model, average = tiny_cvae(optimizer=build_optimizer(1e-2, ema=DECAY)), None
    with averaged(model):  # without a step nothing changes
        _assert_weights(model, weights_of(tiny_cvae()))
    for _ in range(5):
        model.train_step(tf.constant(binary_images(16)))
        weights = weights_of(model)
        average = weights if average is None else [
            DECAY * old + (1 - DECAY) * new for old, new in zip(average, weights, strict=True)
        ]  # fmt: skip
    with pytest.raises(KeyboardInterrupt), averaged(model):
        with averaged(model):
            _assert_weights(model, average, 1e-5, 1e-6)
        _assert_weights(model, average, 1e-5, 1e-6)
        assert is_within_averages(model)
        raise KeyboardInterrupt
    assert not is_within_averages(model)
    _assert_weights(model, weights)
    assert np.abs(weights[0] - average[0]).max() > 1e-4
    take_averages(model)
    _assert_weights(model, average, 1e-5, 1e-6)


def test_a_trained_run_has_the_averages_of_its_newest_or_best_epoch(tmp_path, tiny_dataset):
    own = {"network": "mlp", "hidden": "4", "ema": DECAY}
    run = create_run(tmp_path / "run", Config.create(**own), tiny_dataset)
    with pytest.raises(UserError, match="the run has no checkpoint yet"):
        building.load_trained(run.directory)
    model, rows, averages = building.build_model(run.config, (28, 28, 1), 64), [], []
    for epoch, elbo in enumerate([-5.0, -6.0], start=1):
        model.train_step(tf.constant(tiny_dataset.train.images[:8] / np.float32(255)))
        rows = [*rows, {"epoch": epoch, "step": epoch, "test_elbo": elbo}]
        progress = checkpoints.Progress(epoch + 1, 0, rows)
        checkpoints.save_checkpoint(run.checkpoints, model, progress)
        with averaged(model):
            averages.append(weights_of(model))
    for early_stop, step in ((0, 2), (1, 1)):
        run_directory.write_config(run._replace(config=Config.create(**own, early_stop=early_stop)))
        found = building.load_trained(run.directory)
        assert found.metrics == rows[:step] and found.run.config.early_stop == early_stop
        _assert_weights(found.model, averages[step - 1])
