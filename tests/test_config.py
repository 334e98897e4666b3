import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from cvae_tf import registry
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.presets import PRESETS


def test_tutorial_preset_has_the_recipe_of_the_tutorial():
    config = Config.create("tutorial")
    assert (config.network, config.batch_size, config.learning_rate) == ("tutorial", 32, 1e-4)
    assert (config.schedule, config.weight_decay, config.augment) == ("constant", 0, 0)
    assert (config.latent_dim, config.epochs, config.dataset) == (2, 10, "auto")


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_fill_every_setting_without_default(preset):
    config = Config.create(preset)
    assert config.preset == preset
    assert {name: getattr(config, name) for name in PRESETS[preset]} == PRESETS[preset]
    assert all(getattr(config, field.name) != dataclasses.MISSING for field in _fields())


def _fields():
    return dataclasses.fields(Config)


def test_explicit_settings_win_over_the_preset():
    config = Config.create("tutorial", batch_size=7, learning_rate=0.5, epochs=3)
    assert (config.batch_size, config.learning_rate, config.epochs) == (7, 0.5, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", -1),
        ("epochs", 2.5),
        ("epochs", True),
        ("batch_size", 0),
        ("batch_size", 10**6 + 1),
        ("latent_dim", 0),
        ("latent_dim", -2),
        ("learning_rate", 0.0),
        ("learning_rate", -1e-3),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", "fast"),
        ("weight_decay", -0.1),
        ("weight_decay", 1.1),
        ("augment", float("nan")),
        ("augment", -1),
        ("warmup_steps", -1),
        ("threads", -1),
        ("jit", 1),
        ("schedule", "stepwise"),
        ("precision", "float16"),
        ("seed", -1),
        ("seed", 2**31),
        ("dataset", "mnits"),
        ("dataset", "tfds:"),
        ("dataset", "tfds"),
        ("dataset", ""),
    ],
)
def test_values_out_of_range_are_refused_by_the_name_of_the_flag(name, value):
    with pytest.raises(UserError, match=f"--{name}='?{value}'?: "):
        Config.create(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 1), ("latent_dim", 4096), ("seed", 0), ("seed", 2**31 - 1), ("learning_rate", 1)],
)
def test_values_at_the_ends_of_their_ranges_are_taken(name, value):
    assert getattr(Config.create(**{name: value}), name) == value


@pytest.mark.parametrize(
    "given",
    [{"latent_dim": 20}, {"binarize": "none", "likelihood": "discretized_logistic"}],
)
def test_the_objective_of_best_gives_way_where_it_cannot_be_had(given):
    assert Config.create("best").objective == "shared"
    assert Config.create("best", **given).objective == "elbo"
    with pytest.raises(UserError, match="--objective=shared"):
        Config.create("best", objective="shared", **given)


def test_classes_share_latents_only_if_that_is_asked_for():
    assert Config.create("best", conditional=True).objective == "elbo"
    assert Config.create("best", conditional=True, objective="shared").objective == "shared"


def test_unknown_preset_is_refused_with_the_choices():
    with pytest.raises(UserError, match="--preset=fancy: unknown; choose from tutorial, fast"):
        Config.create("fancy")


def test_data_path_and_dataset_exclude_each_other():
    with pytest.raises(UserError, match="--data_path=/mine.npz and --dataset=mnist"):
        Config.create(data_path="/mine.npz", dataset="mnist")
    assert Config.create(data_path="/mine.npz").data_path == "/mine.npz"


def test_json_and_back_is_the_same_configuration():
    config = Config.create("tutorial", latent_dim=5, seed=8, data_path="mine.npz")
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_json_has_every_setting():
    assert list(Config.create().to_json()) == [field.name for field in _fields()]


@pytest.mark.parametrize("change", [{"dropout": 0.5}, {"network": None}])
def test_from_json_refuses_unknown_and_missing_settings(change):
    values = {**Config.create().to_json(), **change}
    with pytest.raises(UserError):
        Config.from_json({name: value for name, value in values.items() if value is not None})


