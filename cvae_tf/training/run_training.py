"""The course of a training, from the newest checkpoint or the beginning to the last epoch.

All workers go through it together; the chief alone writes. Below stand: when checkpoints are
written (now and then, after an epoch, and when a run is stopped); when a run is over early; what is
fitted after the last step, and kept beside the checkpoints; what TensorBoard shows.
"""

import contextlib
import importlib.util
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import tensorflow as tf

from cvae_tf.config import Config, RunOptions
from cvae_tf.core import files, paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.terminal import Progress as Bar
from cvae_tf.core.terminal import say, warn
from cvae_tf.data.datasets import Dataset
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.families import family_of
from cvae_tf.training import checkpoints, run_directory, screen, signals
from cvae_tf.training.checkpoints import Metrics, Progress, best_row
from cvae_tf.training.distribution import Distribution
from cvae_tf.training.pictures import RunPictures
from cvae_tf.training.run_directory import Run
from cvae_tf.training.trainer import EpochResult, Trainer, is_within_averages

_FITTED_STEP = "step"  # of the weights that the fitted parts belong to
_NOT_FATAL = (np.linalg.LinAlgError, MemoryError, tf.errors.OpError)


def train_run(
    run: Run, trainer: Trainer, pictures: RunPictures | None, options: RunOptions
) -> Metrics:
    """Trains a run to its last epoch, step by step with all workers, which call this too.

    Args:
        run: whose directory the chief has locked.
        trainer: of its model, which is built, and restored here if there is a checkpoint.
        pictures: draws those of the epochs, on the chief.
        options: how to train it.

    Returns:
        The rows of its `metrics.csv`.

    Raises:
        UserError: if no checkpoint is good, a file cannot be written, or a number is not finite.
        KeyboardInterrupt: if it is stopped, after a checkpoint.
    """
    progress = _begin(run, trainer, pictures)
    callback = CheckpointCallback(run, trainer, progress.metrics, options.checkpoint_interval)
    shows_events = options.tensorboard and pictures
    events = tf.summary.create_file_writer(str(run.tensorboard)) if shows_events else None
    first_epoch, epochs = len(callback.metrics) + 1, run.config.epochs
    with callback.watching():
        is_over = callback.is_over_early()
        last = 0 if is_over else epochs
        for result in trainer.run_epochs(last, callback, first_epoch, progress.steps_done):
            callback.finish_epoch(result, pictures, events)
            screen.report(result, trainer.model, epochs)
            callback.stop_if_asked()
            is_over = callback.is_over_early()
            if is_over:
                break
    if is_over:
        best = best_row(callback.metrics, trainer.model)["epoch"]
        say(
            f"Stopped after epoch {callback.metrics[-1]['epoch']}: none since epoch {best} was "
            f"better on the test images (--early_stop={run.config.early_stop})."
        )
    return callback.metrics


def _begin(run: Run, trainer: Trainer, pictures: RunPictures | None) -> Progress:
    """Draws the first picture, restores the newest checkpoint, on all workers, and says so."""
    distribution, model = trainer.distribution, trainer.model
    is_first = distribution.is_chief and not run.epoch_image(0).exists()
    if distribution.total(np.array([float(is_first)]))[0]:
        test = trainer.evaluate()
        if pictures:
            pictures.draw_epoch(0, test)
    if not distribution.is_chief:
        return checkpoints.unpack(distribution.from_chief(bytes), model)
    progress, problems = checkpoints.restore_newest(run.checkpoints, model)
    distribution.from_chief(lambda: checkpoints.packed(model, progress))
    screen.announce(run, progress, problems)
    if progress.metrics:
        _make_again(run, pictures, progress)
    return progress


