import re

import tensorflow as tf
from conftest import METADATA, run_python, tiny_cvae

from cvae_tf.exporting import model_card
from cvae_tf.models.vae.objectives import Objective


def _render(**changes):
    model, metadata = tiny_cvae(), {**METADATA, **changes}
    functions = {
        name: tf.function(function).get_concrete_function(*arguments)
        for name, (function, arguments) in model.signatures().items()
    }
    numbers = metadata["metrics"] and model.describe_numbers(metadata["metrics"])
    return model_card.render(metadata, functions, numbers)


def test_card_tells_data_numbers_and_versions():
    card = _render(git_commit="0123456789abcdef")
    for text in (
        "bundled digits, 24,000 training images, 297 test images", "CC BY 4.0",
        "A variational autoencoder of 28 x 28 images",
        "draws new images, finds the latents of images, reconstructs them, scores how usual they",
        "pixels above 0.5 are white", "ELBO -106.25", "log p(x|z) -99.12", "7.12",
        "tensorflow 2.21.0", "commit 0123456789.", "10,000 images at most",
    ):  # fmt: skip
        assert text in card


def test_card_of_a_user_s_images_claims_no_licence():
    card = _render(data={**METADATA["data"], "name": "mine.npz"})
    assert "CC BY" not in card and "that of the images" in card


def test_card_without_numbers_says_so():
    assert "there are none" in _render(metrics=None)


def test_signatures_of_the_card_are_those_of_the_model(exported_digits):
    rows = re.findall(
        r"^\| `(\w+)` \| (.*) \| (.*) \|$",
        (exported_digits / "README.md").read_text(encoding="utf-8"), re.MULTILINE,
    )  # fmt: skip
    loaded = tf.saved_model.load(str(exported_digits))
    assert {row[0] for row in rows} == set(loaded.signatures) - {"serving_default"}
    for name, arguments, results in rows:
        signature = loaded.signatures[name]
        specs = signature.structured_input_signature[1]
        assert _described(arguments) == {key: _form(spec) for key, spec in specs.items()}
        outputs = signature.structured_outputs
        assert _described(results) == {key: _form(spec) for key, spec in outputs.items()}


def _described(text):
    found = re.findall(r"`(\w+)` (\w+) \[(.*?)\]", text)
    return {name: (dtype, sides.replace("B", "None")) for name, dtype, sides in found}


def _form(spec):
    return spec.dtype.name, ", ".join(map(str, spec.shape.as_list()))


def test_snippet_of_the_card_runs_beside_the_model(exported_digits):
    card = (exported_digits / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    done = run_python("-c", snippet, cwd=exported_digits)
    assert done.stdout.strip() == "(16, 28, 28, 1)", done.stderr


def test_a_model_that_knows_more_than_its_encoder_says_so():
    limits = {
        name: tiny_cvae(objective=Objective(name)).describe()["limits"]
        for name in ("elbo", "shared")
    }
    assert "`infer` finds likelier ones" in limits["shared"]
    assert "infer" not in limits["elbo"]
