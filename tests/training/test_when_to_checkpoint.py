"""When checkpoints are written; wherever a run is stopped, `test_resume.py` shows what is kept."""

import numpy as np
import pytest
from conftest import create_run, tiny_cvae

from cvae_tf.config import Config
from cvae_tf.training import checkpoint_files, stop_signals
from cvae_tf.training.checkpoint_files import Interval
from cvae_tf.training.trainer import Trainer
from cvae_tf.training.when_to_checkpoint import Keeper

NEVER = Interval(seconds=10**9)


@pytest.fixture
def trainer(toy_dataset):
    return Trainer(tiny_cvae(), toy_dataset, batch_size=8)  # five steps in an epoch


@pytest.fixture
def run(toy_dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return create_run("runs/a", Config.create(epochs=3), toy_dataset)


def _kept(run):
    return [int(path.name[5:]) for path in checkpoint_files.list_checkpoints(run.checkpoints)]


def test_neither_mistakes_of_the_program_nor_numbers_that_are_none_are_kept(run, trainer):
    keeper, weight = Keeper(run, trainer, [], NEVER), trainer.model.trainable_variables[0]
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error), keeper.watching():
            trainer.model.optimizer.iterations.assign_add(1)
            raise error
        weight.assign(np.full(weight.shape, np.nan))
    assert _kept(run) == []


def test_checkpoints_within_an_epoch_come_at_their_interval(run, trainer):
    keeper, kept = Keeper(run, trainer, [], Interval(steps=2)), []
    with keeper.watching():
        for step in range(1, 6):
            trainer.model.optimizer.iterations.assign_add(1)
            keeper(1, step, -10.0)
            kept.append(_kept(run))
    assert kept == [[], [2], [2], [2, 4], [2, 4]]


def test_signal_to_a_script_is_answered_between_two_calls(run, trainer):
    keeper, steps = Keeper(run, trainer, [], NEVER), trainer.model.optimizer.iterations
    with (
        pytest.raises(stop_signals.Stopped),
        stop_signals.stopping_by_signals(),
        keeper.watching(),
    ):
        steps.assign_add(1)
        stop_signals._signals.handle(15, None)
        steps.assign_add(1)  # the call that the signal came in goes on to its end
        keeper(1, 2, -10.0)
        pytest.fail("went on")
    assert _kept(run) == [2]


def test_run_becomes_the_latest_with_its_first_checkpoint(run, trainer, toy_dataset):
    latest = run.directory.parent / "latest"
    other = create_run("runs/b", run.config, toy_dataset)
    assert not latest.exists()
    for each, expected in ((run, run), (other, other), (run, other)):
        Keeper(each, trainer, [], NEVER).save()
        assert latest.resolve() == expected.directory


def test_bar_is_of_one_epoch_and_gone_afterwards(run, trainer, monkeypatch, capsys):
    monkeypatch.setattr("cvae_tf.core.messages.is_on_terminal", lambda: True)
    keeper = Keeper(run, trainer, [], NEVER)
    with keeper.watching():
        for epoch, step in ((1, 3), (1, 5), (2, 3)):
            keeper(epoch, step, -7.5)
    text = capsys.readouterr().out
    shown = [line.rstrip() for line in text.split("\r") if line.strip()]
    assert [line.split(":")[0] for line in shown] == ["epoch 1/3", "epoch 1/3", "epoch 2/3"]
    assert "100%" in shown[1] and "training -7.50" in shown[0]
    assert text.endswith(" \r")
