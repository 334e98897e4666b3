"""Keras as another project has set it up is refused in a line or has no effect; quiet imports."""

import contextlib
import os
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import run_script

from cvae_tf import registry
from cvae_tf.config import Config
from cvae_tf.core import keras_import, quiet
from cvae_tf.core.errors import UserError
from cvae_tf.core.usual_keras import usual_settings
from cvae_tf.distances import classifier, random_network
from cvae_tf.models.networks.building import build_gan_networks, build_networks
from cvae_tf.models.vae.model import CVAE
from cvae_tf.training import building


@pytest.mark.parametrize(
    ("text", "reason", "warning"),
    [
        ('{"backend": "torch", "nnx_enabled": true}', None, "names the backend torch; cvae-tf t"),
        ('{"backend": null, "nnx_enabled": true}', None, "names the backend None; cvae-tf takes"),
        ('{"backend": "tensorflow", "floatx": "float64"}', None, None),
        ("{no json", None, None),  # Keras takes its own settings then
        ('{"epsilon": "1e-7"}', "epsilon is '1e-7', not a number such as 1e-07", None),
        ('{"floatx": "bfloat16"}', "floatx is 'bfloat16', not float16 or float32 or", None),
        ('{"image_data_format": []}', "image_data_format is [], not channels_last or", None),
        ("[1]", "it must hold settings by name", None),
        ("[" * 100_000, "recursion", None),
    ],
)
def test_what_another_project_wrote_for_keras(tmp_path, monkeypatch, capsys, text, reason, warning):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("KERAS_BACKEND", "KERAS_NNX_ENABLED"):
        monkeypatch.setenv(name, "")  # which puts back at the end what there is now
        monkeypatch.delenv(name)
    (tmp_path / "keras.json").write_text(text)
    refusal = pytest.raises(UserError, match="keras.json: Keras cannot read its settings .*mend")
    with contextlib.nullcontext() if reason is None else refusal as error:
        keras_import.prepare()
    assert reason is None or reason in str(error.value)
    said = capsys.readouterr().err
    assert warning in said if warning else said == ""
    expected = ("tensorflow", "false") if warning else (None, None)
    found = os.environ.get("KERAS_BACKEND"), os.environ.get("KERAS_NNX_ENABLED")
    assert found == expected


def test_another_backend_that_is_there_or_asked_for_is_refused_in_a_line(tmp_path, monkeypatch):
    keras_import.check_backend()
    there = SimpleNamespace(config=SimpleNamespace(backend=lambda: "torch"))
    monkeypatch.setitem(sys.modules, "keras", there)
    with pytest.raises(UserError, match="Keras' backend is torch here, and cvae-tf needs tensor"):
        keras_import.check_backend()
    done = run_script("train.py", "--dataset=digits", cwd=tmp_path, KERAS_BACKEND="jax")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: Keras' backend is jax here")
    assert "set KERAS_BACKEND=tensorflow before" in done.stderr


def test_messages_are_held_back_unless_the_import_fails(capfd, monkeypatch):
    with quiet.held_back():
        os.write(2, b"chatter")
    assert capfd.readouterr().err == ""
    for text, show in ((b"the reason", True), (b"details", False)):
        with pytest.raises(ImportError), quiet.held_back(show_failure=show):
            os.write(2, text)
            raise ImportError
    with quiet.quiet_import():  # TensorFlow is there already: nothing is held back
        os.write(2, b", and more")
    assert capfd.readouterr().err == "the reason, and more"
    with monkeypatch.context() as patch, pytest.raises(ImportError):
        patch.setattr(os, "dup", lambda handle: os.close(-1))  # stderr is closed
        with quiet.held_back():
            raise ImportError


def _settings():
    config = keras.config
    return config.floatx(), config.image_data_format(), config.dtype_policy().name


@contextlib.contextmanager
def _odd(*values):
    """Within it, Keras is as another project has set it up."""
    config, before = keras.config, _settings()
    setters = (config.set_floatx, config.set_image_data_format, config.set_dtype_policy)
    values = values or ("float16", "channels_first", "mixed_float16")
    try:
        for set_value, value in zip(setters, values, strict=True):
            set_value(value)
        yield
    finally:
        for set_value, value in zip(setters, before, strict=True):
            set_value(value)


def test_settings_are_put_back():
    with _odd():
        with usual_settings():
            assert _settings() == ("float32", "channels_last", "float32")
        assert _settings() == ("float16", "channels_first", "mixed_float16")


@pytest.mark.parametrize("name", list(registry.NETWORKS))
def test_layers_say_themselves_that_channels_come_last(name):
    is_pair = name in registry.networks_of(registry.FAMILIES["gan"])
    with _odd():
        networks = (build_gan_networks if is_pair else build_networks)(name, (28, 28, 1), 2, seed=0)
    layers = [layer for network in networks for layer in network._flatten_layers()]
    formats = {layer.data_format for layer in layers if hasattr(layer, "data_format")}
    assert formats == {"channels_last"}
    assert {weight.dtype for layer in layers for weight in layer.trainable_weights} == {"float32"}


def _learned():
    """The variables of a model and its optimizer after a step, and what it measures."""
    config = Config.create("mlp20", conditional=True, optimizer="rmsprop", hidden="8")
    images, labels = np.random.default_rng(0).uniform(size=(8, 8, 8, 1)), np.arange(8) % 2
    model = building.build_model(config, images.shape[1:], 8, 2)
    measured = model.train_step((tf.constant(images, tf.float32), tf.constant(labels)))
    return [*model.variables, *model.optimizer.variables, *measured.values()]


def _features():
    grey = tf.constant(np.random.default_rng(0).uniform(size=(4, 8, 8, 1)), tf.float32)
    network = classifier.build((8, 8, 1), 2)
    variables = classifier._learner(network, 2).optimizer.variables
    return [random_network.build((8, 8, 1))(grey), *network(grey), *variables]


@pytest.mark.parametrize("learned", [_learned, _features])
def test_what_is_built_and_learned_is_the_same_to_the_last_bit(learned):
    usual = learned()
    with _odd():
        odd = learned()
    for one, other in zip(usual, odd, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_images_given_to_a_model_are_neither_rounded_nor_refused():
    """Keras rounds what it is given, or gives float64 to a step, if it was told so."""
    images = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32)
    model, results, histories = CVAE(build_networks("mlp", (8, 8, 1), 2, seed=0)), [], []
    for context in (contextlib.nullcontext, _odd):
        with context():
            results.append(model(images))
    np.testing.assert_array_equal(*results)
    for floatx in ("float32", "float64"):
        with _odd(floatx, "channels_last", "float32"):
            config = Config.create("mlp20", binarize="none", hidden="8", latent_dim=2)
            model = building.build_model(config, (8, 8, 1), 4)
            model.run_eagerly = True
            histories.append(model.fit(images, batch_size=4, verbose=0, shuffle=False).history)
    assert histories[0] == histories[1]
