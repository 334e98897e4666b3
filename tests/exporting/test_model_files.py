"""What lies beside an exported model: `model.json`, and the card for people."""

import re
import subprocess

import pytest
import tensorflow as tf
from helpers import METADATA, create_run, tiny_cvae

from cvae_tf.config import Config
from cvae_tf.exporting.export import describe_run
from cvae_tf.models import FAMILIES, saved_model


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
    functions = {
        name: tf.function(function).get_concrete_function(*arguments)
        for name, (function, arguments) in FAMILIES["vae"].signatures(model).items()
        if name in ("sample", "encode", "reconstruct", "score")
    }

    numbers = FAMILIES["vae"].describe(model, METADATA["metrics"])["numbers"]
    data = {**METADATA["data"], "licence": "CC BY 4.0"}
    described = {**METADATA, "data": data, "git_commit": "0123456789abcdef", "numbers": numbers}
    card = saved_model.render_card(described, functions)
    for text in (
        "bundled digits, 24,000 training images, 297 test images", "CC BY 4.0",
        "A variational autoencoder of 28 x 28 images",
        "pixels above 0.5 are white", "- ELBO: -106.25 nats per image", "log-likelihood: -99.125",
        "tensorflow 2.21.0", "commit 0123456789.", "10,000 images at most",
    ):  # fmt: skip
        assert text in card
    del described["data"]["licence"]
    assert "Licence of the data: that of the images" in saved_model.render_card(
        described, functions
    )


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
