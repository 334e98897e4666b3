"""Networks for ONNX and LiteRT, each file asked by its own runtime; none that cannot be run."""

import importlib.util
import itertools

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from conftest import METADATA, VAE_NETWORKS

from cvae_tf import registry
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.exporting import litert, onnx_files, writing
from cvae_tf.network_settings import ACTIVATIONS

_FORMATS = ("onnx", "litert")
_SMALL = {"latent_dim": 2, "seed": 3}


def _quick_or_slow(network, activation, format_name):
    """Each network in ONNX, each activation in both, and what is left of all pairs slowly."""
    is_quick = network == "mlp" or (format_name == "onnx" and activation in (None, "gelu"))
    return [] if is_quick else [pytest.mark.slow]


def _cases():
    """Every network with every activation that it can have, in every format."""
    cases = []
    for network, format_name in itertools.product(VAE_NETWORKS, _FORMATS):
        has_activation = "activation" in registry.NETWORKS[network].settings
        for activation in ACTIVATIONS if has_activation else [None]:
            marks = _quick_or_slow(network, activation, format_name)
            cases.append(pytest.param(network, activation, format_name, marks=marks))
    return cases


def _vae(network="mlp", image_shape=(9, 8, 3), num_classes=0, **settings):
    own = registry.NETWORKS[network].settings
    few = {"hidden": "7"} if "hidden" in own else {}
    few |= {"dropout": 0.4} if "dropout" in own else {}
    settings = {"likelihood": "bernoulli", "conditional": num_classes > 0, **few, **settings}
    config = Config.create(network=network, **_SMALL, **settings)
    return registry.FAMILIES.load("vae").from_settings(config, image_shape, 1, num_classes)


def _ask(directory, format_name, name, **batch):
    """What the file of a network answers, by its own runtime."""
    if format_name == "litert":
        interpreter = Interpreter(str(directory / f"{name}.tflite"))
        operations = {detail["op_name"] for detail in interpreter._get_ops_details()}
        assert not {each for each in operations if "Flex" in each or "CUSTOM" in each}
        return interpreter.get_signature_runner()(**batch)
    assert {node.domain for node in onnx.load(directory / f"{name}.onnx").graph.node} <= {""}
    session = onnxruntime.InferenceSession(directory / f"{name}.onnx")
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, batch), strict=True))


def _assert_same_vae(model, directory, format_name, reach=3, **labels):
    """Compares with the model itself, for latents that are so far away."""
    random, (num, classes) = np.random.default_rng(0), (4, labels.get("labels"))
    images = random.uniform(size=(num, *model.image_shape)).astype(np.float32)
    latents = reach * random.normal(size=(num, 2)).astype(np.float32)
    posterior = model.encode(model.pixels.likeliest(images), classes)
    found = _ask(directory, format_name, "encoder", images=images, **labels)
    assert set(found) == {"mean", "logvar"}
    for name, value in found.items():
        np.testing.assert_allclose(value, getattr(posterior, name), rtol=0, atol=2e-5)
    drawn = model.decode_mean(latents, classes)
    assert np.ptp(drawn, axis=0).max() > 1e-3
    found = _ask(directory, format_name, "decoder", latents=latents, **labels)
    np.testing.assert_allclose(found["images"], drawn, rtol=0, atol=2e-5 * reach)


@pytest.mark.parametrize(("network", "activation", "format_name"), _cases())
def test_every_network_with_every_activation(tmp_path, network, activation, format_name):
    chosen = {"activation": activation} if activation else {}
    model = _vae(network, (28, 28, 1) if network == "tutorial" else (9, 8, 3), **chosen)
    writing.write_model(model, format_name, tmp_path / "written", METADATA)
    _assert_same_vae(model, tmp_path / "written", format_name)


@pytest.mark.parametrize("format_name", _FORMATS)
@pytest.mark.parametrize("likelihood", list(registry.LIKELIHOODS))
def test_means_of_every_likelihood(tmp_path, likelihood, format_name):
    takes_grey = registry.LIKELIHOODS[likelihood].takes_grey
    model = _vae(likelihood=likelihood, binarize="none" if takes_grey else "dynamic")
    writing.write_model(model, format_name, tmp_path / "written", METADATA)
    for reach in (1, 30):  # until all is black or white
        _assert_same_vae(model, tmp_path / "written", format_name, reach)


