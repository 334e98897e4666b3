"""From settings to a compiled model and its trainer; from a run to its model."""

import dataclasses
import gc
import os
from typing import Any, NamedTuple

from cvae_tf.checks import MANY_IMAGES
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.core.terminal import say, warn
from cvae_tf.data import batches
from cvae_tf.data.datasets import Dataset, fingerprint, fingerprint_of_labels
from cvae_tf.data.inspection import Looks, look_at
from cvae_tf.data.pictures import Form
from cvae_tf.models import FAMILIES, optimizers
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.networks.layer_maker import ImageShape
from cvae_tf.presets import PRESETS
from cvae_tf.training import run_directory
from cvae_tf.training.checkpoints import Metrics, list_checkpoints, restore_best, restore_newest
from cvae_tf.training.distribution import Distribution
from cvae_tf.training.run_directory import Run
from cvae_tf.training.run_training import restore_fitted
from cvae_tf.training.trainer import Trainer, take_averages


class Trained(NamedTuple):
    """A run, finished or not, with its model."""

    run: Run
    model: GenerativeModel
    metrics: Metrics


def complete_settings(
    config: Config | None, given: dict[str, Any], dataset: Dataset, is_shared_out: bool = False
) -> Config:
    """Completes the settings of a new run, and says which preset was chosen for which images.

    Args:
        config: all settings, if they are known.
        given: otherwise those that were asked for, by name.
        dataset: what the run learns from.
        is_shared_out: whether replicas share batches, which then cannot be small.

    Raises:
        UserError: if settings contradict each other, or do not suit the images.
    """
    looks, test_looks = look_at(dataset.train.images), look_at(dataset.test.images)
    if looks.share_of_same == 1 and looks.num > 1:
        hint = " If their files differ, see --white_level and --background." if dataset.form else ""
        raise UserError(
            f"{dataset.name}: all training images are the same one, of {looks.levels}.{hint}"
        )
    if looks.are_nearly_all_the_same:
        warn("nearly all training images are the same one.")
    if looks.use_little_of_the_range:
        _warn_of_range(looks, dataset.form)
    elif test_looks.use_little_of_the_range:
        _warn_of_range(test_looks, dataset.form, "test image, unlike those for training,")
    chosen = config.for_images(looks) if config else Config.create(looks, **given)
    if config is None and is_shared_out:
        usual = Config.create(looks, **{"preset": chosen.preset, **given})
        given = {**given, "batch_size": usual.batch_size}
        chosen = Config.create(looks, **given)
    if chosen.has("binarize") and chosen.binarize == "threshold" and looks.suffer_at_threshold:
        warn(
            f"at the threshold {looks.share_lost:.0%} of the images lose most of what they show: "
            f"{looks.levels}."
        )
    recipe = config.to_json() if config else {**PRESETS[chosen.preset], **given}
    if chosen.has("diff_augment") and recipe.get("diff_augment", "auto") == "auto":
        colours = "colours" if looks.shape[-1] == 3 else "grey"
        amount = "fewer than" if looks.num < MANY_IMAGES else "at least"
        why = f"for {colours}, {amount} {MANY_IMAGES:,} images"
        say(f"images:  --diff_augment={chosen.diff_augment}, {why}")
    if config is None and "preset" not in given:
        say(f"preset:  {chosen.preset}, {_why_preset(chosen, given, looks)}")
        few = chosen.chosen_for_few(looks, given).items()
        if flags := [f"--{name}" + f"={value:g}" * (value is not True) for name, value in few]:
            none = f"--preset={chosen.preset} has the usual ones instead"
            say(f"recipe:  {looks.num:,} images are few, so {' '.join(flags)}; {none}")
    return chosen


def _why_preset(config: Config, given: dict[str, Any], looks: Looks) -> str:
    """Says why a preset was chosen."""
    if PRESETS[config.preset].get("model"):
        return f"the one of --model={config.model}"
    are_made_so = given.get("binarize", "none") != "none"
    return f"because the images {'are made black and white' if are_made_so else looks.description}"