def _make_again(run: Run, pictures: RunPictures, progress: Progress) -> None:
    """Makes what a checkpoint knows and the run directory may have lost."""
    run_directory.write_metrics(run, progress.metrics)
    row = progress.metrics[-1]
    if progress.steps_done == 0 and not run.epoch_image(row["epoch"]).exists():
        values = {name.removeprefix("test_"): value for name, value in row.items()}
        pictures.draw_epoch(row["epoch"], values)


def known_run(run_dir: str | Path, strategy: str) -> Run | None:
    """Reads the run to go on with; None if only the chief of several workers may have it.

    Raises:
        UserError: if there is none.
    """
    if strategy == "multiworker" and not run_directory.is_run(paths.expand(run_dir)):
        return None
    return run_directory.load_run(run_dir)


def run_of_chief(known: Run | None, distribution: Distribution) -> Run:
    """Finds the run that the chief has, whatever lies on the disk of other workers.

    Raises:
        UserError: on the chief, if it has none.
    """

    def told() -> bytes:
        if not known:
            raise UserError("--run_dir: holds no run on the chief; train one first.")
        told = {"directory": str(known.directory), "config": known.config.to_json()}
        return json.dumps({**told, "data": known.data}).encode()

    if distribution.num_workers == 1 and known:
        return known
    run = json.loads(distribution.from_chief(told) or told())
    return Run(Path(run["directory"]), Config.from_json(run["config"]), run["data"])


