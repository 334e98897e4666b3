"""Keras as another project has set it up is refused in a line or has no effect; quiet imports."""

import contextlib
import os
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import run_script, tiny_cvae

from cvae_tf import distances
from cvae_tf.config import Config
from cvae_tf.core import tensorflow_setup
from cvae_tf.core.errors import UserError
from cvae_tf.models.networks import build_gan_networks
from cvae_tf.training import building


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('{"backend": "torch"}', "names the backend torch; cvae-tf takes t"),
        ('{"backend": "tensorflow", "floatx": "float64"}', ""),
        ("{no json", ""),  # Keras takes its own settings then
    ],
)
def test_what_another_project_wrote_for_keras(tmp_path, monkeypatch, capsys, text, warning):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "")  # which puts back at the end what there is now
    monkeypatch.delenv("KERAS_BACKEND")
    (tmp_path / "keras.json").write_text(text)
    tensorflow_setup.prepare_keras()
    said = capsys.readouterr().err
    assert warning in said and said.count("\n") == bool(warning)
    assert os.environ.get("KERAS_BACKEND") == ("tensorflow" if warning else None)


def test_another_backend_that_is_there_or_asked_for_is_refused_in_a_line(tmp_path, monkeypatch):
    tensorflow_setup.check_backend()
    there = SimpleNamespace(config=SimpleNamespace(backend=lambda: "torch"))
    monkeypatch.setitem(sys.modules, "keras", there)
    with pytest.raises(UserError, match="Keras' backend is torch here, and cvae-tf needs tensor"):
        tensorflow_setup.check_backend()
    done = run_script("train.py", "--dataset=digits", cwd=tmp_path, KERAS_BACKEND="jax")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: Keras' backend is jax here")


def test_messages_are_held_back_unless_the_import_fails(capfd):
    with tensorflow_setup.held_back():
        os.write(2, b"chatter")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), tensorflow_setup.held_back():
        os.write(2, b"the reason")
        raise ImportError
    assert capfd.readouterr().err == "the reason"


ODD = ("float16", "channels_first", "mixed_float16")


def _settings():
    config = keras.config
    return config.floatx(), config.image_data_format(), config.dtype_policy().name


@contextlib.contextmanager
def _odd(*values):
    """Within it, Keras is as another project has set it up."""
    before = _settings()
    tensorflow_setup._set_keras(*values or ODD)
    try:
        yield
    finally:
        tensorflow_setup._set_keras(*before)


def _built_and_learned():
    """The variables of a model and its optimizer after a step, what it measures, and features."""
    config = Config.create(network="patches", conditional=True, optimizer="rmsprop")
    images, labels = np.random.default_rng(0).uniform(size=(8, 8, 8, 1)), np.arange(8) % 2
    model = building.build_model(config, images.shape[1:], 8, 2)
    grey = tf.constant(images, tf.float32)
    measured = model.train_step((grey, tf.constant(labels)))
    network = distances.build_classifier((8, 8, 1), 2)
    learner = distances._learner(network, 2).optimizer.variables
    features = [*network(grey), distances.build_random((8, 8, 1))(grey)]
    features.append(build_gan_networks("sub_pixel", (8, 8, 1), 2, seed=0).discriminator(grey))
    return [*model.variables, *model.optimizer.variables, *measured.values(), *learner, *features]


def test_what_is_built_and_learned_is_the_same_to_the_last_bit():
    usual = _built_and_learned()
    with _odd():
        odd, after = _built_and_learned(), _settings()
    assert after == ODD
    for one, other in zip(usual, odd, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_images_given_to_a_model_are_neither_rounded_nor_refused():
    """Keras rounds what it is given, or gives float64 to a step, if it was told so."""
    images = np.random.default_rng(0).uniform(size=(4, 6, 6, 1)).astype(np.float32)
    models, histories = [tiny_cvae(binarize="none") for _ in range(2)], []
    usual = models[0](images)
    with _odd():
        np.testing.assert_array_equal(models[0](images), usual)
    for model, floatx in zip(models, ("float32", "float64"), strict=True):
        model.run_eagerly = True
        with _odd(floatx, "channels_last", "float32"):
            histories.append(model.fit(images, batch_size=4, verbose=0, shuffle=False).history)
    assert histories[0] == histories[1]
