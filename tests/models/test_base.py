"""A model of ours as a Keras model: compiled, trained, saved, loaded, without a warning."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import binary_images, tiny_networks, weights_of

from cvae_tf.models.batch_parts import images_of
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.objectives import Objective
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.training.optimizers import build_optimizer

pytestmark = [
    pytest.mark.filterwarnings("error"),
    # Of Keras itself, whenever it saves a variable under NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "ours": lambda: build_optimizer(
        0.02, "cosine", total_steps=30, warmup_steps=3, weight_decay=0.1
    ),
}


@pytest.fixture(params=OPTIMIZERS)
def optimizer(request):
    return OPTIMIZERS[request.param]()


def _compiled(optimizer, **options):
    model = CVAE(tiny_networks(), 5, **options)
    model.compile(optimizer)
    return model


def _fit(model, epochs):
    model.fit(binary_images(20), batch_size=8, epochs=epochs, shuffle=False, verbose=0)


def _assert_same(model, other):
    for first, second in zip(weights_of(model), weights_of(other), strict=True):
        np.testing.assert_array_equal(first, second)
    states = zip(model.optimizer.variables, other.optimizer.variables, strict=True)
    for first, second in states:
        np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_a_saved_and_loaded_model_trains_on_as_without_the_break(tmp_path, optimizer):
    whole = _compiled(optimizer)
    _fit(whole, 2)
    whole.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    _assert_same(whole, loaded)
    _fit(whole, 3)
    _fit(loaded, 3)
    assert int(loaded.optimizer.iterations) == 15
    _assert_same(whole, loaded)


def test_a_model_is_saved_before_its_first_step(tmp_path, optimizer):
    model = _compiled(optimizer)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    _fit(model, 1)
    _fit(loaded, 1)
    _assert_same(model, loaded)


def test_a_model_that_is_not_compiled_is_saved_and_loaded(tmp_path):
    model = CVAE(tiny_networks(), 5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded(binary_images(3)), model(binary_images(3)))


def test_checkpoints_of_keras_hold_all(tmp_path, optimizer):
    model = _compiled(optimizer)
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "model.keras"),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.keras", monitor="val_elbo", mode="max", save_best_only=True
        ),
        keras.callbacks.ModelCheckpoint(tmp_path / "all.weights.h5", save_weights_only=True),
    ]
    images = binary_images(20)
    model.fit(images, epochs=2, validation_data=(images, images), callbacks=callbacks, verbose=0)
    assert (tmp_path / "best.keras").exists()
    _assert_same(model, keras.saving.load_model(tmp_path / "model.keras"))
    fresh = CVAE(tiny_networks(seed=1), 5)
    fresh.compile(type(optimizer).from_config(optimizer.get_config()))
    fresh.load_weights(tmp_path / "all.weights.h5")
    _assert_same(model, fresh)


def test_biases_do_not_decay_after_loading_either(tmp_path):
    model = _compiled(build_optimizer(0.5, weight_decay=0.1))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for variable in loaded.trainable_variables:
        variable.assign(tf.ones_like(variable))
    gradients = [tf.zeros(variable.shape) for variable in loaded.trainable_variables]
    loaded.optimizer.apply(gradients, loaded.trainable_variables)
    for variable in loaded.trainable_variables:
        expected = {"kernel": 0.95, "bias": 1.0}[variable.name]
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)


def test_targets_are_not_looked_at():
    images = binary_images(20)
    ways = [
        lambda model: model.fit(images, batch_size=8, shuffle=False, verbose=0),
        lambda model: model.fit(images, images, batch_size=8, shuffle=False, verbose=0),
        lambda model: model.fit(
            tf.data.Dataset.from_tensor_slices(images).batch(8), shuffle=False, verbose=0
        ),
        lambda model: model.fit(
            tf.data.Dataset.from_tensor_slices((images, np.arange(20))).batch(8),
            shuffle=False,  # which it warns of otherwise, with any model
            verbose=0,
        ),
    ]
    models = [_compiled("adam") for _ in ways]
    for model, way in zip(models, ways, strict=True):
        way(model)
        _assert_same(models[0], model)


def test_sample_weights_are_refused():
    images = tf.constant(binary_images(4))
    with pytest.raises(ValueError, match="sample weights are not known"):
        images_of((images, images, tf.ones([4])))


@pytest.mark.parametrize("name", ["loss", "metrics"])
def test_a_loss_or_a_metric_is_refused(name):
    with pytest.raises(ValueError, match=f"compile it without {name}"):
        CVAE(tiny_networks()).compile("adam", **{name: "mse"})


@pytest.mark.parametrize("objective", [Objective(), Objective("iwae", 3, beta=0.5)])
def test_evaluate_returns_what_the_names_say(objective):
    model = _compiled("adam", objective=objective)
    images = binary_images(20)
    values = model.evaluate(images, images, batch_size=8, verbose=0)
    by_name = model.evaluate(images, batch_size=8, verbose=0, return_dict=True)
    assert dict(zip(model.metrics_names, values, strict=True)) == by_name
    assert by_name["elbo"] == pytest.approx(by_name["log_likelihood"] - by_name["kl"], rel=1e-5)


def test_prediction_takes_arrays_and_data_sets():
    model, images = _compiled("adam"), binary_images(5)
    of_array = model.predict(images, batch_size=2, verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices((images, images)).batch(2)
    np.testing.assert_array_equal(of_array, model.predict(dataset, verbose=0))
    assert of_array.shape == images.shape


def test_xla_is_used_where_it_is_asked_for(tmp_path):
    model = CVAE(tiny_networks(), 5, Pixels())
    used = []
    for options in ({}, {"jit_compile": "auto"}, {"jit_compile": True}, {"jit_compile": False}):
        model.compile("adam", **options)
        used.append(model.jit_compile)
        model.save(tmp_path / "model.keras")
        assert keras.saving.load_model(tmp_path / "model.keras").jit_compile == used[-1]
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    assert used == [False, has_gpu, True, False]