def _warn_of_range(looks: Looks, form: Form | None, of: str = "image") -> None:
    """Warns of images that use only a small part of the levels, whatever the model."""
    remedy = "raise their contrast if that is not meant"
    if looks.are_dark and form:
        remedy = "--white_level says which level is white"
    which = "each" if looks.share_of_little == 1 else "nearly every"
    warn(f"{which} {of} uses but a small part of the range: {looks.levels}; {remedy}.")


@usual_settings()
def build_model(
    config: Config, image_shape: ImageShape, num_images: int, num_classes: int = 0
) -> GenerativeModel:
    """Builds and compiles the model of a configuration, with fresh weights.

    Args:
        config: the configuration.
        image_shape: height, width and channels of an image.
        num_images: for training; with epochs and batch size they give the length of the schedule.
        num_classes: of the labels, if the model is to be a conditional one.

    Raises:
        UserError: if the network is unknown or cannot take such images.
    """
    gc.collect()  # an earlier trainer refers to itself, and would stay in memory with its images
    steps = batches.steps_per_epoch(num_images, config.batch_size)
    family = find("model", FAMILIES, config.model)
    if config.conditional and not num_classes:
        raise UserError("--conditional: a model of classes needs to know how many there are.")
    classes = num_classes if config.conditional else 0
    model = family.build(config, tuple(image_shape), steps, classes)
    model.compile(
        optimizer=optimizers.build_optimizer(
            config.learning_rate,
            config.schedule,
            total_steps=config.epochs * steps,
            warmup_steps=config.warmup_steps,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
            name=config.optimizer,
            ema=config.ema,
            **({"beta_1": config.beta1, "beta_2": config.beta2} if config.has("beta1") else {}),
        ),
        jit_compile=config.jit,
    )
    return model


def build_trainer(config: Config, dataset: Dataset, distribution: Distribution) -> Trainer:
    """Builds the model on all replicas, and its trainer.

    Raises:
        UserError: if the images of the workers differ, or cannot be shared.
    """
    if config.jit and distribution.strategy:
        raise UserError("--jit: XLA compiles the step of a single device only.")
    distribution.check_same("images", lambda: fingerprint(dataset))
    if config.conditional:
        distribution.check_same("labels", lambda: fingerprint_of_labels(dataset))
    num_images, num_classes = len(dataset.train.images), len(dataset.class_names or ())
    with distribution.scope():
        model = build_model(config, dataset.image_shape, num_images, num_classes)
    if dataset.class_names:  # so that pictures name the classes
        model.with_metadata({"data": {"class_names": dataset.class_names}})
    distribution.prepare(model)
    return Trainer(model, dataset, config.batch_size, config.augment, config.flip, distribution)


def load_trained(run_dir: str | os.PathLike, precision: str | None = None) -> Trained:
    """Loads the newest good checkpoint of a run; with `early_stop` that of the best epoch.

    `precision` is that of the layers, by default the run's.

    Raises:
        UserError: if there is no run, or no good checkpoint in it.
    """
    run = run_directory.load_run(run_dir)
    config = dataclasses.replace(run.config, precision=precision or run.config.precision)
    num_classes = len(run.data.get("class_names", ()))
    model = build_model(config, run.data["image_shape"], run.data["train_images"], num_classes)
    restore = restore_best if config.early_stop else restore_newest
    progress = restore(run.checkpoints, model)
    if not list_checkpoints(run.checkpoints):
        raise UserError(f"--run_dir={os.fspath(run_dir)}: the run has no checkpoint yet.")
    take_averages(model)
    if missing := restore_fitted(run, model):
        also = ", and ".join(missing)
        say(f"The run did not finish, so {also}; train.py --resume finishes it.")
    return Trained(run, model, progress.metrics)
