"""The model in other runtimes, each asked by its own library."""

import dataclasses
import json
import re

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from conftest import METADATA, PROJECT, run_python, run_script

from cvae_tf import registry, workflows
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.exporting import export_run, writing
from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.vae.model import CVAE


@pytest.fixture(scope="module", params=["tutorial", "patches"])
def model(request):
    return CVAE(build_networks(request.param, (28, 28, 1), latent_dim=2, seed=3), seed=3)


@pytest.fixture(scope="module")
def inputs(digits):
    latents = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    return (digits.test.images[:5] / 255).astype(np.float32), latents


@pytest.fixture(scope="module")
def expected(model, inputs):
    """What the model itself says: mean, logvar and images."""
    images, latents = inputs
    mean, logvar = model.encode((images > 0.5).astype(np.float32))
    return {"mean": mean, "logvar": logvar, "images": tf.sigmoid(model.decode(latents))}


def _assert_same(actual, expected):
    assert set(actual) <= set(expected)
    for name, value in actual.items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-5)


def test_litert_says_the_same_with_built_in_operations(tmp_path, model, inputs, expected):
    writing.write_model(model, "litert", tmp_path / "litert", METADATA)
    for name, argument, batch in zip(
        ("encoder", "decoder"), ("images", "latents"), inputs, strict=True
    ):
        path = str(tmp_path / "litert" / f"{name}.tflite")
        interpreter = Interpreter(path)
        operations = {detail["op_name"] for detail in interpreter._get_ops_details()}
        assert not {name for name in operations if "Flex" in name or "CUSTOM" in name}
        _assert_same(interpreter.get_signature_runner()(**{argument: batch}), expected)


def test_onnx_says_the_same(tmp_path, model, inputs, expected):
    writing.write_model(model, "onnx", tmp_path / "onnx", METADATA)
    for name, argument, batch in zip(
        ("encoder", "decoder"), ("images", "latents"), inputs, strict=True
    ):
        session = onnxruntime.InferenceSession(tmp_path / "onnx" / f"{name}.onnx")
        names = [output.name for output in session.get_outputs()]
        answers = session.run(None, {argument: batch})
        _assert_same(dict(zip(names, answers, strict=True)), expected)


def test_keras_file_is_loaded_safely_and_trains_on(tmp_path, model, inputs, expected):
    writing.write_model(model, "keras", tmp_path / "keras", METADATA)
    loaded = keras.saving.load_model(tmp_path / "keras" / "cvae.keras", safe_mode=True)
    images, latents = inputs
    binary = (images > 0.5).astype(np.float32)
    mean, logvar = loaded.encode(binary)
    decoded = tf.sigmoid(loaded.decode(latents))
    _assert_same({"mean": mean, "logvar": logvar, "images": decoded}, expected)
    assert loaded.seed == model.seed
    loaded.compile(optimizer="adam")
    assert np.isfinite(loaded.fit(binary, verbose=0).history["elbo"][0])


def test_metadata_lie_beside_and_an_old_export_is_replaced(tmp_path, model):
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "old").write_text("old")
    writing.write_model(model, "keras", tmp_path / "keras", METADATA)
    names = sorted(path.name for path in (tmp_path / "keras").iterdir())
    assert names == ["cvae.keras", "model.json"]
    assert json.loads((tmp_path / "keras" / "model.json").read_text()) == METADATA


def test_missing_packages_are_named(tmp_path, monkeypatch, model):
    entry = registry.FORMATS["onnx"]
    lacking = dataclasses.replace(entry, packages=("tf2onnx", "no_such_package"))
    monkeypatch.setitem(registry.FORMATS._entries, "onnx", lacking)
    with pytest.raises(UserError, match="pip install tf2onnx no_such_package"):
        writing.write_model(model, "onnx", tmp_path / "onnx", METADATA)
    assert list(tmp_path.iterdir()) == []


def test_run_of_half_precision_is_exported_as_documented(tmp_path, small_npz, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"data_path": str(small_npz), "epochs": 1, "batch_size": 64}
    run = workflows.train(Config.create(**settings, precision="mixed_bfloat16"))
    for name in ("litert", "keras"):
        export_run.export_from_checkpoint("runs/latest", format_name=name)
    done = run_script("export.py", "--format=onnx", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("litert", "onnx", "keras"):
        metadata = json.loads((run.directory / "export" / name / "model.json").read_text())
        assert metadata["config"]["precision"] == "mixed_bfloat16"
    serving = (PROJECT / "docs" / "serving.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", serving, re.DOTALL)
    code = "".join(snippet for snippet in snippets if "latest/export/1" not in snippet)
    code = code.replace("import json\n", "images = np.zeros([2, 28, 28, 1])\nimport json\n")
    imports = f"import sys; sys.path.insert(0, {str(PROJECT)!r})\nimport numpy as np\n"
    done = run_python("-c", f"{imports}{code}\nprint(images.shape, len(body))", cwd=tmp_path)
    assert done.stdout.startswith("(4, 28, 28, 1) "), done.stderr


def test_formats_do_not_overwrite_in_another_directory(tmp_path, small_npz):
    config = Config.create("tutorial", data_path=str(small_npz), epochs=1, batch_size=64)
    run_dir = str(workflows.train(config, str(tmp_path / "run")).directory)
    (tmp_path / "output" / "keras").mkdir(parents=True)
    with pytest.raises(UserError, match="keras exists; choose another directory"):
        export_run.export_from_checkpoint(run_dir, str(tmp_path / "output"), "keras")
