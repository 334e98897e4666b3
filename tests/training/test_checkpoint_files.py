import hashlib
import json
import math
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import binary_images, create_run, names_in, tiny_cvae, weights_of

from cvae_tf.config import Config, RunOptions
from cvae_tf.core.errors import UserError
from cvae_tf.models.base import Measure
from cvae_tf.models.vae.family import VaeFamily
from cvae_tf.training import checkpoints, signals
from cvae_tf.training.checkpoints import Progress
from cvae_tf.training.run_directory import find_run
from cvae_tf.training.run_training import CheckpointCallback
from cvae_tf.training.trainer import Trainer


def _save_each_step(directory, figures, column="test_elbo", **options):
    """A checkpoint after each step, as of epochs with such figures."""
    model, rows = tiny_cvae(seed=1, **options), []
    for step, figure in enumerate(figures, start=1):
        model.train_step(binary_images(4))
        rows = [*rows, {"epoch": step, "step": step, column: figure}]
        checkpoints.save_checkpoint(directory, model, Progress(step + 1, 0, rows))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Checkpoints after 1, 2 and 3 steps, of which the second is the best."""
    directory = tmp_path_factory.mktemp("three")
    _save_each_step(directory, [-9.0, -3.0, -5.0])
    return directory


@pytest.fixture
def copy(three, tmp_path):
    return shutil.copytree(three, tmp_path / "copy")


def test_newest_three_checkpoints_and_the_best_are_kept(tmp_path, monkeypatch):
    """Here the lowest figure is the best; elsewhere the highest."""
    measure = Measure("figure", "figure", "per image", higher_is_better=False)
    monkeypatch.setattr(VaeFamily, "test_measures", lambda *_: (measure,))
    figures = [9.0, 5.0, 8.0, 7.0, 6.0, 6.5]
    _save_each_step(tmp_path, figures, "test_figure", optimizer=keras.optimizers.SGD())
    assert names_in(tmp_path) == [f"step_{step:08d}" for step in (2, 4, 5, 6)]


def test_checkpoints_are_plain_arrays_with_a_sum_and_a_state_for_people(three):
    path = three / "step_00000001"
    assert names_in(path) == ["SHA256SUMS", "state.npz"]
    with np.load(path / "state.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fiu" for name in arrays)
        state = json.loads(arrays["state"].tobytes())
    row = {"epoch": 1, "step": 1, "test_elbo": -9.0}
    assert state == {"epoch": 2, "steps_done": 0, "metrics": [row]}


def test_a_checkpoint_is_whole_or_not_there(copy, tiny_model, monkeypatch):
    before, save = {path: path.read_bytes() for path in copy.glob("*/*")}, np.savez

    def break_off(file, **arrays):
        save(file, **arrays)
        raise OSError("the disk is gone")

    monkeypatch.setattr(np, "savez", break_off)
    for step in (3, 4):
        tiny_model.optimizer.iterations.assign(step)
        with pytest.raises(UserError, match="cannot be written .the disk is gone"):
            checkpoints.save_checkpoint(copy, tiny_model, Progress(1, step, []))
        assert before == {path: path.read_bytes() for path in copy.glob("*/*")}


def _flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _halve_the_state(file):
    """With the right sum."""
    with np.load(file) as arrays:
        halved = {**arrays, "state": np.frombuffer(b"{", np.uint8)}
    np.savez(file, **halved)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_name("SHA256SUMS").write_text(f"{digest}  state.npz\n")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [(_flip_a_bit, "damaged"), (Path.unlink, "damaged"), (_halve_the_state, "no valid state")],
)
def test_damage_is_told_and_the_next_older_checkpoint_is_used(copy, damage, problem, capsys):
    newest, model = copy / "step_00000003", tiny_cvae(seed=8)
    damage(newest / "state.npz")
    assert checkpoints.restore_newest(copy, model).epoch == 3
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"warning: {newest}: ") and problem in told
    assert told.endswith("The next older checkpoint is used.")
    with np.load(copy / "step_00000002" / "state.npz") as expected:
        for name, variable in checkpoints._named_variables(model):
            np.testing.assert_array_equal(variable, expected[name])


def test_checkpoint_of_another_model_is_refused_and_changes_nothing(tmp_path, tiny_model):
    _save_each_step(tmp_path, [-1.0], latent_dim=3)
    before = weights_of(tiny_model)
    with pytest.raises(UserError, match="not a checkpoint of this run's model"):
        checkpoints.restore_newest(tmp_path, tiny_model)
    np.testing.assert_equal(weights_of(tiny_model), before)


def test_the_best_epoch_is_restored_or_else_the_newest_or_all_is_told(copy, tiny_model, capsys):
    assert checkpoints.restore_best(copy, tiny_model).epoch == 3
    assert int(tiny_model.steps.numpy()) == 2 and capsys.readouterr().err == ""
    (copy / "step_00000002" / "state.npz").write_bytes(b"damaged")
    assert checkpoints.restore_best(copy, tiny_model).epoch == 4
    assert int(tiny_model.steps.numpy()) == 3 and "step_00000002" in capsys.readouterr().err
    for path in copy.iterdir():
        (path / "SHA256SUMS").unlink()
    with pytest.raises(UserError, match="No good checkpoint is left") as told:
        checkpoints.restore_best(copy, tiny_model)
    assert all(path.name in str(told.value) for path in copy.iterdir())


def test_options_of_a_run_are_read_or_refused():
    for text, interval in (("10", (10, math.inf)), ("60s", (math.inf, 60))):
        assert RunOptions(checkpoint_every=text).checkpoint_interval == interval
    for wrong in ("", "0s", "-1", "10m"):
        with pytest.raises(UserError, match="--checkpoint_every"):
            RunOptions(checkpoint_every=wrong)
    assert RunOptions(verbose=False).verbose == 0
    for wrong in ("x", 2.7, None):
        with pytest.raises(UserError, match="--verbose"):
            RunOptions(verbose=wrong)


# When they are written; wherever a run is stopped, `test_resume.py` shows what is kept

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
                assert find_run(link) == run.directory  # which stays, wherever the link points to
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
