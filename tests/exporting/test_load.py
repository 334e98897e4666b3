"""Models that are loaded, of exports and of runs, and what lies beside them: data and card."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from helpers import create_run, tiny_cvae

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.exporting.formats import describe_run
from cvae_tf.exporting.load import introduce, load, load_newest
from cvae_tf.models import FAMILIES
from cvae_tf.models.vae.model import CVAE


def _assert_near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_loaded_model_is_that_of_its_class_and_knows_its_making(vae, conditional, gan, vae_run):
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


def test_card_tells_data_numbers_and_versions(vae_run):
    described = json.loads((vae_run.saved_model / "model.json").read_text())
    card, row = (vae_run.saved_model / "README.md").read_text(), vae_run.history[-1]
    for text in (
        "small.npz", "128 training images, 32 test images", "of the data: that of the images",
        "A variational autoencoder of 28 x 28 images", "10,000 images at most",
        "pixels above 0.5 are white", f"- ELBO: {row['test_elbo']:.6g} nats per image",
        f"log-likelihood: {row['test_log_likelihood']:.6g}", f"tensorflow {tf.__version__}",
        (described["git_commit"] or "")[:10],
    ):  # fmt: skip
        assert text in card
    colours = CVAE(network="mlp", likelihood="gaussian", image_shape=(8, 8, 3))
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
