"""Paths: `~`, addresses of elsewhere, what is missing."""

from pathlib import Path

import pytest

from cvae_tf.core import paths
from cvae_tf.core.errors import MissingPathError, UserError


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("", "An empty path was given"),
        ("~nobody-at-all/x", "there is no such home directory"),
        ("gs://bucket/pictures", "what is read must be copied here first"),
    ],
)
def test_what_is_no_path_of_this_machine_is_refused_with_what_to_do(path, remedy):
    with pytest.raises(UserError) as error:
        paths.absolute(path)
    assert remedy in str(error.value)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("pictrues/train", MissingPathError, r"pictrues/train: no such file or folder\.$"),
        ("a.npz/b", UserError, "cannot be looked at .Not a directory"),
    ],
)
def test_what_is_missing_or_cannot_be_looked_at_is_refused(
    tmp_path, monkeypatch, path, error, message
):
    (tmp_path / "Pictures").mkdir()
    (tmp_path / "a.npz").touch()
    monkeypatch.chdir(tmp_path)
    paths.refuse_missing(Path("Pictures"))
    with pytest.raises(error, match=message):
        paths.refuse_missing(Path(path))
