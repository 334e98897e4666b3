import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cvae_tf.core import settings
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Some:
    whole: int = setting("", 3, least=1, most=10)
    share: float = setting("", 0.5, least=0, most=1)
    positive: float = setting("", 1.0, least=0)
    name: str = setting("", "a", choices=("a", "b"))
    text: str | None = setting("", None)
    path: str | None = setting("", None, is_path=True)
    flag: bool = setting("", False)
    steps: int | None = setting("", None, least=0, most=9)
    rate: float | None = setting("", None, least=0, most=1)

    def __post_init__(self):
        settings.check(self)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("whole", 0, "--whole=0: must be a whole number from 1 to 10"),
        ("whole", 11, "from 1 to 10"),
        ("whole", 2.0, "whole number"),
        ("whole", True, "whole number"),
        ("share", 1.01, "--share=1.01: must be a number from 0 to 1"),
        ("share", float("nan"), "number from 0 to 1"),
        ("share", "half", "--share='half': must be a number from 0 to 1"),
        ("positive", 0, "--positive=0: must be a number above 0"),
        ("positive", float("inf"), "above 0"),
        ("name", "c", "--name=c: unknown; choose from a, b"),
        ("flag", 1, "--flag=1: has the wrong type"),
        ("text", 1.5, "--text=1.5: has the wrong type"),
        ("steps", -3, "--steps=-3: must be a whole number from 0 to 9"),
        ("steps", True, "whole number"),
        ("rate", float("nan"), "--rate=nan: must be a number from 0 to 1"),
        ("rate", 7.0, "number from 0 to 1"),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(name, value, message):
    with pytest.raises(UserError, match=message):
        Some(**{name: value})


class _OpenNames:
    """As a table that takes more names than it lists."""

    listed = "a, x:NAME"

    def __contains__(self, name):
        return name == "a" or name.startswith("x:")


def test_choices_may_take_more_than_they_list():
    @dataclasses.dataclass(frozen=True)
    class Open:
        name: str = setting("", "a", choices=_OpenNames())

        def __post_init__(self):
            settings.check(self)

    assert Open("x:anything").name == "x:anything"
    with pytest.raises(UserError, match="--name=b: unknown; choose from a, x:NAME"):
        Open("b")


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("whole", np.int64(10), 10),
        ("share", np.float32(0.25), 0.25),
        ("share", 1, 1),
        ("flag", np.bool_(True), True),
        ("text", 7, "7"),
        ("steps", 0, 0),
        ("rate", 1, 1),
        ("rate", None, None),
        ("text", np.int64(7), "7"),
    ],
)
def test_values_of_other_kinds_become_plain_ones(name, value, plain):
    own = getattr(Some(**{name: value}), name)
    assert own == plain and type(own) is type(plain)


@pytest.mark.parametrize("path", ["~/data/a.npz", Path("~/data/a.npz")])
def test_paths_hold_in_any_folder(monkeypatch, tmp_path, path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Some(path=path).path == str(tmp_path / "data" / "a.npz")
    monkeypatch.chdir(tmp_path)
    assert Some(path="a.npz").path == str(tmp_path / "a.npz")
