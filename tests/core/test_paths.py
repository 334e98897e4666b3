"""Paths: `~`, addresses of elsewhere, what is missing and what may be meant, no home directory."""

import os
import pwd
import stat
import tempfile
from pathlib import Path

import pytest

from cvae_tf.core import paths
from cvae_tf.core.errors import MissingPathError, UserError


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("", "An empty path was given"),
        ("~nobody-at-all/x", "there is no such home directory"),
        ("gs://bucket/pictures", "gcloud storage cp -r gs://bucket/pictures ."),
        ("HTTPS://example.org/a.npz", "curl -LO HTTPS://example.org/a.npz;"),
        ("hf://datasets/a", "what is read must be copied here first; what is written, after"),
        ("file:///home/ada", "give the path alone, without file://"),
    ],
)
def test_what_is_no_path_of_this_machine_is_refused_with_what_to_do(path, remedy):
    with pytest.raises(UserError) as error:
        paths.absolute(path)
    assert remedy in str(error.value)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with pictures and a run."""
    for name in ("Pictures/train", "runs/first"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a.npz").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("pictrues", " Did you mean Pictures?"),
        ("Pictures/trian", " Did you mean Pictures/train?"),
        ("picture/train/cat", " Did you mean Pictures?"),
        ("runs/frist/export/1", " Did you mean runs/first?"),
        ("elsewhere", ""),
        ("runs", ""),
    ],
)
def test_the_nearest_name_is_asked_for(place, path, question):
    assert paths.did_you_mean(Path(path)) == question
    assert paths.shown(place / path) == path  # short, if it is near
    assert paths.shown(f"/elsewhere/{path}") == f"/elsewhere/{path}"


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("pictrues", MissingPathError, "pictrues: no such file or folder. Did you mean"),
        ("Pictures/*.png", UserError, r"Pictures/\*.png: patterns are not known here"),
        ("a.npz/b", UserError, "cannot be looked at .Not a directory"),
        ("a" * 999, UserError, "cannot be looked at .File name too long"),
        ("runs/\udcff", UserError, "--run_dir=/.*cannot be written in UTF-8"),
    ],
)
def test_what_is_missing_or_cannot_be_looked_at_is_refused(place, path, error, message):
    paths.check_letters(Path("runs/日本"), "run_dir")
    paths.refuse_missing(Path("runs"))
    with pytest.raises(error, match=message):
        paths.check_letters(Path(path), "run_dir")
        paths.refuse_missing(Path(path))


VARIABLES = ("KERAS_HOME", "MPLCONFIGDIR", "TFDS_DATA_DIR")


@pytest.fixture
def without_home(tmp_path, monkeypatch):
    """Nobody knows a home directory; a folder of one's own would be in a folder of the test."""

    def nobody(_):
        raise KeyError

    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # which puts back at the end what there is now
        monkeypatch.delenv(name)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"cvae-tf-{os.getuid()}"


@pytest.mark.parametrize("home", [None, "/nonexistent/home"])
def test_without_a_home_directory_there_is_a_folder_of_ones_own(
    without_home, monkeypatch, capsys, home
):
    if home is not None:
        monkeypatch.setenv("HOME", home)
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # even if a root is asked
    assert paths.keras_home() == without_home / ".keras"
    said = capsys.readouterr().err
    assert said.startswith("warning: there is no home directory to write to")
    assert said.count("\n") == 1 and f"{without_home}/.keras (KERAS_HOME names" in said
    assert all(os.environ[name].startswith(str(without_home)) for name in VARIABLES)
    assert stat.S_IMODE(without_home.stat().st_mode) == 0o700
    assert paths.keras_home() == without_home / ".keras" and capsys.readouterr().err == ""
    without_home.chmod(0o777)  # others can write into it: it is not taken
    monkeypatch.delenv("KERAS_HOME")
    assert paths.keras_home().parent != without_home


@pytest.mark.parametrize("can_write", [True, False])
def test_what_there_is_already_is_used(without_home, tmp_path, monkeypatch, capsys, can_write):
    (tmp_path / ".keras").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    if not can_write:
        monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)
    assert paths.keras_home() == tmp_path / ".keras"
    assert can_write != bool(set(VARIABLES) & set(os.environ))
    monkeypatch.setenv("KERAS_HOME", "/data/keras")
    assert paths.keras_home() == Path("/data/keras") and capsys.readouterr().err == ""
