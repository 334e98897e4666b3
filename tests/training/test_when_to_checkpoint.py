import contextlib

import numpy as np
import pytest
from conftest import create_run, tiny_cvae

from cvae_tf.config import Config
from cvae_tf.training import checkpoint_files, stop_signals
from cvae_tf.training.checkpoint_files import Interval
from cvae_tf.training.trainer import Trainer
from cvae_tf.training.when_to_checkpoint import Keeper

NEVER = Interval(seconds=10**9)
ROW = {"epoch": 1, "step": 5, "test_elbo": -9.25}


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trainer(toy_dataset):
    return Trainer(tiny_cvae(), toy_dataset, batch_size=8)  # five steps in an epoch


@pytest.fixture
def run(toy_dataset):
    return create_run("runs/a", Config.create(epochs=3), toy_dataset)


def _take_steps(trainer, number):
    trainer.model.optimizer.iterations.assign_add(number)


def _kept(run):
    """How far the newest checkpoint says that the run has come."""
    if not checkpoint_files.list_checkpoints(run.checkpoints):
        return None
    progress, _ = checkpoint_files.restore_newest(run.checkpoints, tiny_cvae())
    return progress.epoch, progress.steps_done, progress.metrics


@pytest.mark.parametrize(
    ("steps", "rows", "kept"),
    [
        (0, [], None),
        (3, [], (1, 3, [])),
        (5, [], (1, 5, [])),
        (5, [ROW], (2, 0, [ROW])),
        (7, [ROW], (2, 2, [ROW])),
    ],
)
def test_progress_follows_from_steps_and_rows_wherever_training_is_stopped(
    run, trainer, steps, rows, kept
):
    keeper = Keeper(run, trainer, [], NEVER)
    with pytest.raises(KeyboardInterrupt), keeper.watching():
        _take_steps(trainer, steps)
        keeper.metrics = rows
        raise KeyboardInterrupt
    assert _kept(run) == kept


def test_weights_that_are_not_finite_are_not_kept(run, trainer):
    keeper = Keeper(run, trainer, [], NEVER)
    weight = trainer.model.trainable_variables[0]
    with pytest.raises(KeyboardInterrupt), keeper.watching():
        _take_steps(trainer, 1)
        weight.assign(np.full(weight.shape, np.nan))
        raise KeyboardInterrupt
    assert _kept(run) is None


def test_mistakes_of_the_program_change_no_checkpoint(run, trainer):
    with pytest.raises(ZeroDivisionError), Keeper(run, trainer, [], NEVER).watching():
        _take_steps(trainer, 1)
        raise ZeroDivisionError
    assert _kept(run) is None


def test_what_is_on_the_disk_is_not_written_again(run, trainer, monkeypatch):
    keeper = Keeper(run, trainer, [], NEVER)
    with pytest.raises(KeyboardInterrupt), keeper.watching():
        _take_steps(trainer, 5)
        keeper.finish_epoch(ROW)
        monkeypatch.setattr(checkpoint_files, "save_checkpoint", pytest.fail)
        raise KeyboardInterrupt
    assert _kept(run) == (2, 0, [ROW])


def test_checkpoints_within_an_epoch_come_at_their_interval(run, trainer):
    keeper = Keeper(run, trainer, [], Interval(steps=2))
    kept = []
    with keeper.watching():
        for step in range(1, 6):
            _take_steps(trainer, 1)
            keeper(1, step, -10.0)
            kept.append(_kept(run) and _kept(run)[1])
    assert kept == [None, 2, 2, 4, 4]


def test_signal_to_a_script_is_answered_between_two_calls(run, trainer):
    keeper = Keeper(run, trainer, [], NEVER)
    with (
        pytest.raises(stop_signals.Stopped),
        stop_signals.stopping_by_signals(),
        keeper.watching(),
    ):
        _take_steps(trainer, 1)
        stop_signals._signals.handle(15, None)
        _take_steps(trainer, 1)  # the call that the signal came in goes on to its end
        keeper(1, 2, -10.0)
        pytest.fail("went on")
    assert _kept(run) == (1, 2, [])


def test_run_becomes_the_latest_with_its_first_checkpoint(run, trainer, toy_dataset):
    latest = run.directory.parent / "latest"
    keeper = Keeper(run, trainer, [], NEVER)
    assert not latest.exists()
    keeper.save()
    assert latest.resolve() == run.directory
    other = create_run("runs/b", run.config, toy_dataset)
    Keeper(other, trainer, [], NEVER).save()
    keeper.save()
    assert latest.resolve() == other.directory


def test_bar_is_of_one_epoch_and_gone_afterwards(run, trainer, monkeypatch, capsys):
    monkeypatch.setattr("cvae_tf.core.messages.is_on_terminal", lambda: True)
    keeper = Keeper(run, trainer, [], NEVER)
    with contextlib.suppress(KeyboardInterrupt), keeper.watching():
        for epoch, step in ((1, 3), (1, 5), (2, 3)):
            keeper(epoch, step, -7.5)
        raise KeyboardInterrupt
    text = capsys.readouterr().out
    shown = [line.rstrip() for line in text.split("\r") if line.strip()]
    assert [line.split(":")[0] for line in shown] == ["epoch 1/3", "epoch 1/3", "epoch 2/3"]
    assert "100%" in shown[1] and "training -7.50" in shown[0]
    assert text.endswith(" \r")
