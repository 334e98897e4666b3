"""Models that are loaded, of exports and of runs, and what lies beside them: data and card."""

import json
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import METADATA, create_run, tiny_cvae

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.exporting.formats import describe_run
from cvae_tf.exporting.load import introduce, load, load_newest
from cvae_tf.models import FAMILIES, saved_model


def _assert_near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_loaded_model_is_that_of_its_class_and_knows_its_making(
    vae, conditional, gan, vae_run, tmp_path
):
    assert (vae.image_shape, vae.latent_dim, vae.class_names) == ((28, 28, 1), 2, ())
    assert vae.metadata == json.loads((vae_run.saved_model / "model.json").read_text())
    assert (vae.main_score.name, vae.main_score.title) == ("elbo", "ELBO")
    assert repr(vae) == "<CVAE: 28 x 28 x 1, 2 latents, fast>"
    assert repr(conditional) == "<CVAE: 28 x 28 x 1, 3 latents, 10 classes, mlp20>"
    assert repr(gan) == "<GAN: 28 x 28 x 1, 8 latents, gan>"
    what = "preset fast, network mlp, 2 latent dimensions, epoch"
    assert introduce(vae, vae).startswith(f"model:   {what}")
    of_run = introduce(vae, vae_run.directory)
    assert f"{vae_run.directory.name}: {what}" in of_run and "unfinished" not in of_run
    vae.save(tmp_path / "again.keras")
    images = np.eye(28, dtype=np.float32)[None, :, :, None]
    vae.export(tmp_path / "again")
    for again in (keras.saving.load_model(tmp_path / "again.keras"), load(tmp_path / "again")):
        _assert_near(again.reconstruct(images), vae.reconstruct(images))


@pytest.mark.parametrize("kind", ["vae", "conditional", "gan"])
def test_a_run_is_as_good_as_its_export_and_the_same_without(kind, request, tmp_path):
    exported, run = (request.getfixturevalue(name) for name in (kind, f"{kind}_run"))
    np.testing.assert_array_equal(load(run.directory).sample(3, 0), exported.sample(3, 0))
    newest = load_newest(run.directory)
    _assert_near(newest.sample(3, 0), exported.sample(3, 0))
    assert newest.metadata.keys() == exported.metadata.keys()
    for name, part in newest.fitted_parts.items():
        pairs = zip(part.variables, exported.fitted_parts[name].variables, strict=True)
        for variable, same in pairs:
            np.testing.assert_array_equal(variable.numpy(), same.numpy())
    bare = shutil.copytree(run.directory, tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    unfinished = load(bare)
    _assert_near(unfinished.sample(3, 0), exported.sample(3, 0))
    assert " of an unfinished run" in introduce(unfinished, bare)


def test_what_is_no_model_of_this_project_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds neither a SavedModel nor a run"):
        load(tmp_path)
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(UserError, match=r"model.json: .*; tf.saved_model.load\(\".*other\"\)"):
        load(tmp_path / "other")


def test_an_export_that_cannot_be_built_again_is_refused_in_a_line(tmp_path, conditional_run):
    copy = shutil.copytree(conditional_run.saved_model, tmp_path / "1")
    own = json.loads((copy / "model.json").read_text())

    def refused(message, metadata):
        (copy / "model.json").write_text(json.dumps(metadata))
        with pytest.raises(UserError, match=message) as error:
            load(copy)
        assert "\n" not in str(error.value)

    for changes in (
        {"config": {**own["config"], "latent_dim": 9}},
        {"config": {**own["config"], "network": "not of this version"}},
        {"config": {**own["config"], "unknown": 1}},
        {"data": {**own["data"], "class_names": []}},
        {"data": {}},
        {"config": None},
    ):
        refused(r"cannot build .* again \(.*\); tf.saved_model.load\(", {**own, **changes})
    weights = next((copy / "variables").glob("*.index"))
    weights.write_bytes(weights.read_bytes()[:100])
    refused("cannot be loaded", own)


@pytest.mark.parametrize(("tracked", "commit"), [("saved_model.py\n", "0123abc"), ("", None)])
def test_commit_is_that_of_this_source_code_only(
    tmp_path, toy_dataset, monkeypatch, tracked, commit
):
    def of_git(command, **_):
        said = {"ls-files": tracked, "rev-parse": "0123abc\n"}[command[3]]
        return subprocess.CompletedProcess(command, 0, stdout=said)

    run = create_run(str(tmp_path / "run"), Config.create(seed=6), toy_dataset)
    monkeypatch.setattr(subprocess, "run", of_git)
    assert describe_run(run, tiny_cvae(), [])["git_commit"] == commit


def test_card_tells_data_numbers_and_versions():
    model = tiny_cvae()
    signatures = {"sample": saved_model.Endpoint([saved_model.SEED], [saved_model.SEED])}
    numbers = FAMILIES["vae"].describe(model, METADATA["metrics"])["numbers"]
    data = {**METADATA["data"], "licence": "CC BY 4.0"}
    described = {**METADATA, "data": data, "git_commit": "0123456789abcdef", "numbers": numbers}
    card = saved_model.render_card(described, signatures)
    for text in (
        "bundled digits, 24,000 training images, 297 test images", "CC BY 4.0",
        "A variational autoencoder of 28 x 28 images", "10,000 images at most",
        "pixels above 0.5 are white", "- ELBO: -106.25 nats per image", "log-likelihood: -99.125",
        "tensorflow 2.21.0", "commit 0123456789.",
    ):  # fmt: skip
        assert text in card
    del data["licence"]
    card = saved_model.render_card(described, signatures)
    assert "Licence of the data: that of the images" in card
    config = Config.create(network="mlp", binarize="none", likelihood="gaussian")
    colours = FAMILIES["vae"].build(config, (8, 8, 3), steps_per_epoch=1, num_classes=0)
    assert FAMILIES["vae"].describe(colours)["pixels"].startswith("colours as they are;")


def test_signatures_of_the_card_are_those_of_the_model(conditional_run):
    card = (conditional_run.saved_model / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", card, re.MULTILINE)
    signatures = tf.saved_model.load(str(conditional_run.saved_model)).signatures
    assert {row[0] for row in rows} == set(signatures) - {"serving_default"}
    for name, *told in rows:
        own = signatures[name].structured_input_signature[1], signatures[name].structured_outputs
        for text, specs in zip(told, own, strict=True):
            found = re.findall(r"`(\w+)` (\w+) (\[.*?\])", text.replace("B", "None"))
            assert set(found) == {
                (key, spec.dtype.name, str(spec.shape.as_list())) for key, spec in specs.items()
            }
    assert "(0: 0, 1: 1, 2: 2" in card
