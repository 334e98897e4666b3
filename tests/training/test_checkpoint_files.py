import hashlib
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import binary_images, tiny_cvae, tiny_images, weights_of

from cvae_tf.core.errors import UserError
from cvae_tf.data import feeding
from cvae_tf.models.measures import Measure
from cvae_tf.models.vae.model import CVAE
from cvae_tf.training import checkpoint_files
from cvae_tf.training.checkpoint_files import Interval, Moment, Progress
from cvae_tf.training.trainer import Trainer

ROWS = [{"epoch": 1, "step": 5, "test_elbo": -9.25}, {"epoch": 2, "step": 10, "test_elbo": -8.5}]
HERE = Progress(epoch=3, steps_done=4, metrics=ROWS)


def _trained(steps=3, **options):
    model = tiny_cvae(**options)
    for step in range(steps):
        model.train_step((tiny_images(4, seed=step) > 127).astype(np.float32))
    return model


def _state_of(model):
    owners = (model.optimizer, *model.means.values())
    return weights_of(model) + [v.numpy() for owner in owners for v in owner.variables]


def _names(directory):
    return sorted(path.name for path in Path(directory).iterdir())


def _three_checkpoints(directory):
    """Checkpoints after 1, 2 and 3 steps; returns their paths and the states they hold."""
    model, paths, states = tiny_cvae(), [], []
    for step in range(3):
        model.train_step((tiny_images(4) > 127).astype(np.float32))
        progress = Progress(epoch=1, steps_done=step + 1, metrics=[])
        paths.append(checkpoint_files.save_checkpoint(directory, model, progress))
        states.append(_state_of(model))
    return paths, states


def test_checkpoint_brings_back_everything_bit_for_bit(tmp_path):
    model, fresh = _trained(), tiny_cvae(seed=9)
    checkpoint_files.save_checkpoint(tmp_path, model, HERE)
    assert checkpoint_files.restore_newest(tmp_path, fresh) == (HERE, [])
    states = list(zip(_state_of(model), _state_of(fresh), strict=True))
    assert len(states) > 26
    for saved, restored in states:
        np.testing.assert_array_equal(saved, restored)


def test_without_checkpoints_a_run_is_at_its_beginning(tmp_path, tiny_model):
    before = weights_of(tiny_model)
    assert checkpoint_files.restore_newest(tmp_path, tiny_model) == (Progress(1, 0, []), [])
    for old, new in zip(before, weights_of(tiny_model), strict=True):
        np.testing.assert_array_equal(old, new)


def _train_and_save(model, dataset, directory, stop_after_calls=None):
    """Trains three epochs of five steps, two to a call, with a checkpoint after each call."""
    metrics, calls = [], iter(range(1000))

    def on_progress(epoch, step, elbo):
        checkpoint_files.save_checkpoint(directory, model, Progress(epoch, step, metrics))
        if next(calls) == stop_after_calls:
            raise InterruptedError

    progress, _ = checkpoint_files.restore_newest(directory, model)
    metrics += progress.metrics
    own = Trainer(model, dataset, 8, augment=0.5)
    for result in own.run_epochs(3, on_progress, progress.epoch, progress.steps_done):
        both = {"test_elbo": result.test["elbo"], "train_elbo": result.train["elbo"]}
        metrics.append({"step": result.step, **both})
        after = Progress(result.epoch + 1, 0, metrics)
        checkpoint_files.save_checkpoint(directory, model, after)
    return metrics


@pytest.mark.parametrize("calls", [0, 2, 4, 7])
def test_run_stopped_anywhere_ends_as_if_it_had_not_been(tmp_path, monkeypatch, toy_dataset, calls):
    monkeypatch.setattr(feeding, "_STEPS_PER_CALL", 2)
    whole, stopped, resumed = (tiny_cvae(seed=3) for _ in range(3))
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    expected = _train_and_save(whole, toy_dataset, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        _train_and_save(stopped, toy_dataset, tmp_path / "broken", stop_after_calls=calls)
    assert _train_and_save(resumed, toy_dataset, tmp_path / "broken") == expected
    for without, after in zip(_state_of(whole), _state_of(resumed), strict=True):
        np.testing.assert_array_equal(without, after)


def test_newest_three_checkpoints_and_the_best_are_kept(tmp_path):
    model, metrics = tiny_cvae(), []
    for step, elbo in enumerate((-9.0, -5.0, -8.0, -7.0, -6.0, -6.5), start=1):
        model.train_step((tiny_images(4) > 127).astype(np.float32))
        metrics.append({"step": step, "test_elbo": elbo})
        checkpoint_files.save_checkpoint(tmp_path, model, Progress(step + 1, 0, metrics))
    assert _names(tmp_path) == [f"step_{step:08d}" for step in (2, 4, 5, 6)]


def test_the_best_checkpoint_may_be_the_one_with_the_least(tmp_path, monkeypatch):
    measure = Measure("error", "error", "per image", higher_is_better=False)
    monkeypatch.setattr(CVAE, "test_measures", (measure,))
    model, metrics = tiny_cvae(), []
    for step, error in enumerate((9.0, 5.0, 8.0, 7.0, 6.0, 6.5), start=1):
        model.train_step((tiny_images(4) > 127).astype(np.float32))
        metrics.append({"step": step, "test_error": error})
        checkpoint_files.save_checkpoint(tmp_path, model, Progress(step + 1, 0, metrics))
    assert _names(tmp_path) == [f"step_{step:08d}" for step in (2, 4, 5, 6)]


def test_checkpoints_are_arrays_without_pickles_and_their_sum(tmp_path):
    path = checkpoint_files.save_checkpoint(tmp_path, _trained(), HERE)
    assert _names(path) == ["SHA256SUMS", "state.npz"]
    with np.load(path / "state.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fiu" for name in arrays)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:500])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncate, _flip, Path.unlink])
