"""Models in other formats, each asked by its own library; none is written that cannot be run."""

import itertools
import re
from types import SimpleNamespace

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from helpers import METADATA, PROJECT, tiny_cvae
from PIL import Image

from cvae_tf import api
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.exporting import formats
from cvae_tf.exporting.formats import FORMATS, write_model
from cvae_tf.models import FAMILIES
from cvae_tf.models.networks import GAN_NETWORKS, NETWORKS
from cvae_tf.models.vae import anomalies
from cvae_tf.models.vae.model import CVAE


def _model(network="mlp", num_classes=0, family="vae", **settings):
    own = getattr({**NETWORKS, **GAN_NETWORKS}[network], "settings", ())
    few = {"hidden": "7"} if "hidden" in own else {}
    few |= {"dropout": 0.4} if "dropout" in own else {}
    settings = {"conditional": num_classes > 0, "latent_dim": 2, "seed": 3, **few, **settings}
    preset = "gan" if family == "gan" else "fast"
    config = Config.create(preset=preset, network=network, **settings)
    shape = (28, 28, 1) if network == "tutorial" else (9, 8, 3)
    return FAMILIES[family].build(config, shape, 7, num_classes)


_OTHER_NETWORKS = "hybrid", "patches_smooth", "patches_residual"
_WARMING_UP = {"objective": "iwae", "importance_samples": 3, "kl_warmup_epochs": 2}
_WEIGHED = {"objective": "elbo_analytic", "beta": 0.5, "free_bits": 0.25}


@pytest.mark.parametrize(
    ("network", "settings"),
    [
        ("mlp", {"binarize": "none", "likelihood": "gaussian", **_WARMING_UP}),
        *(pytest.param(network, _WEIGHED, marks=pytest.mark.slow) for network in _OTHER_NETWORKS),
    ],
)
def test_a_file_of_keras_is_the_whole_model(tmp_path, network, settings):
    model = _model(network, **settings)
    model.compile("adam")
    write_model(model, "keras", tmp_path / "keras", METADATA)
    loaded = keras.saving.load_model(tmp_path / "keras" / "cvae.keras", safe_mode=True)
    assert (loaded.pixels, loaded.objective, loaded.seed) == (model.pixels, model.objective, 3)
    assert loaded.objective.kl_warmup_steps == 7 * settings.get("kl_warmup_epochs", 0)
    images = np.random.default_rng(0).uniform(size=(3, *model.image_shape)).astype(np.float32)
    for first, second in zip(*(m.elbo(images, [1, 2]) for m in (model, loaded)), strict=True):
        np.testing.assert_array_equal(first, second)
    loaded.compile(optimizer="adam")
    assert np.isfinite(list(loaded.fit(images, verbose=0).history.values())).all()


def test_missing_packages_are_named(tmp_path, monkeypatch):
    lacking = FORMATS["onnx"]._replace(packages=("tf2onnx", "no_such_package"))
    monkeypatch.setitem(FORMATS, "onnx", lacking)
    with pytest.raises(UserError, match="pip install tf2onnx no_such_package"):
        write_model(tiny_cvae(), "onnx", tmp_path / "onnx", METADATA)
    assert list(tmp_path.iterdir()) == []


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


def _expected(model, images, latents, labels):
    """By network and result: what the model itself says."""
    drawn = {"images": model.decode(tf.constant(latents), labels)}
    if not isinstance(model, CVAE):
        return {"generator": drawn, "discriminator": {"logit": model.logits(images, labels)}}
    posterior = model.encode(model.pixels.binarize_mode(images), labels)
    networks = {"decoder": drawn, "encoder": posterior._asdict()}
    if not model.held_out_scores.count:
        return networks
    *found, _ = model.anomaly(tf.constant(images), labels)
    return {**networks, "anomaly": dict(zip(("score", "p_value", "heat_map"), found, strict=True))}


def _assert_same(model, directory, format_name, reach=3):
    """Compares with the model itself, for latents that are so far away."""
    random = np.random.default_rng(0)
    images = random.uniform(size=(4, *model.image_shape)).astype(np.float32)
    latents = reach * random.normal(size=(4, 2)).astype(np.float32)
    labels = np.array([0, 2, 1, 2], np.int32) if model.num_classes else None
    for name, expected in _expected(model, images, latents, labels).items():
        takes_latents = name in ("decoder", "generator")
        given = {"latents": latents} if takes_latents else {"images": images}
        given |= {} if labels is None else {"labels": labels}
        found = _ask(directory, format_name, name, **given)
        assert set(found) == set(expected)
        for result, values in expected.items():
            assert np.ptp(values, axis=0).max() > 1e-4
            rtol = 1e-4 if name == "anomaly" else 0  # sums over many pixels
            np.testing.assert_allclose(found[result], values, rtol=rtol, atol=2e-5 * max(reach, 1))


QUICK = itertools.product(("onnx", "litert"), [{"activation": "gelu", "num_classes": 3}])


