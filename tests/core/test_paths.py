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
        ("file:///home/ada", "give the path alone, without file://"),
    ],
)
def test_what_is_no_path_of_this_machine_is_refused_with_what_to_do(path, remedy):
    with pytest.raises(UserError) as error:
        paths.absolute(path)
    assert remedy in str(error.value)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("pictrues/train", MissingPathError, r": no such file or folder. Did you mean Pictures\?$"),
        ("Pictures/trian", MissingPathError, r"Did you mean Pictures/train\?$"),
        ("Pictures/*.png", UserError, r"Pictures/\*.png: patterns are not known here"),
        ("a.npz/b", UserError, "cannot be looked at .Not a directory"),
        ("runs/\udcff", UserError, "--run_dir=/.*cannot be written in UTF-8"),
    ],
)
def test_what_is_missing_or_cannot_be_looked_at_is_refused(
    tmp_path, monkeypatch, path, error, message
):
    (tmp_path / "Pictures" / "train").mkdir(parents=True)
    (tmp_path / "a.npz").touch()
    monkeypatch.chdir(tmp_path)
    paths.check_letters(Path("runs/日本"), "run_dir")
    paths.refuse_missing(Path("Pictures"))
    with pytest.raises(error, match=message):
        paths.check_letters(Path(path), "run_dir")
        paths.refuse_missing(Path(path))


VARIABLES = ("KERAS_HOME", "MPLCONFIGDIR", "TFDS_DATA_DIR")


def test_without_a_home_directory_there_is_a_folder_of_ones_own(tmp_path, monkeypatch, capsys):
    def nobody(_):
        raise KeyError

    for name in (*VARIABLES, "HOME"):
        monkeypatch.setenv(name, "")  # which puts back at the end what there is now
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = tmp_path / f"cvae-tf-{os.getuid()}"
    assert paths.keras_home() == own / ".keras"
    said = capsys.readouterr().err
    assert said.startswith("warning: there is no home directory to write to; what is kept for")
    assert all(os.environ[name].startswith(str(own)) for name in VARIABLES)
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    own.chmod(0o777)  # others can write into it: it is not taken
    monkeypatch.delenv("KERAS_HOME")
    assert paths.keras_home().parent != own
    monkeypatch.setenv("KERAS_HOME", "/data/keras")
    assert paths.keras_home() == Path("/data/keras")