@pytest.mark.parametrize("name", ["state.npz", "SHA256SUMS"])
def test_damage_is_reported_and_the_next_older_checkpoint_is_used(tmp_path, damage, name):
    paths, states = _three_checkpoints(tmp_path)
    if (damage, name) == (_truncate, "SHA256SUMS"):
        (paths[-1] / name).write_text("")
    else:
        damage(paths[-1] / name)
    model = tiny_cvae(seed=8)
    progress, problems = checkpoint_files.restore_newest(tmp_path, model)
    assert progress.steps_done == 2
    assert len(problems) == 1
    assert problems[0].startswith(f"{paths[-1]}: damaged")
    for saved, restored in zip(states[1], _state_of(model), strict=True):
        np.testing.assert_array_equal(saved, restored)


def test_with_no_good_checkpoint_left_all_problems_are_told(tmp_path, tiny_model):
    paths, _ = _three_checkpoints(tmp_path)
    for path in paths:
        _flip(path / "state.npz")
    with pytest.raises(UserError, match="No good checkpoint is left") as told:
        checkpoint_files.restore_newest(tmp_path, tiny_model)
    assert all(path.name in str(told.value) for path in paths)


@pytest.mark.parametrize(
    "others",
    [{"latent_dim": 3}, {"optimizer": keras.optimizers.SGD(0.1)}],
    ids=["latents", "optimizer"],
)
def test_checkpoint_of_another_model_is_refused_and_changes_nothing(tmp_path, others):
    checkpoint_files.save_checkpoint(tmp_path, _trained(**others), HERE)
    model = tiny_cvae()
    before = weights_of(model)
    with pytest.raises(UserError, match="not a checkpoint of this run's model"):
        checkpoint_files.restore_newest(tmp_path, model)
    for old, new in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("state", [None, b"{", b"{}", b"[]"])
def test_checkpoint_without_its_state_is_refused(tmp_path, tiny_model, state):
    path = checkpoint_files.save_checkpoint(tmp_path, _trained(), HERE)
    with np.load(path / "state.npz") as file:
        arrays = {name: file[name] for name in file if name != "state"}
    if state is not None:
        arrays["state"] = np.frombuffer(state, np.uint8)
    np.savez(path / "state.npz", **arrays)
    digest = checkpoint_files._sha256(path / "state.npz")
    (path / "SHA256SUMS").write_text(f"{digest}  state.npz\n")
    with pytest.raises(UserError, match="not a checkpoint"):
        checkpoint_files.restore_newest(tmp_path, tiny_model)


def test_state_can_be_read_by_people(tmp_path):
    path = checkpoint_files.save_checkpoint(tmp_path, _trained(), HERE)
    with np.load(path / "state.npz") as arrays:
        assert json.loads(arrays["state"].tobytes()) == HERE._asdict()


@pytest.mark.parametrize(
    ("text", "step", "seconds", "over"),
    [("10", 9, 999, False), ("10", 10, 0, True), ("60s", 999, 59, False), ("60s", 0, 60, True)],
)
def test_interval_counts_steps_or_seconds(text, step, seconds, over):
    since, now = Moment(100, 1000.0), Moment(100 + step, 1000.0 + seconds)
    assert Interval.parse(text).is_over(since, now) == over


@pytest.mark.parametrize("text", ["", "s", "0", "0s", "-1", "1.5", "10m", "many"])
def test_interval_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="--checkpoint_every"):
        Interval.parse(text)


def test_checkpoints_of_older_versions_are_restored(tmp_path):
    """Until 0.2 the variables of the optimizer had the name of the network in theirs."""
    model = tiny_cvae(seed=1)
    model.train_step(tf.constant(binary_images(8)))
    path = checkpoint_files.save_checkpoint(tmp_path, model, Progress(1, 1, []))
    with np.load(path / "state.npz") as arrays:
        older = {
            re.sub(r"^(optimizer\.\d+)\.(.*_)(momentum|velocity)$", r"\1.decoder_\2\3", name): value
            for name, value in arrays.items()
        }
    assert sum("decoder_" in name for name in older) > 4
    np.savez(path / "state.npz", **older)
    digest = hashlib.sha256((path / "state.npz").read_bytes()).hexdigest()
    (path / "SHA256SUMS").write_text(f"{digest}  state.npz\n")
    other = tiny_cvae(seed=2)
    progress, problems = checkpoint_files.restore_newest(tmp_path, other)
    assert (progress.steps_done, problems) == (1, [])
    for variable, value in zip(other.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_the_best_epoch_is_restored_or_the_newest_if_it_is_damaged(tmp_path):
    model, rows = tiny_cvae(seed=1), []
    for epoch, elbo in enumerate([-9.0, -3.0, -5.0], start=1):
        model.train_step(tf.constant(binary_images(8)))
        rows = [*rows, {"epoch": epoch, "step": epoch, "test_elbo": elbo}]
        checkpoint_files.save_checkpoint(tmp_path, model, Progress(epoch + 1, 0, rows))
    other = tiny_cvae(seed=2)
    progress, problems = checkpoint_files.restore_best(tmp_path, other)
    assert progress.metrics == rows[:2] and problems == [] and int(other.steps.numpy()) == 2
    (tmp_path / "step_00000002" / "state.npz").write_bytes(b"damaged")
    progress, (problem,) = checkpoint_files.restore_best(tmp_path, other)
    assert progress.metrics == rows and "step_00000002" in problem
    assert int(other.steps.numpy()) == 3
