"""Optimizers, averages, noise, mirroring, dropout: a run with all of them resumes exactly."""

import numpy as np
import pytest
from conftest import assert_same_runs, train_twice

from cvae_tf import workflows
from cvae_tf.config import Config
from cvae_tf.training import building, checkpoint_files, optimizers
from cvae_tf.training.trainer import Trainer

ALL = {
    "network": "mlp", "hidden": "30,20", "activation": "silu", "dropout": 0.2, "denoise": 0.3,
    "flip": True, "augment": 0.5, "ema": 0.9, "conditional": True, "early_stop": 2,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_run_with_all_of_them_is_stopped_and_ends_the_same(
    tmp_path, small_npz, monkeypatch, optimizer
):
    settings = {**ALL, "optimizer": optimizer, "weight_decay": 0.1, "epochs": 2, "batch_size": 32}
    settings["data_path"] = str(small_npz)
    whole, resumed = train_twice(tmp_path, monkeypatch, **settings)
    assert_same_runs(whole, resumed)
    untimed = [
        [{name: row[name] for name in row if "second" not in name} for row in run.history]
        for run in (whole, resumed)
    ]
    assert untimed[0] == untimed[1]


def test_what_is_evaluated_and_exported_are_the_averages(tmp_path, small_npz):
    settings = {"data_path": str(small_npz), "ema": 0.9, "epochs": 1, "batch_size": 32}
    run = workflows.train(run_dir=tmp_path / "run", network="mlp", verbose=0, **settings)
    state = dict(np.load(run.directory / "checkpoints" / "step_00000004" / "state.npz"))
    kernel = next(name for name in state if name.startswith("decoder") and "kernel" in name)
    trained = building.load_trained(str(run.directory))
    taken = dict(checkpoint_files._named_variables(trained.model))[kernel].numpy()
    assert np.abs(taken - state[kernel]).max() > 1e-5
    averages = [value for name, value in state.items() if "average" in name]
    assert any(value.shape == taken.shape and np.array_equal(value, taken) for value in averages)
    latents = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)
    exported = workflows.loading.load(run.saved_model).decode(latents)
    np.testing.assert_allclose(exported, trained.model.decode_mean(latents), atol=1e-5)


def test_the_encoder_learns_from_noisy_images_and_is_measured_on_clean_ones(tiny_dataset):
    results = {}
    for denoise in (0.0, 0.5):
        config = Config.create(
            dataset="digits", network="mlp", denoise=denoise, batch_size=16, objective="elbo"
        )
        model = building.build_model(config, (28, 28, 1), 64)
        trainer = Trainer(model, tiny_dataset, 16)
        before = trainer.evaluate()
        results[denoise] = before, next(trainer.run_epochs(1))
    assert results[0.0][0] == results[0.5][0]  # a model that has learned nothing yet
    assert results[0.0][1].train["elbo"] != results[0.5][1].train["elbo"]


def _first_epoch(dataset, **settings):
    """The training ELBO of an epoch, and the model."""
    config = Config.create(dataset="digits", network="mlp", batch_size=16, **settings)
    model = building.build_model(config, (28, 28, 1), 64)
    trainer = Trainer(model, dataset, 16, config.augment, config.flip)
    return next(trainer.run_epochs(1)).train["elbo"], model


@pytest.mark.parametrize(
    "choice", [{"flip": True}, {"dropout": 0.5}, {"denoise": 0.5}, {"activation": "elu"},
               {"hidden": "300"}, {"optimizer": "lion"}]
)  # fmt: skip
def test_each_choice_changes_what_is_learned(tiny_dataset, choice):
    assert _first_epoch(tiny_dataset, **choice)[0] != _first_epoch(tiny_dataset)[0]


@pytest.mark.parametrize("name", ["adamw", "adamax", "rmsprop", "sgd", "muon", "lion"])
def test_optimizers_are_those_of_keras_by_their_names(name):
    optimizer = optimizers.build_optimizer(0.5, name=name)
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == 0.5 and not optimizer.weight_decay
    decaying = optimizers.build_optimizer(0.5, name=name, weight_decay=0.1, clip_norm=3.0)
    assert decaying.weight_decay == 0.1 and decaying.global_clipnorm == 3.0
