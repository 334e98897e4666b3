"""The course of a training, from the newest checkpoint or the beginning to the last epoch.

`train_run` is that of the chief, `follow_chief` that of other workers, which write nothing. Below
stand: when checkpoints are written (now and then, after an epoch, and when a run is stopped); when
a run is over early; what is fitted after the last step, and kept beside the checkpoints; what
TensorBoard shows, which is an optional package.
"""

import contextlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
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
from cvae_tf.training.checkpoints import CheckpointInterval, Metrics, Moment, Progress, best_row
from cvae_tf.training.distribution import Distribution
from cvae_tf.training.pictures import RunPictures
from cvae_tf.training.run_directory import Run
from cvae_tf.training.trainer import EpochResult, Trainer, is_within_averages

_FITTED_STEP = "step"  # of the weights that the fitted parts belong to
_NOT_FATAL = (np.linalg.LinAlgError, MemoryError, tf.errors.OpError)


def train_run(run: Run, trainer: Trainer, pictures: RunPictures, options: RunOptions) -> Metrics:
    """Trains a run to its last epoch.

    Args:
        run: whose directory is locked.
        trainer: of its model, which is built, and restored here if there is a checkpoint.
        pictures: draws those of the epochs.
        options: how to train it.

    Returns:
        The rows of its `metrics.csv`.

    Raises:
        UserError: if no checkpoint is good, a file cannot be written, or a number is not finite.
        KeyboardInterrupt: if it is stopped, after a checkpoint.
    """
    progress = _begin(run, trainer, pictures)
    every = CheckpointInterval(*options.checkpoint_interval)
    callback = CheckpointCallback(run, trainer, progress.metrics, every)
    board = TensorBoardSummaries(run.tensorboard) if options.tensorboard else None
    first_epoch, epochs = len(callback.metrics) + 1, run.config.epochs

    def is_over() -> bool:
        return is_over_early(run.config, trainer.model, callback.metrics)

    with callback.watching():
        if is_over():
            epochs = 0
        for result in trainer.run_epochs(epochs, callback, first_epoch, progress.steps_done):
            _finish_epoch(run, result, pictures, callback, board)
            screen.report(result, trainer.model, epochs)
            callback.stop_if_asked()
            if is_over():
                break
        if is_over():
            say_why_over(run, trainer.model, callback.metrics)
    return callback.metrics


def _begin(run: Run, trainer: Trainer, pictures: RunPictures) -> Progress:
    """Draws the first picture, restores the newest checkpoint, on all workers, and says so."""
    if trainer.distribution.agreed(not run.epoch_image(0).exists()):
        pictures.draw_epoch(0, trainer.evaluate())
    progress, problems = checkpoints.restore_newest(run.checkpoints, trainer.model)
    trainer.distribution.from_chief(lambda: checkpoints.packed(trainer.model, progress))
    screen.announce(run, progress, problems)
    _make_again(run, pictures, progress)
    return progress


def _make_again(run: Run, pictures: RunPictures, progress: Progress) -> None:
    """Makes what a checkpoint knows and the run directory may have lost."""
    if progress.metrics:
        run_directory.write_metrics(run, progress.metrics)
        row = progress.metrics[-1]
        if progress.steps_done == 0 and not run.epoch_image(row["epoch"]).exists():
            pictures.draw_epoch(row["epoch"], _test_values(row))


def _test_values(row: dict[str, float]) -> dict[str, float]:
    """What was measured of the test images, by the names of the measures."""
    tests = ((name, value) for name, value in row.items() if name.startswith("test_"))
    return {name.removeprefix("test_"): value for name, value in tests}


def _finish_epoch(
    run: Run,
    result: EpochResult,
    pictures: RunPictures,
    callback: "CheckpointCallback",
    board: "TensorBoardSummaries | None",
) -> None:
    """Writes what an epoch brought; it counts as done when all of it is on the disk."""
    row = result.as_row()
    run_directory.write_metrics(run, [*callback.metrics, row])
    picture = pictures.draw_epoch(result.epoch, result.test)
    if board:
        board.write(row, picture)
    callback.finish_epoch(row)


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


def follow_chief(config: Config, trainer: Trainer, stop_if_asked: Callable[[], None]) -> Metrics:
    """Trains a run to its last epoch, step by step with the chief, which calls `train_run`.

    Args:
        config: of the run.
        trainer: of its model, which gets the chief's weights.
        stop_if_asked: raises `Stopped` if a worker was asked to stop; for moments when all ask.

    Returns:
        The rows of `metrics.csv`, as the chief writes them.

    Raises:
        UserError: if a number is not finite.
        KeyboardInterrupt: if any worker is stopped.
    """
    if trainer.distribution.agreed(False):  # the chief needs its first picture
        trainer.evaluate()
    progress = checkpoints.unpack(trainer.distribution.from_chief(bytes), trainer.model)
    metrics = list(progress.metrics)
    if is_over_early(config, trainer.model, metrics):
        return metrics
    for result in trainer.run_epochs(
        config.epochs,
        lambda epoch, step, value: stop_if_asked(),
        len(metrics) + 1,
        progress.steps_done,
    ):
        metrics.append(result.as_row())
        stop_if_asked()
        if is_over_early(config, trainer.model, metrics):
            break
    return metrics


