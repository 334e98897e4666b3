"""Models and what they learn do not depend on what Keras was told for other models."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from cvae_tf import registry
from cvae_tf.config import Config
from cvae_tf.core.usual_keras import usual_settings
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.distances import classifier, random_network
from cvae_tf.models.networks.building import build_gan_networks, build_networks
from cvae_tf.models.vae.model import CVAE
from cvae_tf.training import building

ODD = ("float16", "channels_first", "mixed_float16")


def _settings():
    config = keras.config
    return config.floatx(), config.image_data_format(), config.dtype_policy().name


@contextlib.contextmanager
def _odd():
    """Within it, Keras is as another project has set it up."""
    config, before = keras.config, _settings()
    setters = (config.set_floatx, config.set_image_data_format, config.set_dtype_policy)
    try:
        for set_value, value in zip(setters, ODD, strict=True):
            set_value(value)
        yield
    finally:
        for set_value, value in zip(setters, before, strict=True):
            set_value(value)


def test_settings_are_put_back():
    with _odd():
        with pytest.raises(ZeroDivisionError), usual_settings():
            assert _settings() == ("float32", "channels_last", "float32")
            raise ZeroDivisionError
        assert _settings() == ODD


@pytest.mark.parametrize("name", list(registry.NETWORKS))
def test_layers_say_themselves_that_channels_come_last(name):
    is_pair = name in registry.networks_of(registry.FAMILIES["gan"])
    build = build_gan_networks if is_pair else build_networks
    with _odd():
        networks = build(name, (28, 28, 1), 2, seed=0)
    formats = {
        layer.data_format
        for network in networks
        for layer in network._flatten_layers()
        if hasattr(layer, "data_format")
    }
    assert formats == {"channels_last"}
    dtypes = {variable.dtype for network in networks for variable in network.trainable_variables}
    assert dtypes == {"float32"}


CONFIGS = [
    Config.create("hybrid", conditional=True, optimizer="rmsprop", schedule="constant"),
    Config.create("photo", network="residual"),
    Config.create("gan", conditional=True, spectral_norm=True),
]


def _learned(config, labels):
    """The variables of a model and its optimizer after a step, and what it measures."""
    images = np.random.default_rng(0).uniform(size=(8, 8, 8, 1))
    model = building.build_model(config, images.shape[1:], 8, 2 if config.conditional else 0)
    batch = tf.constant(images, tf.float32), tf.constant(labels)
    measured = model.train_step(batch)
    return model.variables, model.optimizer.variables, measured.values()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.preset)
def test_a_step_is_the_same_to_the_last_bit(config):
    labels = np.arange(8) % 2
    usual = _learned(config, labels)
    with _odd():
        odd = _learned(config, labels)
    for these, those in zip(usual, odd, strict=True):
        for one, other in zip(these, those, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_images_given_to_a_model_are_not_rounded():
    images = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32)
    networks = build_networks("mlp", (8, 8, 1), 2, seed=0)
    usual = CVAE(networks)(images)
    with _odd():
        odd = CVAE(networks)(images)
    np.testing.assert_array_equal(usual, odd)


def test_fit_casts_what_keras_has_cast():
    """Keras gives float64 to a step if it was told to compute so."""
    images = np.random.default_rng(0).integers(0, 2, (8, 8, 8, 1)).astype(np.float32)
    histories = []
    for floatx in ("float32", "float64"):
        before = keras.config.floatx()
        try:
            keras.config.set_floatx(floatx)
            model = building.build_model(Config.create("mlp20", binarize="none"), (8, 8, 1), 8)
            history = model.fit(images, epochs=2, batch_size=4, verbose=0, shuffle=False)
        finally:
            keras.config.set_floatx(before)
        histories.append(history.history)
    assert histories[0] == histories[1]


def test_features_are_the_same():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8)
    split = Split(images, np.arange(4) % 2)
    grey, found = tf.constant(images / 255, tf.float32), []
    for context in (contextlib.nullcontext, _odd):
        with context():
            features = random_network.load(Dataset("toy", "Toy.", split, split)).function(grey)
            network = classifier.build((8, 8, 1), 2)
            learner = classifier._learner(network, 2)
            found.append([features, *network(grey), *learner.optimizer.variables])
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
