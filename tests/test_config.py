"""Settings of a run: what is taken, what is refused and in which words, what is written down."""

import dataclasses
import json
import re

import numpy as np
import pytest

from cvae_tf import config
from cvae_tf.checks import open_tables
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.data.inspection import look_at
from cvae_tf.distances import FEATURES
from cvae_tf.evaluation import settings
from cvae_tf.generation.modes import MODES
from cvae_tf.generation.settings import MODE_NAMES
from cvae_tf.models import FAMILIES
from cvae_tf.models.family import Family
from cvae_tf.presets import PRESETS
from cvae_tf.training.distribution import STRATEGIES


def test_classic_presets_are_those_of_the_write_ups():
    assert Config.create(preset="tutorial").to_json().items() >= {
        "network": "tutorial", "batch_size": 32, "learning_rate": 1e-4, "latent_dim": 2,
        "schedule": "constant", "weight_decay": 0, "augment": 0, "epochs": 10, "ema": 0,
        "objective": "elbo", "beta": 1, "binarize": "threshold", "dataset": "auto",
    }.items()  # fmt: skip
    assert Config.create(preset="dcgan").to_json().items() >= {
        "model": "gan", "network": "dcgan", "learning_rate": 2e-4, "beta1": 0.5, "r1": 0,
        "diff_augment": "none", "ema": 0,
    }.items()  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_fill_every_setting_and_explicit_settings_win(preset):
    config = Config.create(preset=preset)
    assert config.to_json().items() >= {"preset": preset, **PRESETS[preset]}.items()
    own = Config.create(preset=preset, batch_size=7, learning_rate=0.5, epochs=3)
    assert own == dataclasses.replace(config, batch_size=7, learning_rate=0.5, epochs=3)