class CheckpointCallback:
    """Looks after a run between two calls of the training loop.

    How far a run has come follows from its rows and from the optimizer's count of steps, and a call
    takes its steps wholly or not at all. So there is something to keep wherever Ctrl-C strikes.
    """

    def __init__(self, run: Run, trainer: Trainer, metrics: Metrics, every: tuple[float, float]):
        """Begins with the rows of the epochs that are done.

        A checkpoint is due `every` so many steps, or so many seconds.
        """
        self.metrics = metrics
        self._run, self._model, self._every = run, trainer.model, every
        self._steps_per_epoch, self._distribution = trainer.steps_per_epoch, trainer.distribution
        self._saved = self._now()
        self._bar: Bar | None = None  # of the epoch that is being trained

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Within it, a run that is stopped gets a last checkpoint first.

        Raises:
            KeyboardInterrupt: of which a signal to a script makes a `Stopped`.
        """
        try:
            with signals.held_back(self._distribution.agreed_signal) as self.stop_if_asked:
                yield
        except KeyboardInterrupt:
            if self._now()[0] > self._saved[0] and self._is_sound():
                self.save()
            raise
        finally:
            self._end_bar()

    def __call__(self, epoch: int, steps_done: int, value: float) -> None:
        """Is called by the trainer now and then, with a mean of the epoch so far."""
        if self._bar is None:
            self._bar = Bar(f"epoch {epoch}/{self._run.config.epochs}")
        self._bar.show(steps_done / self._steps_per_epoch, f"training {value:.2f}")
        if steps_done == self._steps_per_epoch:
            self._end_bar()
        self.stop_if_asked()
        clocks = zip(self._now(), self._saved, self._every, strict=True)
        if any(now - saved >= every for now, saved, every in clocks):
            self.save()

    def finish_epoch(
        self,
        result: EpochResult,
        pictures: RunPictures | None,
        events: Any,
    ) -> None:
        """Writes what an epoch brought; it counts as done when all of it is on the disk."""
        row = result.as_row()
        rows = [*self.metrics, row]
        if pictures:
            run_directory.write_metrics(self._run, rows)
            picture = pictures.draw_epoch(result.epoch, result.test)
            if events:
                _write_events(events, row, picture)
        self.metrics = rows
        self.save()

    def is_over_early(self) -> bool:
        """Whether epochs are left, but as many as are allowed have brought no better figure."""
        rows, patience = self.metrics, self._run.config.early_stop
        if not patience or not rows or rows[-1]["epoch"] >= self._run.config.epochs:
            return False
        return rows[-1]["epoch"] - best_row(rows, self._model)["epoch"] >= patience

    def save(self) -> None:
        """Writes a checkpoint of this moment; the first one makes the run the latest."""
        if not self._distribution.is_chief:
            return
        is_first = not checkpoints.list_checkpoints(self._run.checkpoints)
        now, rows = self._now(), self.metrics
        steps_done = now[0] - len(rows) * self._steps_per_epoch
        progress = Progress(len(rows) + 1, steps_done, rows)
        checkpoints.save_checkpoint(self._run.checkpoints, self._model, progress)
        self._saved = now
        if is_first:
            run_directory.point_latest_to(self._run)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.clear()
            self._bar = None

    def _is_sound(self) -> bool:
        """Whether all weights are those that learn, and finite.

        A run may be stopped just before it would say that they are not.
        """
        if is_within_averages(self._model):
            return False
        return all(np.isfinite(weight.numpy()).all() for weight in self._model.trainable_variables)

    def _now(self) -> tuple[int, float]:
        return int(self._model.steps.numpy()), time.monotonic()


def take_best_epoch(run: Run, model: GenerativeModel, metrics: Metrics) -> Metrics:
    """Gives a model the weights of the best epoch, if the run is one that may be stopped early.

    Returns:
        The rows as far as the model has come: to its best epoch, or all.
    """
    if not run.config.early_stop or best_row(metrics, model) is metrics[-1]:
        return metrics
    progress, problems = checkpoints.restore_best(run.checkpoints, model)
    screen.warn_of(problems)
    return progress.metrics


def fit_after_training(run: Run, model: GenerativeModel, dataset: Dataset) -> None:
    """Learns what comes after the last step, such as where samples come from, and writes it.

    Part by part, by the weights that are in use.
    """
    arrays = {}
    for name, part in model.finishing_parts.items():
        try:
            family_of(model).finish(model, name, dataset)
        except _NOT_FATAL as error:  # the trained model is not to be lost
            reason = str(error).partition("\n")[0]
            warn(f"what is learned at the end is missing: {part.if_missing} ({reason}).")
        else:
            variables = _fitted_variables(name, part)
            arrays |= {key: variable.numpy() for key, variable in variables.items()}
    if arrays:
        with files.replacing(run.finishing) as temporary:
            np.savez(temporary, **{_FITTED_STEP: model.steps.numpy()}, **arrays)


def restore_fitted(run: Run, model: GenerativeModel) -> list[str]:
    """Takes what was written of these weights; of what is missing, says what follows from it."""
    parts = model.finishing_parts
    if not parts:
        return []
    names = [key for name, part in parts.items() for key in _fitted_variables(name, part)]
    try:
        arrays = files.read_npz(run.finishing, (_FITTED_STEP, *names))
    except UserError:
        arrays = {}
    is_of_these = arrays.get(_FITTED_STEP) == model.steps.numpy()
    shapes, missing = {key: array.shape for key, array in arrays.items()}, []
    for name, part in parts.items():
        variables = _fitted_variables(name, part)
        if is_of_these and all(
            shapes.get(key) == tuple(each.shape) for key, each in variables.items()
        ):
            for key, variable in variables.items():
                variable.assign(arrays[key])
        else:
            missing.append(part.if_missing)
    return missing


def _fitted_variables(name: str, part: Any) -> dict[str, Any]:
    return {f"{name}.{variable.name}": variable for variable in part.variables}


def _write_events(writer: Any, row: dict[str, float], picture: Path) -> None:
    """Adds the row of an epoch in `metrics.csv`, and its picture, to what TensorBoard shows."""
    with writer.as_default(step=row["epoch"]):
        for name, value in row.items():
            if name not in ("epoch", "step"):
                tf.summary.scalar(name, value)
        tf.summary.image("epoch", iio.imread(picture, mode="RGB")[None])
    writer.flush()


def check_tensorboard() -> None:
    """Raises a UserError if TensorBoard, without which nothing can be written, is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs another package: pip install tensorboard")