_GREY = {"binarize": "none"}
SLOW = itertools.product(("onnx", "litert"), [  # every network, activation and likelihood
    {"network": "tutorial"},
    {"network": "mlp", "activation": "relu", "likelihood": "continuous_bernoulli", **_GREY},
    {"network": "hybrid", "activation": "leaky_relu", "likelihood": "gaussian", **_GREY},
    {"network": "patches", "activation": "elu", "likelihood": "discretized_logistic", **_GREY},
    {"network": "patches_smooth", "activation": "gelu"},
    {"network": "patches_residual", "activation": "silu", "num_classes": 3,
     "likelihood": "neighbour_logistic", **_GREY},
    {"family": "gan", "network": "sub_pixel", "spectral_norm": True},
    {"family": "gan", "network": "dcgan", "num_classes": 3},
])  # fmt: skip


@pytest.mark.parametrize(
    ("format_name", "settings"),
    [*QUICK, *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW)],
)
def test_other_runtimes_do_what_the_model_does(tmp_path, format_name, settings):
    model = _model(**settings)
    if model.num_classes and isinstance(model, CVAE):
        for network in model.networks.values():
            gains = network.get_layer("label").gains
            gains.assign(np.random.default_rng(1).normal(size=gains.shape))
    if "likelihood" in settings or model.num_classes and isinstance(model, CVAE):
        grey = np.random.default_rng(2).uniform(size=(9, *model.image_shape)).astype(np.float32)
        labels = np.arange(9) % 3 if model.num_classes else None
        found = anomalies.elbos_and_complexities(model, grey, labels)
        model.held_out_scores.take(*map(np.array, found))
        model.usual_heat.take(np.full((2, *model.image_shape[:2]), -9.0))  # so that all is hot
    write_model(model, format_name, tmp_path / "written", METADATA)
    for reach in (3, 30) if "likelihood" in settings else (3,):  # until all is black or white
        _assert_same(model, tmp_path / "written", format_name, reach)


WRONG = "would not be right: its 'images' is not what the network"


@pytest.mark.parametrize(
    ("format_name", "function", "message"),
    [
        ("onnx", tf.math.lgamma, "decoder.onnx cannot be written: its format lacks Lgamma"),
        ("litert", tf.math.digamma, "decoder.tflite .* its format lacks Digamma"),
        ("onnx", tf.sin, WRONG),
        ("litert", tf.sin, WRONG),
    ],
)
def test_what_a_runtime_cannot_run_or_answers_otherwise_is_refused_in_a_line(
    tmp_path, monkeypatch, capsys, format_name, function, message
):
    latents = keras.Input((3,), name="latents")
    images = keras.layers.Lambda(function)(latents)
    parts = {"decoder": keras.Model(latents, {"images": images}, name="decoder")}
    more = {"twice": keras.Model(latents, {"images": 2 * latents})}
    own = SimpleNamespace(standalone_parts=lambda model: {**more, **parts})
    monkeypatch.setattr(formats, "family_of", lambda model: own)
    if message == WRONG:
        name = f"_run_{format_name}"
        run = getattr(formats, name)
        monkeypatch.setattr(formats, name, lambda *given: {"images": run(*given)["images"] + 0.01})
    model = SimpleNamespace(num_classes=0, networks=parts)
    with pytest.raises(UserError, match=message) as refused:
        write_model(model, format_name, tmp_path / "written", METADATA)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300
    assert list(tmp_path.iterdir()) == []
    if message != WRONG:  # it is left out if it is no network of the model itself
        model.networks = {}
        write_model(model, format_name, tmp_path / "written", METADATA)
        assert re.search(f"^warning: {message}.* goes on without it", capsys.readouterr().err, re.M)
        assert {each.stem for each in (tmp_path / "written").iterdir()} == {"twice", "model"}


@pytest.mark.slow
def test_run_of_half_precision_is_exported_as_documented(tmp_path, small_npz, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"epochs": 1, "batch_size": 64, "precision": "mixed_bfloat16"}
    api.train(data_path=small_npz, verbose=0, **settings)
    for name in ("litert", "onnx", "keras"):
        api.export("runs/latest", format=name, verbose=0)
    levels = np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)
    Image.fromarray(levels).save("picture.png")
    serving = (PROJECT / "docs" / "serving.md").read_text(encoding="utf-8")
    runtimes = serving[serving.index("## The same picture in three runtimes") :]
    *snippets, to_keras, _ = re.findall(r"```python\n(.*?)```", runtimes, re.DOTALL)
    names, means = {}, []
    for snippet in snippets:  # how a picture is prepared, then a runtime each
        exec(snippet, names)
        means.append(names.pop("mean", None))
    assert means[0] is None and [mean.shape for mean in means[1:]] == 3 * [(1, 2)]
    np.testing.assert_allclose(means[2:], 2 * [means[1]], rtol=0, atol=2e-5)
    exec(to_keras, names)
    assert names["images"].shape == (4, 28, 28, 1)