@pytest.mark.parametrize("format_name", _FORMATS)
def test_labels_of_conditional_models(tmp_path, format_name):
    model = _vae(num_classes=3, activation="gelu")
    for network in model.networks.values():
        gains = network.get_layer("label").gains
        gains.assign(np.random.default_rng(1).normal(size=gains.shape))
    writing.write_model(model, format_name, tmp_path / "written", METADATA)
    labels = np.array([0, 2, 1, 2], np.int32)
    _assert_same_vae(model, tmp_path / "written", format_name, labels=labels)


@pytest.mark.parametrize("format_name", _FORMATS)
@pytest.mark.parametrize(
    ("network", "num_classes"),
    [("sub_pixel", 0), pytest.param("dcgan", 3, marks=pytest.mark.slow)],
)
def test_networks_of_gans(tmp_path, network, num_classes, format_name):
    settings = {"network": network, "conditional": num_classes > 0, "spectral_norm": True}
    config = Config.create("gan", **_SMALL, **settings)
    model = registry.FAMILIES.load("gan").from_settings(config, (9, 8, 3), 1, num_classes)
    writing.write_model(model, format_name, tmp_path / "written", METADATA)
    random = np.random.default_rng(0)
    labels = {"labels": np.array([2, 0, 1], np.int32)} if num_classes else {}
    latents = random.normal(size=(3, 2)).astype(np.float32)
    drawn = model.decode_mean(latents, labels.get("labels"))
    found = _ask(tmp_path / "written", format_name, "generator", latents=latents, **labels)
    np.testing.assert_allclose(found["images"], drawn, rtol=0, atol=2e-5)
    images = random.uniform(size=(3, 9, 8, 3)).astype(np.float32)
    logits = model.logits(images, labels.get("labels"))
    found = _ask(tmp_path / "written", format_name, "discriminator", images=images, **labels)
    np.testing.assert_allclose(found["logit"], logits, rtol=0, atol=2e-5)


class _OneNetwork:
    """A model of one network that applies a function to its latents."""

    title, num_classes = "one network", 0

    def __init__(self, function):
        self._function = function

    def standalone_parts(self):
        function = self._function

        class Applied(keras.layers.Layer):
            def call(self, latents):
                return function(latents)

        latents = keras.Input((3,), name="latents")
        return {"decoder": keras.Model(latents, {"images": Applied()(latents)}, name="decoder")}


@pytest.mark.parametrize(
    ("format_name", "function", "message"),
    [
        ("onnx", tf.math.lgamma, "decoder.onnx cannot be written: ONNX has no operation Lgamma"),
        ("litert", tf.math.digamma, "decoder.tflite .* LiteRT has no operation Digamma"),
        # Which the converter writes, but with constants of no numbers.
        ("litert", tf.math.lgamma, "decoder.tflite cannot be written: .* not broadcastable"),
    ],
)
def test_what_a_runtime_cannot_run_is_refused_in_a_line(
    tmp_path, capfd, format_name, function, message
):
    with pytest.raises(UserError, match=message) as refused:
        writing.write_model(_OneNetwork(function), format_name, tmp_path / "written", METADATA)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300
    assert list(tmp_path.iterdir()) == []
    written = capfd.readouterr()
    assert "not supported" not in written.err and "error" not in written.err


def test_operations_are_looked_at_without_the_runtime(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name)
    )
    with pytest.raises(UserError, match="ONNX has no operation Lgamma"):
        writing.write_model(_OneNetwork(tf.math.lgamma), "onnx", tmp_path / "written", METADATA)
    writing.write_model(_OneNetwork(tf.math.erfc), "onnx", tmp_path / "written", METADATA)
    latents = np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3)
    found = _ask(tmp_path / "written", "onnx", "decoder", latents=latents)
    np.testing.assert_allclose(found["images"], tf.math.erfc(latents), atol=1e-6)


@pytest.mark.parametrize(("format_name", "module"), [("onnx", onnx_files), ("litert", litert)])
def test_a_file_that_says_something_else_is_refused(tmp_path, monkeypatch, format_name, module):
    run = module._run

    def run_wrongly(path, batch):
        return {name: value + 0.01 for name, value in run(path, batch).items()}

    monkeypatch.setattr(module, "_run", run_wrongly)
    with pytest.raises(UserError, match="would not be right: its 'images' is not what the network"):
        writing.write_model(_OneNetwork(tf.sin), format_name, tmp_path / "written", METADATA)
    assert list(tmp_path.iterdir()) == []