REFUSED = [
    # Numbers out of their ranges, or of another kind
    ({"seed": 2**31}, "--seed=2147483648: must be"),
    ({"learning_rate": float("nan")}, "--learning_rate=nan: must be a number"),
    ({"ema": 1.0}, "--ema=1.0: must be a number from 0 to"),
    # Names that there are not
    ({"network": "resnet"}, "--network=resnet: unknown; choose from tutorial, mlp, hybrid"),
    ({"network": "mlp", "activation": "tanh"}, "--activation=tanh: unknown; choose from relu"),
    ({"network": "mlp", "hidden": "12,x"}, "--hidden=12,x: must be numbers of units"),
    ({"dataset": "tfds:"}, "--dataset=tfds:: unknown"),
    # Settings that contradict each other, or would do nothing
    ({"data_path": "/a.npz", "dataset": "mnist"}, "--data_path=/a.npz and --dataset=mnist"),
    ({"preset": "fast", "likelihood": "gaussian"}, "--likelihood=gaussian is .*--binarize=none"),
    ({"objective": "iwae"}, "--importance_samples=1 with --objective=iwae"),
    ({"objective": "shared", "latent_dim": 3}, "shared is not for --latent_dim=3, more than 2"),
    ({"objective": "shared", "conditional": True}, "shared is not for --conditional;"),
    ({"objective": "shared", "likelihood": "discretized_logistic", "binarize": "none"},
     "not for --likelihood=discretized_logistic;"),
    ({"sampler": "mixture", "latent_dim": 1025}, "--sampler=mixture: is for at most 1024"),
    ({"network": "patches", "hidden": "50"}, "--hidden does nothing with --.*is for mlp, hybrid"),
    # Settings of another family
    ({"model": "gan", "beta": 2.0}, "--beta is a setting of --model=vae; this is --model=gan"),
    ({"model": "other", "conditional": True}, "--conditional: --model=other knows no labels"),
    ({"r1": 1.0}, "--r1 is a setting of --model=gan; this is --model=vae"),
    ({"model": "gan", "network": "mlp"}, "--network=mlp is not for --model=gan; .*dcgan"),
    ({"network": "dcgan"}, "--network=dcgan is not for --model=vae; .*tutorial"),
    ({"model": "gan", "preset": "fast"}, "--preset=fast is one of --model=vae.*--preset=gan"),
    ({"model": "gan", "optimizer": "sgd"}, "--optimizer=sgd: a GAN needs --beta1.*adam"),
    ({"model": "gan", "gan_loss": "wgan_gp"}, "--gan_loss=wgan_gp has a grad.*--r1=0.1"),
    ({"model": "gan", "spectral_norm": True, "precision": "mixed_bfloat16"},
     "--spectral_norm with --precision=mixed_bfloat16: norms are divided"),
    ({"model": "gan", "diff_augment": "blur"}, "--diff_augment=blur: 'blur' is.*mirror"),
    # Values of another kind
    ({"data_path": ""}, "path"),
    ({"network": ["mlp"]}, "--network"),
    ({"preset": ["fast"]}, "--preset"),
    ({"model": ["vae"]}, "--model"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_what_cannot_be_is_refused_in_one_line(settings, message, monkeypatch):
    monkeypatch.setitem(FAMILIES, "other", Family())  # which somebody has added
    with pytest.raises(UserError) as refusal:
        Config.create(**settings)
    assert re.search(message, str(refusal.value)) and "\n" not in str(refusal.value)


def test_what_depends_on_the_images_is_refused_when_they_are_known():
    noise = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    with pytest.raises(UserError, match="--binarize=threshold: the images have colours"):
        Config.create(look_at(noise), preset="fast")
    with pytest.raises(UserError, match="--diff_augment=colour: the images have no colours"):
        Config.create(look_at(noise[..., :1]), preset="gan", diff_augment="colour")


def test_names_here_are_those_of_the_open_tables():
    for field in (field for field in dataclasses.fields(Config) if field.metadata["are_open"]):
        assert list(open_tables()[field.name]) == [
            name for name in field.metadata["choices"] if name != "tfds:NAME"
        ]
    assert tuple(FEATURES) == settings.FEATURES and list(MODES) == list(MODE_NAMES)
    assert list(STRATEGIES) == list(config.STRATEGIES)


def test_the_objective_of_best_gives_way_where_it_was_not_asked_for():
    assert Config.create(preset="best").objective == "shared"
    grey = {"likelihood": "discretized_logistic", "binarize": "none"}
    for given in ({"latent_dim": 20}, grey, {"conditional": True}):
        assert Config.create(preset="best", **given).objective == "elbo"


def test_a_run_may_have_more_epochs_and_its_images_elsewhere():
    config = Config.create(preset="photo", data_path="/old/pictures", image_size="32", epochs=3)
    longer = {"data_path": "/new/pictures", "epochs": 5, "early_stop": 4}
    changed = config.extended({**longer, "image_size": "32"})
    assert changed == dataclasses.replace(config, **longer)
    contradictions = [
        (config, {"data_path": None}, "--data_path=None contradicts --data_path=/old/pictures"),
        (config, {"seed": 3}, "--seed=3 contradicts --seed=0"),
        (config, {"epochs": "12"}, "--epochs=.*must be a whole number"),
        (config, {"model": "gan"}, "--model=gan contradicts --model=vae of the run"),
        (Config.create(preset="gan"), {"beta": 1.0}, "--beta is a setting of --model=vae"),
        (Config.create(dataset="mnist"), {"data_path": "/a"}, "--data_path=/a and --dataset=mnist"),
    ]
    for run, given, message in contradictions:
        with pytest.raises(UserError, match=message):
            run.extended(given)


def test_json_has_every_setting_and_gives_the_same_configuration_or_is_refused():
    config = Config.create(preset="tutorial", latent_dim=5, seed=8, data_path="mine.npz")
    values = json.loads(json.dumps(config.to_json()))
    assert list(values) == [field.name for field in dataclasses.fields(Config)]
    assert Config.from_json(values) == config
    without = {name: value for name, value in values.items() if name != "network"}
    for broken in (None, [], "config", {}, without, {**values, "colour": 1}):
        with pytest.raises(UserError, match="settings"):
            Config.from_json(broken)
    with pytest.raises(UserError, match="--epochs=0"):
        Config.from_json({**values, "epochs": 0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 5
