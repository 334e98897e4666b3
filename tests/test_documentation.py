"""What README.md and docs/ tell people to type."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import PROJECT, run_python

import cvae_tf

README = (PROJECT / "README.md").read_text(encoding="utf-8")
SERVING = (PROJECT / "docs" / "serving.md").read_text(encoding="utf-8")
REQUESTS = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", SERVING, re.DOTALL)]


def test_there_are_requests_of_both_kinds():
    assert [request["signature_name"] for request in REQUESTS] == ["sample", "decode"]


@pytest.mark.parametrize("request_body", REQUESTS)
def test_requests_fit_the_signatures_of_an_exported_model(exported_digits, request_body):
    signature = tf.saved_model.load(str(exported_digits)).signatures[request_body["signature_name"]]
    specs = signature.structured_input_signature[1]
    inputs = request_body["inputs"]
    assert set(inputs) == set(specs)
    tensors = {name: tf.constant(inputs[name], spec.dtype) for name, spec in specs.items()}
    for name, tensor in tensors.items():
        assert specs[name].shape.is_compatible_with(tensor.shape)
    images = signature(**tensors)["images"].numpy()
    assert images.shape[1:] == (28, 28, 1)


@pytest.mark.parametrize("name", ["export/1", "README"])
def test_python_of_the_documentation_runs(exported_digits, tmp_path, name):
    """Their paths lead to the newest run, in whose place stands an exported model."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(exported_digits.parents[1])
    text = README if name == "README" else SERVING
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (snippet,) = [code for code in snippets if 'tf.saved_model.load("runs/' in code]
    done = run_python("-c", snippet, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_ten_lines_train_and_sample(tmp_path):
    snippets = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (snippet,) = [code for code in snippets if "import cvae_tf" in code]
    assert len(snippet.splitlines()) <= 10
    code = f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n{snippet}"
    done = run_python("-c", code, cwd=tmp_path, KERAS_HOME=str(tmp_path / "keras"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "latest" / "export" / "1" / "saved_model.pb").exists()


def test_every_flag_is_in_the_readme():
    for script in ("train.py", "export.py", "generate.py", "evaluate.py"):
        code = (PROJECT / "cvae_tf" / "commands" / script).read_text(encoding="utf-8")
        for name in re.findall(r'flags.DEFINE_\w+\(\s*"(\w+)"', code):
            assert f"--{name}" in README, f"--{name} of {script}"


def test_public_names_are_those_promised():
    names = ["train", "resume", "export", "load", "generate", "evaluate", "load_dataset"]
    assert {*names, "Config", "CVAE", "UserError"} == set(cvae_tf.__all__) < set(dir(cvae_tf))
    for name in names:
        assert getattr(cvae_tf, name).__name__ == name
        assert "Returns:" in getattr(cvae_tf, name).__doc__
    assert issubclass(cvae_tf.CVAE, keras.Model)
    assert cvae_tf.Config.create().latent_dim == 2
    assert np.ndim(cvae_tf.load_dataset("digits").test.images) == 4
    with pytest.raises(AttributeError, match="has no attribute 'sing'"):
        cvae_tf.sing  # noqa: B018


def test_public_names_are_quiet_when_they_are_first_used(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import cvae_tf\n"
        "cvae_tf.load_dataset('digits'); print('tensorflow' in sys.modules)"
    )
    done = run_python("-c", code, PROJECT, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_public_names_cost_nothing_until_they_are_used(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import cvae_tf; cvae_tf.Config\n"
        "print('tensorflow' in sys.modules)"
    )
    assert run_python("-c", code, PROJECT, cwd=tmp_path).stdout.strip() == "False"
