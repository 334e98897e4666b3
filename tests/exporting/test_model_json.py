import json
import subprocess
from importlib import metadata

import pytest
from conftest import create_run, tiny_cvae

from cvae_tf.config import Config
from cvae_tf.exporting import model_json

ROWS = [{"epoch": 1, "test_elbo": -9.0}, {"epoch": 2, "test_elbo": -8.0}]


@pytest.fixture
def run(tmp_path, toy_dataset):
    return create_run(str(tmp_path / "run"), Config.create(seed=6), toy_dataset)


def test_description_says_what_a_model_was_made_from(run):
    described = model_json.describe(run, tiny_cvae(), ROWS)
    assert described["config"] == Config.create(seed=6).to_json()
    assert described["data"] == run.data
    assert described["metrics"] == ROWS[-1]
    assert "0.5" in described["binarization"] and described["title"] == "variational autoencoder"
    assert [measure["name"] for measure in described["measures"]][0] == "elbo"
    assert json.loads(json.dumps(described)) == described


def test_versions_are_those_installed(run):
    versions = model_json.describe(run, tiny_cvae(), ROWS)["versions"]
    assert versions == {name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")}


def _let_git_answer(monkeypatch, answers):
    def run(command, **_):
        answer = answers[command[3]]
        if answer is None:
            raise subprocess.CalledProcessError(128, command)
        return subprocess.CompletedProcess(command, 0, stdout=answer)

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.parametrize(
    ("tracked", "commit"),
    [("model_json.py\n", "0123abc"), ("", None), (None, None)],
    ids=["in its repository", "in the repository of something else", "in none"],
)
def test_commit_is_that_of_this_source_code_only(run, monkeypatch, tracked, commit):
    _let_git_answer(monkeypatch, {"ls-files": tracked, "rev-parse": "0123abc\n"})
    assert model_json.describe(run, tiny_cvae(), ROWS)["git_commit"] == commit


def test_repository_without_commits_has_none(run, monkeypatch):
    _let_git_answer(monkeypatch, {"ls-files": "model_json.py\n", "rev-parse": None})
    assert model_json.describe(run, tiny_cvae(), ROWS)["git_commit"] is None


def test_machine_without_git_has_no_commit(run, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert model_json.describe(run, tiny_cvae(), ROWS)["git_commit"] is None
