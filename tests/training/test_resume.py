"""A run that ended anywhere goes on to the same bits: each kind of model, each option."""

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import PROJECT, VAE_SETTINGS, assert_same_runs, tiny_cvae
from test_own_family import AutoencoderFamily

from cvae_tf import api
from cvae_tf.config import Config, RunOptions
from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.data import batches
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.models import FAMILIES
from cvae_tf.models.gan import model as gan_model
from cvae_tf.models.gan.family import GanFamily
from cvae_tf.models.networks import gan_pairs
from cvae_tf.models.optimizers import build_optimizer
from cvae_tf.training import building, checkpoints, run_directory, run_training
from cvae_tf.training.distribution import SINGLE
from cvae_tf.training.run_training import train_run
from cvae_tf.training.trainer import Trainer

STEPS = 3  # in an epoch, of which there are two


def _dataset(side=8, channels=1):
    """Random images of two classes."""
    random = np.random.default_rng(3)
    splits = [
        Split(random.integers(0, 256, (num, side, side, channels), np.uint8), np.arange(num) % 2)
        for num in (8 * STEPS, 6)
    ]
    return Dataset("random", "Invented.", *splits, class_names=("even", "odd"))


def _draw_nothing(run):
    """Makes empty files in place of pictures."""
    return SimpleNamespace(draw_epoch=lambda epoch, _: run.epoch_image(epoch).touch())


def _train(run, trainer, pictures=None, every="300s"):
    """Trains a run, or goes on with it; returns the rows of `metrics.csv` without timings."""
    rows = train_run(
        run, trainer, pictures or _draw_nothing(run), RunOptions(checkpoint_every=every)
    )
    return [{name: row[name] for name in row if "second" not in name} for row in rows]


def _variables(model):
    """All variables of a model and of its optimizers, whatever checkpoints hold of them."""
    parts = [each for each in vars(model).values() if isinstance(each, keras.optimizers.Optimizer)]
    parts += [model, *model.means.values()]
    return [variable for part in parts for variable in part.variables]


def _state(model):
    return [(variable.path, variable.numpy()) for variable in _variables(model)]


def _assert_same(found, expected):
    for (name, value), (_, wanted) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, wanted, err_msg=name)


@pytest.fixture(autouse=True)
def _one_step_in_a_call(monkeypatch):
    monkeypatch.setattr(batches, "_STEPS_PER_CALL", 1)


# Every kind of model and of option


@pytest.fixture
def end(monkeypatch, tmp_path):
    """What is left if a process ends after two steps: its directory, and the model's state."""
    found, save = [], checkpoints.save_checkpoint

    def save_and_copy(directory, model, progress):
        path = save(directory, model, progress)
        if path.name == "step_00000002":
            copy = shutil.copytree(directory.parent, tmp_path / "end")
            found.extend((copy, _state(model)))
        return path

    monkeypatch.setattr(checkpoints, "save_checkpoint", save_and_copy)
    return found


@pytest.fixture
def _small_families(monkeypatch):
    """One from outside; a GAN of few filters, measured by its weights, without a classifier."""
    monkeypatch.setitem(FAMILIES, "autoencoder", AutoencoderFamily())

    def set_measure(family, model, dataset):
        def measure():
            labels = tf.constant([0, 1, 0, 1]) if model.num_classes else None
            drawn = model.sample(4, tf.constant([1, 2]), labels)
            return {"frechet_distance": float(np.mean(drawn)), "spread": 1.0}

        return measure

    monkeypatch.setattr(GanFamily, "set_measure", set_measure)
    monkeypatch.setattr(gan_model, "_DRAWN_FOR_STATISTICS", 32)
    monkeypatch.setattr(gan_pairs, "_COARSE", 4)
    monkeypatch.setattr(gan_pairs, "_FILTERS", ((4, 1), (4, 2)))
    monkeypatch.setattr(gan_pairs, "_DISCRIMINATOR_FILTERS", (4, 4))


