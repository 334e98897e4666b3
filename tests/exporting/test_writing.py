"""The model in other runtimes, each asked by its own library."""

import dataclasses
import json
import re
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import METADATA, PROJECT, VAE_NETWORKS, run_python, run_script

from cvae_tf import registry, workflows
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.exporting import export_run, keras_file, writing
from cvae_tf.models.networks.building import Networks, build_networks
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.objectives import Objective
from cvae_tf.models.vae.pixels import Pixels


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


_WARMING_UP = {"objective": "iwae", "importance_samples": 3, "kl_warmup_epochs": 2}
_WEIGHED = {"objective": "elbo_analytic", "beta": 0.5, "free_bits": 0.25}


@pytest.mark.parametrize("network", VAE_NETWORKS)
@pytest.mark.parametrize(
    ("pixels", "objective"),
    [
        ({"binarize": "dynamic"}, _WARMING_UP),
        ({"binarize": "none", "likelihood": "continuous_bernoulli"}, _WEIGHED),
        ({"binarize": "none", "likelihood": "gaussian"}, _WARMING_UP),
        ({"binarize": "none", "likelihood": "discretized_logistic"}, _WEIGHED),
    ],
)
def test_keras_file_is_the_whole_model(tmp_path, network, pixels, objective):
    config = Config.create(seed=9, network=network, **pixels, **objective)
    shape = (28, 28, 1) if network == "tutorial" else (9, 8, 3)
    model = CVAE.from_settings(config, shape, steps_per_epoch=7)
    model.compile("adam")
    keras_file.write(model, tmp_path, METADATA)
    loaded = keras.saving.load_model(tmp_path / "cvae.keras")
    assert (loaded.pixels, loaded.objective) == (model.pixels, model.objective)
    assert loaded.objective.kl_warmup_steps == 7 * objective.get("kl_warmup_epochs", 0)
    assert (loaded.seed, loaded.image_shape, loaded.compiled) == (9, shape, False)
    images = np.random.default_rng(0).uniform(size=(3, *shape)).astype(np.float32)
    for first, second in zip(*(m.elbo_terms(images, [1, 2]) for m in (model, loaded)), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("likelihood", list(registry.LIKELIHOODS))
def test_keras_file_of_version_0_1_is_loaded(tmp_path, model, inputs, likelihood):
    networks = (model.encoder, model.decoder)
    if registry.LIKELIHOODS.load(likelihood).head:
        config = Config.create(binarize="none", likelihood=likelihood)
        networks = CVAE.from_settings(config, (28, 28, 1), 1).networks.values()
    written = CVAE(Networks(*networks), 4, Pixels("none", likelihood), Objective("iwae", 5))
    written.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new:
        files = {name: new.read(name) for name in new.namelist()}
    described = json.loads(files["config.json"])
    assert described["module"] != "cvae_tf.model"
    described["module"] = "cvae_tf.model"  # where the class was
    del described["config"]["pixels"]  # of which only the likelihood was known
    described["config"]["likelihood"] = likelihood
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        for name, content in {**files, "config.json": json.dumps(described)}.items():
            old.writestr(name, content)
    loaded = keras.saving.load_model(tmp_path / "old.keras")
    assert loaded.pixels.likelihood == likelihood
    assert (loaded.seed, loaded.objective) == (4, Objective("iwae", 5))
    np.testing.assert_array_equal(loaded(inputs[0]), written(inputs[0]))


def test_saved_model_is_a_layer_of_keras(exported_digits, inputs):
    reconstruct = keras.layers.TFSMLayer(
        exported_digits, call_endpoint="reconstruct", trainable=False
    )
    images = reconstruct(inputs[0])["images"]
    functions = tf.saved_model.load(str(exported_digits))
    expected = functions.reconstruct(inputs[0])["images"]
    np.testing.assert_array_equal(images, expected)
    whole = keras.Sequential([keras.Input((28, 28, 1)), reconstruct])
    np.testing.assert_allclose(
        whole.predict(inputs[0], verbose=0)["images"], expected, rtol=1e-5, atol=1e-6
    )


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


@pytest.mark.slow
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
    code = "".join(
        snippet
        for snippet in snippets
        if "latest/export/1" not in snippet and "picture.jpg" not in snippet
    )
    code = code.replace("import json\n", "images = np.zeros([2, 28, 28, 1])\nimport json\n")
    imports = f"import sys; sys.path.insert(0, {str(PROJECT)!r})\nimport numpy as np\n"
    done = run_python("-c", f"{imports}{code}\nprint(images.shape, len(body))", cwd=tmp_path)
    assert done.stdout.startswith("(4, 28, 28, 1) "), done.stderr


@pytest.mark.slow
def test_formats_do_not_overwrite_in_another_directory(tmp_path, small_npz):
    config = Config.create("tutorial", data_path=str(small_npz), epochs=1, batch_size=64)
    run_dir = str(workflows.train(config, str(tmp_path / "run")).directory)
    (tmp_path / "output" / "keras").mkdir(parents=True)
    with pytest.raises(UserError, match="keras exists; choose another directory"):
        export_run.export_from_checkpoint(run_dir, str(tmp_path / "output"), "keras")
