import os
import pwd
import stat
import tempfile
from pathlib import Path

import pytest

from cvae_tf.core import paths
from cvae_tf.core.errors import MissingPathError, UserError


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


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("", "An empty path was given"),
        ("gs://bucket/pictures", "gcloud storage cp -r gs://bucket/pictures ."),
        ("s3://bucket/a.npz", "aws s3 cp --recursive s3://bucket/a.npz ."),
        ("HTTPS://example.org/a.npz", "curl -LO HTTPS://example.org/a.npz;"),
        (
            "hf://datasets/a/b",
            "is not a path of this machine; what is read must be copied here first; what",
        ),
        ("file:///home/ada", "give the path alone, without file://"),
    ],
)
def test_what_is_no_path_of_this_machine_is_refused(path, remedy):
    with pytest.raises(UserError) as error:
        paths.absolute(path)
    assert remedy in str(error.value)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working directory with pictures and a run."""
    for name in ("Pictures/train", "runs/first"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("pictrues", " Did you mean Pictures?"),
        ("PICTURES", " Did you mean Pictures?"),
        ("Pictures/trian", " Did you mean Pictures/train?"),
        ("picture/train/cat", " Did you mean Pictures?"),
        ("runs/frist/export/1", " Did you mean runs/first?"),
        ("elsewhere", ""),
        ("runs", ""),
    ],
)
def test_the_nearest_name_is_asked_for(home, path, question):
    assert paths.did_you_mean(Path(path)) == question


def test_what_is_missing_is_told_from_what_cannot_be_looked_at(home):
    paths.refuse_missing(Path("runs"))
    with pytest.raises(MissingPathError, match="pictrues: no such file or folder. Did you mean"):
        paths.refuse_missing(Path("pictrues"))
    with pytest.raises(UserError, match=r"Pictures/\*.png: patterns are not known here"):
        paths.refuse_missing(Path("Pictures/*.png"))
    (home / "a.npz").touch()
    for path, reason in (("a.npz/b", "Not a directory"), ("a" * 999, "File name too long")):
        with pytest.raises(UserError, match=f"cannot be looked at .{reason}"):
            paths.refuse_missing(Path(path))


def test_names_that_tensorflow_cannot_write_are_refused():
    paths.check_letters(Path("runs/日本"), "run_dir")
    with pytest.raises(UserError, match="--run_dir=/.*runs/.*cannot be written in UTF-8"):
        paths.check_letters(Path("runs/\udcff"), "run_dir")


VARIABLES = ("KERAS_HOME", "MPLCONFIGDIR", "TFDS_DATA_DIR")


@pytest.fixture
def without_home(tmp_path, monkeypatch):
    """Nobody knows a home directory; temporary files are in a folder of the test."""

    def nobody(_):
        raise KeyError

    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # which puts back at the end what there is now
        monkeypatch.delenv(name)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"cvae-tf-{os.getuid()}"


@pytest.mark.parametrize("home", [None, "", "/nonexistent/home"])
def test_without_a_home_directory_there_is_a_folder_of_ones_own(
    without_home, monkeypatch, capsys, home
):
    if home is not None:
        monkeypatch.setenv("HOME", home)
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # even if a root is asked
    assert paths.keras_home() == without_home / ".keras"
    assert capsys.readouterr().err == (
        "warning: there is no home directory to write to; what is kept for the next time is in "
        f"{without_home}/.keras (KERAS_HOME names another folder).\n"
    )
    assert all(os.environ[name].startswith(str(without_home)) for name in VARIABLES)
    assert stat.S_IMODE(without_home.stat().st_mode) == 0o700
    assert paths.keras_home() == without_home / ".keras" and capsys.readouterr().err == ""


def test_a_folder_into_which_others_can_write_is_not_taken(without_home):
    without_home.mkdir()
    without_home.chmod(0o777)
    taken = paths.keras_home()
    assert taken == paths.keras_home() and taken.parent != without_home
    assert set(without_home.parent.iterdir()) == {without_home, taken.parent}


def test_what_the_environment_says_is_left_alone(without_home, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_HOME", "/data/keras")
    assert paths.keras_home() == Path("/data/keras")
    assert capsys.readouterr().err == ""


def test_a_home_directory_is_used_as_ever(without_home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.keras_home() == tmp_path / ".keras"
    assert not set(VARIABLES) & set(os.environ)


def test_a_cache_that_is_there_is_used_though_nothing_can_be_added(
    without_home, tmp_path, monkeypatch, capsys
):
    (tmp_path / ".keras").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)
    assert paths.keras_home() == tmp_path / ".keras"
    assert capsys.readouterr().err == ""
