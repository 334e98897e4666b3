"""What README.md and docs/ tell people: to type, to choose, to open."""

import json
import re
import shlex

import keras
import numpy as np
import tensorflow as tf
from helpers import PROJECT, run_python
from PIL import Image

import cvae_tf
from cvae_tf import cli
from cvae_tf.data import given_images
from cvae_tf.data.pictures import Form, read
from cvae_tf.exporting.formats import FORMATS
from cvae_tf.flags import read_flags
from cvae_tf.generation.settings import MODE_NAMES
from cvae_tf.presets import PRESETS

PAGES = [PROJECT / "README.md", PROJECT / "CHANGELOG.md", *PROJECT.glob("docs/*.md")]
README, SERVING = (
    (PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/serving.md")
)
REQUESTS = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", SERVING, re.DOTALL)]


def _snippets(text, part):
    """The Python of a text that has some words in it."""
    return [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if part in code]


def test_requests_and_readme_fit_an_exported_model(vae_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (snippet,) = _snippets(README, "tf.saved_model.load")
    exec(snippet.replace("runs/latest/export/1", str(vae_run.saved_model)), {})
    assert Image.open("digit.png").size == (28, 28)
    assert [request["signature_name"] for request in REQUESTS] == ["sample", "decode"]
    signatures = tf.saved_model.load(str(vae_run.saved_model)).signatures
    section = README[README.index("| signature |") : README.index("[serving.md]")]
    assert {"sample", "anomaly"} < set(re.findall(r"^\| `(\w+)`", section, re.M)) < {*signatures}
    for request in REQUESTS:
        signature, inputs = signatures[request["signature_name"]], request["inputs"]
        specs = signature.structured_input_signature[1]
        tensors = {name: tf.constant(inputs[name], spec.dtype) for name, spec in specs.items()}
        assert signature(**tensors)["images"].shape[1:] == (28, 28, 1)


def test_ten_lines_are_the_whole_story(small_npz, tmp_path, monkeypatch, capsys):
    """With a few images, an epoch and a small network."""
    monkeypatch.chdir(tmp_path)
    few = cvae_tf.load_dataset(data_path=small_npz)
    monkeypatch.setattr(cvae_tf, "load_dataset", lambda name: few)
    (snippet,) = _snippets(README, "cvae_tf.train(x_train")
    assert len(snippet.splitlines()) <= 10
    names = {}
    exec(snippet.replace("epochs=3", "epochs=1, network='mlp', hidden='8', verbose=0"), names)
    assert names["images"].shape == (16, 28, 28, 1) and names["odd"].dtype == bool
    assert np.isfinite(names["found"].log_evidence).all()
    assert (tmp_path / "latents.png").stat().st_size > 9000
    assert capsys.readouterr().err == ""


def test_pictures_are_prepared_as_documented(tmp_path):
    """The lines for servers read a picture as a training on a folder, and as one that is given."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 410, 3), np.uint8))
    exif = Image.Exif()
    exif[274] = 6  # it lies on its side
    noise.save(tmp_path / "large.jpg")
    noise.save(tmp_path / "lying.jpg", exif=exif)
    noise.resize((50, 70)).save(tmp_path / "small.png")
    (snippet,) = _snippets(SERVING, "picture.draft")
    trained = {"data": {"pictures": {"fit": "crop"}, "margin_brightness": 0.5}}
    for path in tmp_path.iterdir():
        names = {}
        exec(snippet.replace("picture.png", str(path)), names)
        pixels = read(path, Form(size=(28, 28), channels=1)).pixels
        np.testing.assert_array_equal(names["images"], pixels[np.newaxis].astype(np.float32) / 255)
        given = given_images.read_images(path, given_images.fit_of(trained, (28, 28, 1)))
        np.testing.assert_array_equal(names["images"], given.pixels)


def test_the_page_of_flags_is_fresh_and_the_readme_is_a_page():
    assert (PROJECT / "docs" / "flags.md").read_text(encoding="utf-8") == f"{cli.flags_page()}\n"
    assert len(README.splitlines()) <= 180
    assert not [name for name in PRESETS if f"| `{name}` |" not in README]
    assert not [name for name in FORMATS if f"`{name}`" not in SERVING]


COMMAND = re.compile(
    r"(?:^    |`)(?:pip .* && )?(?:python |cvae-tf )(\w+)(?:\.py)?((?: --[^`\n]*)?)(?:$|`)",
    re.MULTILINE,
)


def test_commands_have_flags_and_names_that_there_are():
    commands = COMMAND.findall("\n".join(path.read_text(encoding="utf-8") for path in PAGES))
    commands += [("train", flag) for flag in re.findall(r"^\| `(--\w+(?:=\S+)?)` \|", README, re.M)]
    assert len(commands) > 60
    for command, given in commands:
        typed = shlex.split(given.replace("$MORE", ""))
        values = read_flags(cli.COMMANDS[command].by_name, typed)
        assert command != "generate" or values.get("mode", "samples") in MODE_NAMES


def test_links_lead_to_files():
    for path in [*PAGES, *PROJECT.glob("benchmarks/*.md"), PROJECT / "tests" / "README.md"]:
        for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
            assert "://" in link or (path.parent / link).exists(), f"{path}: {link}"


def test_public_names_are_those_promised_and_cost_nothing_until_they_are_used(tmp_path):
    names = ["train", "resume", "export", "load", "generate", "evaluate", "load_dataset", "report"]
    every = {*names, "Config", "CVAE", "GAN", "UserError"}
    assert every == set(cvae_tf.__all__) < set(dir(cvae_tf))
    for name in names:
        assert getattr(cvae_tf, name).__name__ == name
        assert "Returns:" in getattr(cvae_tf, name).__doc__
    assert issubclass(cvae_tf.CVAE, keras.Model) and issubclass(cvae_tf.GAN, keras.Model)
    code = "import sys, cvae_tf; cvae_tf.Config; print('tensorflow' in sys.modules)"
    done = run_python("-c", code, cwd=tmp_path, PYTHONPATH=str(PROJECT))
    assert (done.stdout, done.stderr) == ("False\n", "")
