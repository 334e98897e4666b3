import json
import os
import sys
from types import SimpleNamespace

import pytest
from conftest import run_script

from cvae_tf.core import keras_import
from cvae_tf.core.errors import UserError


@pytest.fixture
def keras_json(tmp_path, monkeypatch):
    """Writes the `keras.json` of another project."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("KERAS_BACKEND", "KERAS_NNX_ENABLED"):
        monkeypatch.setenv(name, "")  # which puts back at the end what there is now
        monkeypatch.delenv(name)

    def write(contents):
        text = contents if isinstance(contents, str) else json.dumps(contents)
        (tmp_path / "keras.json").write_text(text, encoding="utf-8")

    return write


@pytest.mark.parametrize("backend", ["torch", "jax", None, 3])
def test_the_backend_of_another_project_is_not_taken(keras_json, capsys, backend):
    keras_json({"backend": backend, "nnx_enabled": True})
    keras_import.prepare()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert os.environ["KERAS_NNX_ENABLED"] == "false"
    said = capsys.readouterr().err
    assert f"keras.json names the backend {backend}; cvae-tf takes tensorflow." in said
    keras_import.prepare()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("contents", [{"backend": "tensorflow", "floatx": "float64"}, "{no json"])
def test_what_keras_can_live_with_is_left_alone(keras_json, capsys, contents):
    keras_json(contents)
    keras_import.prepare()
    assert "KERAS_BACKEND" not in os.environ
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({"epsilon": "1e-7"}, "epsilon is '1e-7', not a number such as 1e-07"),
        ({"epsilon": 0}, "epsilon is 0,"),
        ({"floatx": "bfloat16"}, "floatx is 'bfloat16', not float16 or float32 or float64"),
        ({"image_data_format": []}, "image_data_format is [], not channels_last or"),
        ([1], "it must hold settings by name"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_what_would_end_in_a_traceback_of_keras_is_refused(keras_json, contents, reason):
    keras_json(contents)
    with pytest.raises(UserError, match="keras.json: Keras cannot read its settings .*mend") as e:
        keras_import.prepare()
    assert reason in str(e.value)


def test_another_backend_that_was_asked_for_or_is_there_is_refused(monkeypatch):
    keras_import.check_backend()
    there = SimpleNamespace(config=SimpleNamespace(backend=lambda: "torch"))
    monkeypatch.setitem(sys.modules, "keras", there)
    with pytest.raises(UserError, match="Keras' backend is torch here, and cvae-tf needs tensor"):
        keras_import.check_backend()
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(UserError, match="is jax here.*set KERAS_BACKEND=tensorflow before"):
        keras_import.check_backend()
    for usual in ("", "tensorflow"):
        monkeypatch.setenv("KERAS_BACKEND", usual)
        keras_import.check_backend()


def test_a_script_says_in_a_line_that_there_is_another_backend(tmp_path):
    done = run_script("train.py", "--dataset=digits", cwd=tmp_path, KERAS_BACKEND="jax")
    assert done.returncode == 1
    assert done.stderr.startswith("error: Keras' backend is jax") and done.stderr.count("\n") == 1
