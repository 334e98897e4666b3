"""What lies beside an exported model: `model.json`, and the card for people."""

import json
import re
import subprocess
from importlib import metadata

import pytest
import tensorflow as tf
from conftest import METADATA, create_run, tiny_cvae

from cvae_tf.config import Config
from cvae_tf.exporting import model_card, model_json
from cvae_tf.models.vae.objectives import Objective

ROWS = [{"epoch": 1, "test_elbo": -9.0}, {"epoch": 2, "test_elbo": -8.0}]


@pytest.fixture
def run(tmp_path, toy_dataset):
    return create_run(str(tmp_path / "run"), Config.create(seed=6), toy_dataset)


def test_description_says_what_a_model_was_made_from(run):
    described = model_json.describe(run, tiny_cvae(), ROWS)
    assert described["config"] == Config.create(seed=6).to_json()
    assert (described["data"], described["metrics"]) == (run.data, ROWS[-1])
    assert "0.5" in described["binarization"] and described["title"] == "variational autoencoder"
    assert described["measures"][0]["name"] == "elbo"
    assert json.loads(json.dumps(described)) == described
    packages = "tensorflow", "keras", "numpy"
    assert described["versions"] == {name: metadata.version(name) for name in packages}


def test_commit_is_that_of_this_source_code_only(run, monkeypatch):
    def commit(**answers):
        def of_git(command, **_):
            answer = answers[command[3].replace("-", "_")]
            if isinstance(answer, Exception):
                raise answer
            return subprocess.CompletedProcess(command, 0, stdout=answer)

        monkeypatch.setattr(subprocess, "run", of_git)
        return model_json.describe(run, tiny_cvae(), ROWS)["git_commit"]

    assert commit(ls_files="model_json.py\n", rev_parse="0123abc\n") == "0123abc"
    assert commit(ls_files="", rev_parse="0123abc\n") is None  # in another repository
    assert commit(ls_files=subprocess.CalledProcessError(128, "git")) is None  # in none
    assert commit(ls_files=FileNotFoundError("git")) is None


def test_card_tells_data_numbers_and_versions():
    model = tiny_cvae()
    functions = {
        name: tf.function(function).get_concrete_function(*arguments)
        for name, (function, arguments) in model.signatures().items()
        if name in ("sample", "encode", "reconstruct", "score")
    }

    def render(**changes):
        described = {**METADATA, **changes}
        numbers = described["metrics"] and model.describe_numbers(described["metrics"])
        return model_card.render(described, functions, numbers)

    card = render(git_commit="0123456789abcdef")
    for text in (
        "bundled digits, 24,000 training images, 297 test images", "CC BY 4.0",
        "A variational autoencoder of 28 x 28 images",
        "draws new images, finds the latents of images, reconstructs them and scores how usual",
        "pixels above 0.5 are white", "ELBO -106.25", "log p(x|z) -99.12", "7.12",
        "tensorflow 2.21.0", "commit 0123456789.", "10,000 images at most",
    ):  # fmt: skip
        assert text in card
    card = render(data={**METADATA["data"], "name": "mine.npz"})
    assert "CC BY" not in card and "that of the images" in card
    assert "there are none" in render(metrics=None)
    for name, says_so in (("elbo", False), ("shared", True)):  # it knows more than its encoder
        limits = tiny_cvae(objective=Objective(name)).describe()["limits"]
        assert ("`infer` finds likelier ones" in limits) == says_so


def test_signatures_of_the_card_are_those_of_the_model(conditional_run):
    card = (conditional_run.saved_model / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", card, re.MULTILINE)
    signatures = tf.saved_model.load(str(conditional_run.saved_model)).signatures
    assert {row[0] for row in rows} == set(signatures) - {"serving_default"}
    for name, *told in rows:
        own = signatures[name].structured_input_signature[1], signatures[name].structured_outputs
        for text, specs in zip(told, own, strict=True):
            sides = {key: str(spec.shape.as_list()) for key, spec in specs.items()}
            found = re.findall(r"`(\w+)` (\w+) (\[.*?\])", text)
            assert {key: side.replace("B", "None") for key, _, side in found} == sides
            assert {key: kind for key, kind, _ in found} == {
                key: spec.dtype.name for key, spec in specs.items()
            }
    assert "(0: 0, 1: 1, 2: 2" in card
