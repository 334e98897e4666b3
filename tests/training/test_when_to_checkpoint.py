"""When checkpoints are written; wherever a run is stopped, `test_resume.py` shows what is kept."""

import math
from pathlib import Path

import numpy as np
import pytest
from helpers import create_run, tiny_cvae

from cvae_tf.config import Config
from cvae_tf.training import checkpoints, signals
from cvae_tf.training.run_training import CheckpointCallback
from cvae_tf.training.trainer import Trainer

NEVER = (math.inf, math.inf)


@pytest.fixture
def trainer(toy_dataset):
    return Trainer(tiny_cvae(), toy_dataset, batch_size=8)  # five steps in an epoch


@pytest.fixture
def run(toy_dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return create_run("runs/a", Config.create(epochs=3), toy_dataset)


def _kept(run):
    return [int(path.name[5:]) for path in checkpoints.list_checkpoints(run.checkpoints)]


def test_neither_mistakes_of_the_program_nor_numbers_that_are_none_are_kept(run, trainer):
    callback = CheckpointCallback(run, trainer, [], NEVER)
    weight = trainer.model.trainable_variables[0]
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error), callback.watching():
            trainer.model.optimizer.iterations.assign_add(1)
            raise error
        weight.assign(np.full(weight.shape, np.nan))
    assert _kept(run) == []


def test_checkpoints_come_at_their_interval_and_the_first_makes_a_run_the_latest(run, trainer):
    callback = CheckpointCallback(run, trainer, [], (2, math.inf))
    kept, latest = [], []
    link = run.directory.parent / "latest"
    with callback.watching():
        for step in range(1, 6):
            trainer.model.optimizer.iterations.assign_add(1)
            callback(1, step, -10.0)
            kept.append(_kept(run))
            latest.append(link.exists())
            if step == 2:
                assert link.readlink() == Path("a")
                link.unlink()  # as if another run were the latest now
    assert kept == [[], [2], [2], [2, 4], [2, 4]]
    assert latest == [False, True, False, False, False]


def test_signal_to_a_script_is_answered_between_two_calls(run, trainer):
    callback = CheckpointCallback(run, trainer, [], NEVER)
    steps = trainer.model.optimizer.iterations
    with (
        pytest.raises(signals.Stopped),
        signals.stopping_by_signals(),
        callback.watching(),
    ):
        steps.assign_add(1)
        signals._signals.handle(15, None)
        steps.assign_add(1)  # the call that the signal came in goes on to its end
        callback(1, 2, -10.0)
        pytest.fail("went on")
    assert _kept(run) == [2]