class CheckpointCallback:
    """Looks after a run between two calls of the training loop.

    How far a run has come follows from its rows and from the optimizer's count of steps, and a call
    takes its steps wholly or not at all. So there is something to keep wherever Ctrl-C strikes.
    """

    def __init__(self, run: Run, trainer: Trainer, metrics: Metrics, every: CheckpointInterval):
        """Begins.

        Args:
            run: the run.
            trainer: whose model is looked after, as it was built or restored.
            metrics: the rows of the epochs that are done.
            every: how often to write a checkpoint within an epoch.
        """
        self.metrics = metrics
        self._run, self._model, self._every = run, trainer.model, every
        self._steps_per_epoch = trainer.steps_per_epoch
        self._agree = trainer.distribution.agreed_signal
        self._saved = self._now()
        self._bar: Bar | None = None  # of the epoch that is being trained

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Within it, a run that is stopped gets a last checkpoint first.

        Raises:
            KeyboardInterrupt: of which a signal to a script makes a `Stopped`.
        """
        try:
            with signals.held_back(self._agree) as self.stop_if_asked:
                yield
        except KeyboardInterrupt:
            if self._now().step > self._saved.step and self._is_sound():
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
        if self._every.is_over(self._saved, self._now()):
            self.save()

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Counts an epoch as done; called last, when its row and its picture are on the disk."""
        self.metrics = [*self.metrics, row]
        self.save()

    def save(self) -> None:
        """Writes a checkpoint of this moment; the first one makes the run the latest."""
        is_first = not checkpoints.list_checkpoints(self._run.checkpoints)
        now, rows = self._now(), self.metrics
        steps_done = now.step - len(rows) * self._steps_per_epoch
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

    def _now(self) -> Moment:
        return Moment(int(self._model.steps.numpy()), time.monotonic())


def is_over_early(config: Config, model: GenerativeModel, metrics: Metrics) -> bool:
    """Whether epochs are left, but as many as are allowed have brought no better test figure."""
    patience = config.early_stop
    if not patience or not metrics or metrics[-1]["epoch"] >= config.epochs:
        return False
    return metrics[-1]["epoch"] - best_row(metrics, model)["epoch"] >= patience


def say_why_over(run: Run, model: GenerativeModel, metrics: Metrics) -> None:
    """Says that training has ended before its last epoch."""
    best = best_row(metrics, model)["epoch"]
    say(
        f"Stopped after epoch {metrics[-1]['epoch']}: none since epoch {best} was better on the "
        f"test images (--early_stop={run.config.early_stop})."
    )


def take_best_epoch(run: Run, model: GenerativeModel, metrics: Metrics) -> Metrics:
    """Gives a model the weights of the best epoch, if the run is one that may be stopped early.

    Args:
        run: the run.
        model: its model.
        metrics: the rows of its `metrics.csv`.

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
    if arrays.get(_FITTED_STEP) != model.steps.numpy():
        arrays = {}
    return [part.if_missing for name, part in parts.items() if not _take_fitted(name, part, arrays)]


def _take_fitted(name: str, part: Any, arrays: dict[str, np.ndarray]) -> bool:
    """Gives a part the arrays of its name, if all are there and fit."""
    variables = _fitted_variables(name, part)
    shapes = {key: array.shape for key, array in arrays.items()}
    if any(shapes.get(key) != tuple(variable.shape) for key, variable in variables.items()):
        return False
    for key, variable in variables.items():
        variable.assign(arrays[key])
    return True


def _fitted_variables(name: str, part: Any) -> dict[str, Any]:
    return {f"{name}.{variable.name}": variable for variable in part.variables}


class TensorBoardSummaries:
    """Writes what TensorBoard shows of each epoch."""

    def __init__(self, directory: Path):
        """Begins a file of events.

        Args:
            directory: for TensorBoard's --logdir.

        Raises:
            UserError: if TensorBoard is not installed.
        """
        check_tensorboard()
        self._writer = tf.summary.create_file_writer(str(directory))

    def write(self, row: dict[str, float], picture: Path) -> None:
        """Adds the row of an epoch in `metrics.csv`, and its picture."""
        with self._writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if name not in ("epoch", "step"):
                    tf.summary.scalar(name, value)
            tf.summary.image("epoch", iio.imread(picture)[None, ..., :3])
        self._writer.flush()


def check_tensorboard() -> None:
    """Raises a UserError if TensorBoard, without which nothing can be written, is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs another package: pip install tensorboard")
