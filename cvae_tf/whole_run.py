"""A whole run, from the built model to the export: on the chief, and on other workers."""

from pathlib import Path
from typing import NamedTuple

from cvae_tf.config import Config, RunOptions
from cvae_tf.core import files, tensorflow_setup, terminal
from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, fingerprint, fingerprint_of_labels
from cvae_tf.exporting import export_run
from cvae_tf.models.base import GenerativeModel
from cvae_tf.reporting import making
from cvae_tf.training import (
    building,
    early_stopping,
    finishing,
    following,
    run_directory,
    screen,
    stop_signals,
)
from cvae_tf.training.averaged_weights import averaged
from cvae_tf.training.distribution import Distribution
from cvae_tf.training.run_files import SAVED_MODEL, Run
from cvae_tf.training.run_pictures import RunPictures
from cvae_tf.training.train_run import train_run
from cvae_tf.training.trainer import Trainer


class TrainedRun(NamedTuple):
    """A finished run."""

    directory: Path  # which holds everything of it
    config: Config
    history: list[dict[str, float]]  # the rows of `metrics.csv`, one for each epoch
    saved_model: Path  # the exported model, for `load`, `generate` and TensorFlow alone


def set_threads(wanted: int) -> None:
    """Sets the threads of TensorFlow, or says that it keeps those it has; 0: as many as cores."""
    if not tensorflow_setup.set_threads(wanted) and wanted:
        terminal.say(f"TensorFlow is in use already, and keeps its threads (threads={wanted}).")


def go_on(
    run: Run, config: Config, trainer: Trainer, dataset: Dataset, options: RunOptions
) -> TrainedRun:
    """Goes on with a run in its directory, as the chief; see `api.resume`."""
    with run_directory.locked(run):
        files.remove_temporaries(run.directory)
        if config != run.config:
            screen.announce_changes(run.config, config)
            run = run_directory.changed(run, config, dataset)
        return train_and_export(run, trainer, dataset, options)


def build_trainer(config: Config, dataset: Dataset, distribution: Distribution) -> Trainer:
    """Builds the model on all replicas, and what trains it.

    Raises:
        UserError: if the images of the workers differ, or cannot be shared out.
    """
    if config.jit and distribution.strategy:
        raise UserError("--jit: XLA compiles the step of a single device only.")
    distribution.check_same("images", lambda: fingerprint(dataset))
    if config.conditional:
        distribution.check_same("labels", lambda: fingerprint_of_labels(dataset))
    with distribution.scope():
        model = _build(config, dataset)
    distribution.prepare(model)
    return Trainer(model, dataset, config.batch_size, config.augment, config.flip, distribution)


def _build(config: Config, dataset: Dataset) -> GenerativeModel:
    num_images, num_classes = len(dataset.train.images), len(dataset.class_names or ())
    return building.build_model(config, dataset.image_shape, num_images, num_classes)


def follow(config: Config, trainer: Trainer) -> TrainedRun:
    """Trains as a worker that is not the chief, which says where everything is.

    It stops when all agree to: if it left alone, the others could not go on.
    """
    distribution = trainer.distribution
    held_back = stop_signals.held_back(distribution.agreed_signal)
    with stop_signals.before_failures(), held_back as stop_if_asked:
        directory = Path(distribution.from_chief(bytes).decode())
        history = following.follow(config, trainer, stop_if_asked)
        distribution.end_together()
    return TrainedRun(directory, config, history, directory / SAVED_MODEL)


def train_and_export(
    run: Run, trainer: Trainer, dataset: Dataset, options: RunOptions
) -> TrainedRun:
    """Trains a run to its end, as the chief, and exports it; its directory is locked."""
    with stop_signals.naming(run.directory):
        trainer.distribution.from_chief(str(run.directory).encode)
        pictures = RunPictures(run, trainer.model, dataset)
        history = train_run(run, trainer, pictures, options)
        rows = early_stopping.take_best(run, trainer.model, history)
        with averaged(trainer.model):
            finishing.finish(run, trainer.model, dataset)
            saved_model = export_run.export(run, trainer.model, rows)
        pictures.draw_summary(history)  # last, so that no picture can cost the model
        _write_page(run, trainer, history)
        screen.conclude(run, trainer.model, saved_model)
        trainer.distribution.end_together()
    return TrainedRun(run.directory, run.config, history, saved_model)


def _write_page(run: Run, trainer: Trainer, history: list[dict[str, float]]) -> None:
    """Writes the page of a run; one that fails does not spoil the run."""
    test = trainer.dataset.test
    try:
        making.write_run(run, history, (test.images, test.labels))
    except Exception as error:  # a page has many parts, and none is worth a run
        reason = str(error).partition("\n")[0]
        terminal.warn(f"report.html is missing ({reason}); report.py tries again.")