DENSE = {"network": "mlp", "hidden": "12"}
CASES = {
    "noise, adamw": {
        **DENSE, "optimizer": "adamw", "weight_decay": 0.1, "dropout": 0.2, "denoise": 0.3,
        "ema": 0.9, "conditional": True,
    },
    "dcgan": {"preset": "dcgan", "latent_dim": 4, "ema": 0.9},
}  # fmt: skip
DEAR = {
    "another objective, muon": {
        **DENSE, "optimizer": "muon", "objective": "iwae", "importance_samples": 2, "beta": 0.7,
        "binarize": "dynamic", "kl_warmup_epochs": 2, "augment": 0.5, "flip": True,
    },
    "mixed precision, adamax": {
        **DENSE, "optimizer": "adamax", "precision": "mixed_bfloat16", "schedule": "cosine",
        "binarize": "none", "likelihood": "discretized_logistic", "sampler": "mixture",
    },
    "photo, sgd": {"preset": "photo", "latent_dim": 8, "optimizer": "sgd"},
    "gan": {"preset": "gan", "latent_dim": 4, "conditional": True, "spectral_norm": True},
    "a family from outside": {
        "model": "autoencoder", "network": "patches", "ema": 0.9, "optimizer": "lion",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [pytest.param(case, id=name) for name, case in CASES.items()]
    + [pytest.param(case, id=name, marks=pytest.mark.slow) for name, case in DEAR.items()],
)
@pytest.mark.usefixtures("_small_families")
def test_a_run_that_ended_within_an_epoch_goes_on_to_the_same_bits(tmp_path, end, settings):
    dataset = _dataset(channels=3 if settings.get("preset") == "photo" else 1)
    config = Config.create(**{"epochs": 2, "batch_size": 8, "seed": 5, **settings})
    with run_directory.new_run(tmp_path / "whole", config, dataset) as run:
        whole = building.build_trainer(config, dataset, SINGLE)
        expected = _train(run, whole, every=1)
    directory, state = end
    run = run_directory.load_run(directory)
    trainer = building.build_trainer(run.config, dataset, SINGLE)
    checkpoints.restore_newest(run.checkpoints, trainer.model)
    names = dataset.class_names if trainer.model.num_classes else ()
    assert (int(trainer.model.steps.numpy()), trainer.model.class_names) == (2, names)
    _assert_same(_state(trainer.model), state)
    assert _train(run, trainer) == expected
    _assert_same(_state(trainer.model), _state(whole.model))


# Every moment; one trainer is used again, with its first weights, so that it is traced once


class Whole:
    """A trainer of tiny networks with averages, and what comes of a run that nothing disturbs."""

    def __init__(self, place):
        model = tiny_cvae(optimizer=build_optimizer(1e-2, ema=0.8))
        self.dataset = _dataset(side=6)
        self.trainer = Trainer(model, self.dataset, 8)
        self.first = _state(model)
        run = self.new_run(place / "whole")
        self.rows, self.state = _train(run, self.trainer), _state(model)

    def new_run(self, path, **settings):
        config = Config.create(batch_size=8, **{"epochs": 2, **settings})
        with run_directory.new_run(path, config, self.dataset) as run:
            return run

    def train(self, run, **options):
        """As a new process does: with the weights that a run begins with."""
        for variable, (_, value) in zip(_variables(self.trainer.model), self.first, strict=True):
            variable.assign(value)
        return _train(run, self.trainer, **options)

    def check(self, rows):
        assert rows == self.rows
        _assert_same(_state(self.trainer.model), self.state)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_STEPS_PER_CALL", 1)
        return Whole(tmp_path_factory.mktemp("whole"))


PICTURES = SimpleNamespace(draw_epoch=None)
STRIKES = [  # what Ctrl-C comes in, at which call of it, and how many steps are kept then
    (Trainer, "evaluate", 1, 0),  # before there is anything to keep
    (Trainer, "_checked_mean", 2, 2),  # the steps are taken, nobody has counted them
    (PICTURES, "draw_epoch", 1, 3),  # the first epoch is trained, and not yet done
    (run_directory, "write_metrics", 1, 3),
    (checkpoints, "save_checkpoint", 1, 3),
    (Trainer, "_checked_mean", 1, 4),
    (Trainer, "_means_of_test_images", 1, 6),  # where the weights are their averages
]


def _strike(monkeypatch, owner, name, number):
    """Lets Ctrl-C come during a call, at the `number`-th time."""
    calls, original = itertools.count(1), getattr(owner, name)

    def struck(*arguments, **options):
        result = original(*arguments, **options)
        if next(calls) == number:
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(owner, name, struck)


def test_ctrl_c_may_strike_anywhere(whole, tmp_path, monkeypatch):
    run = whole.new_run(tmp_path / "run")
    monkeypatch.setattr(PICTURES, "draw_epoch", _draw_nothing(run).draw_epoch)
    for owner, name, number, steps in STRIKES:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            _strike(patch, owner, name, number)
            whole.train(run, pictures=PICTURES)
        kept = checkpoints.list_checkpoints(run.checkpoints)
        assert (int(kept[-1].name[5:]) if kept else 0) == steps, name
    whole.check(whole.train(run))
    assert not list(run.directory.rglob(".*"))


def test_a_full_disk_is_told_at_any_write_and_nothing_is_lost(whole, tmp_path, monkeypatch):
    run, flush = whole.new_run(tmp_path / "run"), files._flush
    for room in (0, 2, 3, 8, 13):
        left = iter(range(room))

        def into_what_is_left(path, left=left):
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            flush(path)

        monkeypatch.setattr(files, "_flush", into_what_is_left)
        with pytest.raises(UserError, match="cannot be written .No space left on device"):
            whole.train(run, every=1)
        assert not list(run.directory.rglob(".*"))
    assert checkpoints.list_checkpoints(run.checkpoints)
    monkeypatch.setattr(files, "_flush", flush)
    whole.check(whole.train(run))


def test_what_a_run_has_lost_beside_its_checkpoints_is_made_again(whole, tmp_path):
    run = whole.new_run(tmp_path / "run")
    whole.train(run)
    written = run.metrics.read_bytes()
    run.metrics.unlink()
    run.epoch_image(2).unlink()
    whole.check(whole.train(run))
    assert run.metrics.read_bytes() == written and run.epoch_image(2).exists()


def test_early_stopping_counts_the_epochs_before_a_break(whole, tmp_path, monkeypatch, capsys):
    """Two epochs are not better than the second; the fifth never comes."""
    run, model = whole.new_run(tmp_path / "run", epochs=5, early_stop=2), whole.trainer.model
    by_steps = {0: -9.0, 3: -5.0, 6: -3.0, 9: -3.0, 12: -4.0}
    figures = {"log_likelihood": 0.0, "kl": 0.0}
    monkeypatch.setattr(
        Trainer, "evaluate", lambda _: {"elbo": by_steps[int(model.steps.numpy())], **figures}
    )
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _strike(patch, Trainer, "_checked_mean", 10)
        whole.train(run)
    for _ in range(2):
        rows = whole.train(run)
        assert [row["test_elbo"] for row in rows] == [-5.0, -3.0, -3.0, -4.0]
        assert "after epoch 4: none since epoch 2 was better" in capsys.readouterr().out
    assert int(model.steps.numpy()) == 12
    assert run_training.take_best_epoch(run, model, rows)[-1]["epoch"] == 2
    assert int(model.steps.numpy()) == 6


# Processes


def _script(run_dir, *arguments):
    return subprocess.Popen(
        [sys.executable, str(PROJECT / "train.py"), f"--run_dir={run_dir}", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _send(process, line, number):
    """Sends a signal when the process has said a line; what it tells after that."""
    for said in process.stdout:
        if said.startswith(line):
            process.send_signal(number)
            break
    return process.communicate()[1]


@pytest.mark.slow
def test_a_process_that_is_stopped_or_killed_goes_on_to_the_same_run(
    vae_run, small_npz, tmp_path, training_only
):
    run_dir = tmp_path / "a run"
    settings = [f"--{name}={value}" for name, value in VAE_SETTINGS.items()]
    process = _script(run_dir, f"--data_path={small_npz}", *settings)
    told = _send(process, "epoch 1/2", signal.SIGTERM)
    assert process.returncode == 143
    assert told.endswith(f"train.py --resume --run_dir='{run_dir}'\n") and told.count("\n") == 2
    process = _script(run_dir, "--resume")
    assert _send(process, "resumed: ", signal.SIGKILL) == ""
    assert process.returncode == -signal.SIGKILL
    assert_same_runs(vae_run, api.resume(run_dir, verbose=0))
    assert not list(run_dir.rglob(".*"))