def test_from_json_reads_runs_of_older_versions():
    config = Config.create(latent_dim=5)
    values = config.to_json()
    objective = "objective", "importance_samples", "shared_latents", "beta"
    for name in ("binarize", "likelihood", *objective):
        del values[name]
    assert Config.from_json(values) == config


@pytest.mark.parametrize(
    "settings",
    [
        {"likelihood": "gaussian"},
        {"likelihood": "continuous_bernoulli", "binarize": "dynamic"},
        {"likelihood": "discretized_logistic", "binarize": "threshold"},
        {"objective": "iwae"},
        {"objective": "shared", "latent_dim": 3},
        {"objective": "shared", "importance_samples": 2},
        {"objective": "iwae", "importance_samples": 2, "shared_latents": 100},
        {"objective": "shared", "binarize": "none", "likelihood": "discretized_logistic"},
        {"importance_samples": 5},
        {"importance_samples": 0, "objective": "iwae"},
        {"beta": -1.0},
        {"free_bits": float("nan")},
        {"kl_warmup_epochs": -1},
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings):
    with pytest.raises(UserError, match="--"):
        Config.create(**settings)


def test_settings_of_another_family_are_refused_by_name(monkeypatch):
    monkeypatch.setitem(registry.FAMILIES._entries, "other", registry.Family("nowhere:NOTHING"))
    assert Config.create(model="other", latent_dim=3).model == "other"
    with pytest.raises(UserError, match="--beta is a setting of --model=vae; this is --model=oth"):
        Config.create(model="other", beta=2.0)
    with pytest.raises(UserError, match="--beta is a setting of --model=vae"):
        Config.create(model="other").extended({"beta": 1.0})


def test_a_run_may_have_more_epochs_and_its_images_elsewhere():
    config = Config.create("photo", data_path="/old/pictures", image_size="32", epochs=3)
    changed = config.extended({"data_path": "/new/pictures", "epochs": 5, "image_size": "32"})
    assert changed == dataclasses.replace(config, data_path="/new/pictures", epochs=5)
    with pytest.raises(UserError, match="--data_path=None contradicts --data_path=/old/pictures"):
        config.extended({"data_path": None})
    with pytest.raises(UserError, match="--data_path=/a and --dataset=mnist: give one of the two"):
        Config.create(dataset="mnist").extended({"data_path": "/a"})


@pytest.mark.parametrize("path", ["", "gs://bucket/pictures"])
def test_paths_that_are_none_are_refused(path):
    with pytest.raises(UserError, match="path"):
        Config.create_before_data(data_path=path)


def test_names_are_those_of_the_registry():
    with pytest.raises(UserError, match="--network=resnet: unknown; choose from tutorial, mlp, hy"):
        Config.create(network="resnet")


def test_values_of_numpy_and_paths_become_plain_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = Config.create(
        seed=np.int64(3),
        learning_rate=np.float32(0.5),
        jit=np.bool_(True),
        data_path=Path("~/a.npz"),
    )
    assert json.loads(json.dumps(config.to_json())) == config.to_json()
    assert (config.seed, config.learning_rate, config.jit) == (3, 0.5, True)
    assert config.data_path == str(tmp_path / "a.npz")


def test_relative_paths_are_recorded_so_that_they_hold_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Config.create(data_path="mine.npz").data_path == str(tmp_path / "mine.npz")


@pytest.mark.parametrize("values", [None, [], "config", {}])
def test_from_json_refuses_what_is_no_configuration(values):
    with pytest.raises(UserError, match="settings"):
        Config.from_json(values)


def test_from_json_checks_ranges():
    with pytest.raises(UserError, match="--epochs=0"):
        Config.from_json({**Config.create().to_json(), "epochs": 0})


def test_configurations_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config.create().epochs = 5
