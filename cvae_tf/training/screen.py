"""What a training run shows on the screen."""

import shlex
from pathlib import Path

import tensorflow as tf

from cvae_tf.config import Config
from cvae_tf.core import paths
from cvae_tf.core.paths import printable
from cvae_tf.core.terminal import say, warn
from cvae_tf.models import family_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.presets import PRESETS
from cvae_tf.training.checkpoints import Progress
from cvae_tf.training.run_directory import Run
from cvae_tf.training.trainer import EpochResult

_MOST_CLASSES = 5  # named beside the data


def announce(run: Run, progress: Progress, problems: list[str]) -> None:
    """Says what is about to be trained, on which data, on which device, from where."""
    warn_of(problems)
    config, data = run.config, run.data
    gpus, names = len(tf.config.list_physical_devices("GPU")), data.get("class_names", ())
    origin = data["origin"]
    if names:
        first = ", ".join(printable(name) for name in names[:_MOST_CLASSES])
        more = ", ..." if len(names) > _MOST_CLASSES else ""
        origin = f"{origin.removesuffix('.')}; classes: {first}{more} ({len(names):,})."
    say(f"data:    {origin}")
    say(f"         {data['train_images']:,} training images, {data['test_images']:,} test images")
    labels = f"{len(names)} classes, " if config.conditional else ""
    usual = {Config.objective, PRESETS[config.preset].get("objective", Config.objective)}
    objective = "" if usual == {config.objective} else f", objective {config.objective}"
    say(
        f"model:   preset {config.preset}, {labels}{config.latent_dim} latent dimensions, "
        f"batches of {config.batch_size}, learning rate {config.learning_rate:g}{objective}"
    )
    say(f"device:  {f'{gpus} GPU' if gpus else 'CPU (TensorFlow sees no GPU)'}")
    say(f"run:     {paths.shown(run.directory)}")
    if progress.epoch > 1 or progress.steps_done:
        say(f"resumed: in epoch {progress.epoch} after {progress.steps_done} steps")


def announce_changes(before: Config, after: Config) -> None:
    """Says that the images of a run are elsewhere, and how it goes on if it gets more epochs."""
    if after.data_path != before.data_path:
        say(f"The images of the training are at {after.data_path} now.")
    if after.epochs == before.epochs:
        return
    say(f"The run is extended from {before.epochs} to {after.epochs} epochs.")
    if after.schedule != "constant":
        say(f"Its {after.schedule} schedule now ends there; the learning rate goes on from that.")


def warn_of(problems: list[str]) -> None:
    """Shows what is wrong with checkpoints, which does not stop the program."""
    for problem in problems:
        warn(problem)


def report(result: EpochResult, model: GenerativeModel, epochs: int) -> None:
    """Prints the line of an epoch."""
    family = family_of(model)
    train, test = family.train_measures(model), family.test_measures(model)
    others = (each for each in train.values() if each not in test)
    training = [f"training {each.title} {result.train[each.name]:.2f}; " for each in others]
    say(
        f"epoch {result.epoch}/{epochs}: test {family.describe_test(model, result.test)}; "
        f"{''.join(training)}{result.images_per_second:,.0f} images/s, "
        f"{result.train_seconds + result.test_seconds:.1f} s",
    )
    for text in family.warnings(model, result.as_row()):
        warn(text)


def conclude(run: Run, model: GenerativeModel, saved_model: Path) -> None:
    """Names the files of a finished run and what to do with them."""
    titles = ", ".join(measure.title for measure in family_of(model).test_measures(model))
    say(f"\nWritten to {paths.shown(run.directory)}:")
    for path, what in (
        (run.images, "a picture for each epoch"),
        (run.animation, "the same as an animation"),
        (run.manifold, "the latent space, decoded"),
        (run.latents, "where the test images lie in the latent space"),
        (run.curves, f"{titles} by epoch"),
        (run.metrics, "the numbers behind them"),
        (run.report, "all of it as a page for a browser"),
        (run.checkpoints, "weights and optimizer state"),
        (saved_model, "the SavedModel, for TensorFlow alone"),
    ):
        if path.exists():
            name = f"{path.relative_to(run.directory)}{'/' if path.is_dir() else ''}"
            say(f"  {name:14} {what}")
    say("")
    hint_at(saved_model)


def hint_at(saved_model: Path) -> None:
    """Says how to look at what an exported model can do."""
    name = shlex.quote(paths.shown(saved_model))
    say(f"Look at what it can do:\n  saved_model_cli show --dir {name} --all")
