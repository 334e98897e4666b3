"""What a training run shows on the screen."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import tensorflow as tf

from cvae_tf.config import Config
from cvae_tf.training.checkpoints import Progress
from cvae_tf.training.run_directory import Run
from cvae_tf.training.trainer import EpochResult


def announce(run: Run, progress: Progress, problems: list[str]) -> None:
    """Says what is about to be trained, on which data, on which device, from where."""
    warn(problems)
    config, data = run.config, run.data
    gpus = len(tf.config.list_physical_devices("GPU"))
    print(f"data:    {data['origin']}")
    print(f"         {data['train_images']:,} training images, {data['test_images']:,} test images")
    print(
        f"model:   preset {config.preset}, {config.latent_dim} latent dimensions, "
        f"batches of {config.batch_size}, learning rate {config.learning_rate:g}"
    )
    print(f"device:  {f'{gpus} GPU' if gpus else 'CPU (TensorFlow sees no GPU)'}")
    print(f"run:     {run.directory}", flush=True)
    if progress.epoch > 1 or progress.steps_done:
        print(f"resumed: in epoch {progress.epoch} after {progress.steps_done} steps", flush=True)


def announce_extension(before: Config, after: Config) -> None:
    """Says how the schedule of a run goes on that gets more epochs."""
    print(f"The run is extended from {before.epochs} to {after.epochs} epochs.", end=" ")
    if after.schedule == "cosine":
        print("Its cosine schedule now ends there; the learning rate goes on from that curve.")
    else:
        print("Its learning rate stays constant.")


def warn(problems: list[str]) -> None:
    """Shows what is wrong, but does not stop the program."""
    for problem in problems:
        print(f"warning: {problem} The next older checkpoint is used.", file=sys.stderr)


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[float], None]]:
    """Yields a function that shows the share which is done; to a file nothing is written."""

    def show(share: float) -> None:
        if sys.stdout.isatty():
            print(f"\r{what}: {share:4.0%}", end="", flush=True)

    show(0.0)
    yield show
    show(1.0)
    if sys.stdout.isatty():
        print("\r" + " " * (len(what) + 6), end="\r", flush=True)


class EpochProgress:
    """A bar that fills during each epoch; nothing if the output goes to a file."""

    def __init__(self, steps: int):
        """Takes the number of steps in an epoch."""
        self._steps = steps
        self._bar = None

    def show(self, step: int, elbo: float) -> None:
        """Shows the steps done in this epoch and the mean training ELBO so far."""
        if not sys.stdout.isatty():
            return
        if self._bar is None:
            self._bar = keras.utils.Progbar(self._steps, stateful_metrics=["train_elbo"])
        self._bar.update(step, [("train_elbo", elbo)])
        if step == self._steps:
            self._bar = None


def report(result: EpochResult, config: Config) -> None:
    """Prints the line of an epoch."""
    test, titles = result.test, config.term_titles
    objective = result.train_objective
    climbed = "" if objective is None else f"training objective {objective:.2f}; "
    print(
        f"epoch {result.epoch}/{config.epochs}: test {titles['elbo']} {test.elbo:.2f} = "
        f"{titles['log_likelihood']} {test.log_likelihood:.2f} - KL {test.kl:.2f} nats/image; "
        f"{climbed}{result.images_per_second:,.0f} images/s, "
        f"{result.train_seconds + result.test_seconds:.1f} s",
        flush=True,
    )


def conclude(run: Run, saved_model: Path) -> None:
    """Names the files of a finished run and what to do with them."""
    titles = run.config.term_titles
    print(f"\nWritten to {run.directory}:")
    for name, what in (
        ("images/", "a picture for each epoch"),
        ("progress.gif", "the same as an animation"),
        ("manifold.png", "the latent space, decoded"),
        ("latents.png", "where the test images lie in it"),
        ("curves.png", f"{titles['elbo']}, {titles['log_likelihood']} and KL by epoch"),
        ("metrics.csv", "the numbers behind them"),
        ("checkpoints/", "weights and optimizer state"),
    ):
        if (run.directory / name).exists():
            print(f"  {name:14} {what}")
    print(f"  {saved_model.relative_to(run.directory)}/      the SavedModel, for TensorFlow alone")
    print(f"\nLook at what it can do:\n  saved_model_cli show --dir {saved_model} --all")
