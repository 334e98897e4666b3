"""Settings that cannot be are refused by name; others become plain values. Threads."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.core import settings, tensorflow_setup
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Some:
    whole: int = setting("", 3, least=1, most=10)
    share: float = setting("", 0.5, least=0, most=1)
    positive: float = setting("", 1.0, least=0)
    chosen: str = setting("", "a", choices=("a", "b"))
    open: str = setting("", "a", choices=("a", "b"), are_open=True)
    text: str | None = setting("", None)
    path: str | None = setting("", None, is_path=True)
    flag: bool = setting("", False)
    rate: float | None = setting("", None, least=0, most=1)

    def __post_init__(self):
        settings.check(self)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("whole", 0, "--whole=0: must be a whole number from 1 to 10"),
        ("share", 1.01, "--share=1.01: must be a number from 0 to 1"),
        ("positive", 0, "--positive=0: must be a number above 0"),
        ("chosen", "c", "--chosen=c: unknown; choose from a, b"),
        ("flag", 1, "--flag=1: has the wrong type"),
        ("rate", float("nan"), "--rate=nan: must be a number from 0 to 1"),
        ("hwole", 7, "hwole: is no setting; there are chosen, flag, open"),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(name, value, message):
    with pytest.raises(UserError, match=message):
        settings.check_names([name], Some)
        Some(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [("whole", np.int64(10), 10), ("share", np.float32(0.25), 0.25), ("share", 0.0, 0.0),
     ("open", "mine", "mine"), ("flag", np.bool_(True), True), ("text", np.int64(7), "7")],
)  # fmt: skip
def test_values_in_range_are_taken_as_plain_ones(name, value, plain):
    own = getattr(Some(**{name: value}), name)
    assert own == plain and type(own) is type(plain)


def test_paths_hold_in_any_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in (Path("~/data/a.npz"), "data/a.npz"):
        assert Some(path=path).path == str(tmp_path / "data" / "a.npz")


def test_each_half_of_a_batch_gets_half_of_the_threads(monkeypatch):
    inter, intra = [], []
    monkeypatch.setattr(tensorflow_setup, "count_cores", lambda: 6)
    config = tf.config.threading
    monkeypatch.setattr(config, "set_inter_op_parallelism_threads", inter.append)
    monkeypatch.setattr(config, "set_intra_op_parallelism_threads", intra.append)
    assert all(tensorflow_setup.set_threads(wanted) for wanted in (1, 2, 8, 0))
    assert (inter, intra) == ([1, 2, 2, 2], [1, 1, 4, 3])


def test_tensorflow_in_use_keeps_its_threads_and_nothing_fails():
    tf.zeros([1])
    assert tensorflow_setup.set_threads(0)  # as `helpers` has set them
    assert not tensorflow_setup.set_threads(1000) and tensorflow_setup.set_threads(0)
