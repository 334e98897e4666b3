from pathlib import Path

import pytest

from cvae_tf.core import paths
from cvae_tf.core.errors import UserError


def test_tilde_is_the_home_directory(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert paths.expand("~/runs") == paths.expand(Path("~/runs")) == Path("/home/ada/runs")


def test_other_paths_stay_as_they_are():
    assert paths.expand("runs/~x") == Path("runs/~x")


def test_home_of_nobody_is_refused():
    with pytest.raises(UserError, match="~nobody-at-all/x: there is no such home directory"):
        paths.expand("~nobody-at-all/x")


def test_what_is_near_is_shown_short(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths.shown(tmp_path / "runs" / "a") == "runs/a"
    assert paths.shown("/elsewhere/a") == "/elsewhere/a"
    assert paths.shown("runs/a") == "runs/a"
