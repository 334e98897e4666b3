"""From a configuration to a compiled model, and from a run to its trained model."""

import dataclasses
import gc
from typing import NamedTuple

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.core.terminal import say
from cvae_tf.data import batches
from cvae_tf.models import optimizers
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.families import FAMILIES
from cvae_tf.models.networks.building import ImageShape
from cvae_tf.training import (
    averaged_weights,
    checkpoint_files,
    finishing,
    run_directory,
    screen,
)
from cvae_tf.training.checkpoint_files import Metrics, restore_best, restore_newest
from cvae_tf.training.run_files import Run


class Trained(NamedTuple):
    """A run as far as it has come, with its model."""

    run: Run
    model: GenerativeModel
    metrics: Metrics


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

    Returns:
        The model.

    Raises:
        UserError: if the network is unknown or cannot take such images.
    """
    # What was trained before in this process and is not held any more refers to itself, and would
    # wait for Python to look for such circles, with all its images.
    gc.collect()
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
            **family.optimizer_options(config),
        ),
        jit_compile=config.jit,
    )
    return model


def load_trained(run_dir: str, precision: str | None = None) -> Trained:
    """Loads the newest good checkpoint of a run; of one with `early_stop` that of the best epoch.

    Args:
        run_dir: of the run.
        precision: of the layers; by default the one of the run.

    Returns:
        The run and its model.

    Raises:
        UserError: if there is no run, or no good checkpoint in it.
    """
    run = run_directory.load_run(run_dir)
    config = dataclasses.replace(run.config, precision=precision or run.config.precision)
    num_classes = len(run.data.get("class_names", ()))
    model = build_model(config, run.data["image_shape"], run.data["train_images"], num_classes)
    restore = restore_best if config.early_stop else restore_newest
    progress, problems = restore(run.checkpoints, model)
    if not checkpoint_files.list_checkpoints(run.checkpoints):
        raise UserError(f"--run_dir={run_dir}: the run has no checkpoint yet.")
    screen.warn_of(problems)
    averaged_weights.take_averages(model)
    if missing := finishing.restore(run, model):
        also = ", and ".join(missing)
        say(f"What is learned at the end is missing: {also}; train.py --resume adds it.")
    return Trained(run, model, progress.metrics)
