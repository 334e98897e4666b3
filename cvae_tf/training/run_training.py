"""The course of a training, from the newest checkpoint or the beginning to the last epoch.

All workers go through it together; the chief alone writes. Below stand: when checkpoints are
written (now and then, after an epoch, and when a run is stopped); when a run is over early; what is
fitted after the last step, and kept beside the checkpoints; what TensorBoard and the screen show.
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
from cvae_tf.core.terminal import command, link, say, says_all, warn
from cvae_tf.data.datasets import Dataset
from cvae_tf.models import family_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.presets import PRESETS
from cvae_tf.training import checkpoints, run_directory, signals
from cvae_tf.training.checkpoints import Metrics, Progress, best_row
from cvae_tf.training.distribution import Distribution
from cvae_tf.training.pictures import (
    MOST_IN_COLOUR,
    MOST_PICTURES,
    RunPictures,
    interval_of,
    is_among,
    told,
)
from cvae_tf.training.run_directory import Run
from cvae_tf.training.trainer import EpochResult, Trainer, is_within_averages

_MOST_LINES = 30  # of epochs on the screen, about
_SOON, _LITTLE = 0.1, 0.01  # of all epochs, of what the test figure had won: no clear loss
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
        last = 0 if callback.is_over_early() else epochs
        for result in trainer.run_epochs(last, callback, first_epoch, progress.steps_done):
            callback.finish_epoch(result, pictures, events)
            is_over = callback.is_over_early()
            if is_over or says_all() or is_among(result.epoch, epochs, _MOST_LINES):
                _report_epoch(result, trainer.model, epochs)
            callback.stop_if_asked()
            if is_over:
                break
    _report_best(run.config, callback.metrics, trainer.model, callback.is_over_early())
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
    progress = checkpoints.restore_newest(run.checkpoints, model)
    rows = [_with_other_figures(row, model) for row in progress.metrics]  # older ones lack them
    progress = progress._replace(metrics=rows)
    distribution.from_chief(lambda: checkpoints.packed(model, progress))
    announce(run, progress)
    if progress.metrics:
        _make_again(run, model, pictures, progress)
    return progress


def _with_other_figures(row: dict[str, float], model: GenerativeModel) -> dict[str, float]:
    return row | family_of(model).other_figures(model, row)


def _make_again(
    run: Run, model: GenerativeModel, pictures: RunPictures, progress: Progress
) -> None:
    """Makes what a checkpoint knows and the run directory may have lost."""
    run_directory.write_metrics(run, progress.metrics)
    row = progress.metrics[-1]
    is_wanted = _has_picture(run, progress.metrics, model) and progress.steps_done == 0
    if is_wanted and not run.epoch_image(row["epoch"]).exists():
        pictures.draw_epoch(row["epoch"], _test_values(row))


def _test_values(row: dict[str, float]) -> dict[str, float]:
    names = (name for name in row if name.startswith("test_"))
    return {name.removeprefix("test_"): row[name] for name in names}


def _has_picture(run: Run, rows: Metrics, model: GenerativeModel) -> bool:
    """Whether the last of some epochs has a picture: every k-th of many, and where a run ends."""
    epoch = rows[-1]["epoch"]
    most = MOST_PICTURES if model.image_shape[-1] == 1 else MOST_IN_COLOUR
    return is_among(epoch, run.config.epochs, most) or _is_over_early(run, rows, model)


def _is_over_early(run: Run, rows: Metrics, model: GenerativeModel) -> bool:
    """Whether epochs are left, but as many as are allowed have brought no better figure."""
    patience = run.config.early_stop
    if not patience or not rows or rows[-1]["epoch"] >= run.config.epochs:
        return False
    return rows[-1]["epoch"] - best_row(rows, model)["epoch"] >= patience


def known_run(run_dir: str | Path, strategy: str) -> Run | None:
    """Reads the run to go on with; None if only the chief of several workers may have it.

    Raises:
        UserError: if there is none.
    """
    may_lack_it = strategy == "multiworker" and not run_directory.is_run(paths.expand(run_dir))
    return None if may_lack_it else run_directory.load_run(run_dir)


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
        self._family = family_of(trainer.model)
        self._steps_per_epoch, self._distribution = trainer.steps_per_epoch, trainer.distribution
        self._saved = self._now()
        self._bar = Bar("")  # of the whole run

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
            self._bar.hide()

    def __call__(self, epoch: int, steps_done: int, value: float) -> None:
        """Is called by the trainer now and then, with a mean of the epoch so far."""
        epochs = self._run.config.epochs
        self._bar.what = f"epoch {epoch}/{epochs}"
        name = next(iter(self._family.train_measures(self._model).values())).name
        if name in {measure.name for measure in self._family.test_measures(self._model)}:
            _, value = self._family.headline(self._model, {name: value})
        share = (epoch - 1 + steps_done / self._steps_per_epoch) / epochs
        self._bar.show(share, f"training {value:,.2f}")
        if steps_done == self._steps_per_epoch:
            self._bar.hide()  # others may be shown while the test images are measured
        self.stop_if_asked()
        clocks = zip(self._now(), self._saved, self._every, strict=True)
        if any(now - saved >= every for now, saved, every in clocks):
            self.save()

    def finish_epoch(self, result: EpochResult, pictures: RunPictures | None, events: Any) -> None:
        """Writes what an epoch brought; it counts as done when all of it is on the disk."""
        row = _with_other_figures(result.as_row(), self._model)
        rows = [*self.metrics, row]
        if pictures:
            run_directory.write_metrics(self._run, rows)
            is_drawn = _has_picture(self._run, rows, self._model)
            picture = pictures.draw_epoch(result.epoch, result.test) if is_drawn else None
            if events:
                _write_events(events, row, picture)
        self.metrics = rows
        self.save()

    def is_over_early(self) -> bool:
        """Whether epochs are left, but the run is to be stopped before them."""
        return _is_over_early(self._run, self.metrics, self._model)

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

    def _is_sound(self) -> bool:
        """Whether all weights are those that learn, and finite; a run may just have seen others."""
        weights = self._model.trainable_variables
        are_finite = all(np.isfinite(weight.numpy()).all() for weight in weights)
        return are_finite and not is_within_averages(self._model)

    def _now(self) -> tuple[int, float]:
        return int(self._model.steps.numpy()), time.monotonic()


def take_best_epoch(run: Run, model: GenerativeModel, metrics: Metrics) -> Metrics:
    """Gives a model the weights of the best epoch, if the run is one that may be stopped early.

    Returns:
        The rows as far as the model has come: to its best epoch, or all.
    """
    if not run.config.early_stop or best_row(metrics, model) is metrics[-1]:
        return metrics
    return checkpoints.restore_best(run.checkpoints, model).metrics


def fit_after_training(run: Run, model: GenerativeModel, dataset: Dataset, step: int) -> None:
    """Learns what comes after the last step, such as where samples come from, and writes it.

    Part by part, by the weights that are in use, which are those of a step.
    """
    arrays = {}
    for name, part in model.fitted_parts.items():
        try:
            family_of(model).fit_after_training(model, name, dataset)
        except _NOT_FATAL as error:  # the trained model is not to be lost
            reason = str(error).partition("\n")[0]
            warn(f"the last part of the training failed ({reason}), so {part.effect_if_missing}.")
        else:
            variables = _fitted_variables(name, part)
            arrays |= {key: variable.numpy() for key, variable in variables.items()}
    if arrays:
        with files.replacing(run.finishing) as temporary:
            np.savez(temporary, **{_FITTED_STEP: step}, **arrays)


def restore_fitted(run: Run, model: GenerativeModel) -> list[str]:
    """Takes what was written of these weights; of what is missing, says what follows from it."""
    fitted = {name: _fitted_variables(name, part) for name, part in model.fitted_parts.items()}
    names = [key for variables in fitted.values() for key in variables]
    arrays, missing = {}, []
    with contextlib.suppress(UserError):
        arrays = files.read_npz(run.finishing, (_FITTED_STEP, *names))
    is_of_these = arrays.get(_FITTED_STEP) == model.steps.numpy()
    for name, variables in fitted.items():
        shapes = {key: array.shape for key, array in arrays.items() if key in variables}
        if is_of_these and shapes == {key: tuple(each.shape) for key, each in variables.items()}:
            for key, variable in variables.items():
                variable.assign(arrays[key])
        else:
            missing.append(model.fitted_parts[name].effect_if_missing)
    return missing


def _fitted_variables(name: str, part: Any) -> dict[str, Any]:
    return {f"{name}.{variable.name}": variable for variable in part.variables}


def _write_events(writer: Any, row: dict[str, float], picture: Path | None) -> None:
    """Adds the row of an epoch in `metrics.csv`, and its picture, to what TensorBoard shows."""
    with writer.as_default(step=row["epoch"]):
        for name, value in row.items():
            if name not in ("epoch", "step"):
                tf.summary.scalar(name, value)
        if picture:
            tf.summary.image("epoch", iio.imread(picture, mode="RGB")[None])
    writer.flush()


def check_tensorboard() -> None:
    """Raises a UserError if TensorBoard, without which nothing can be written, is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs another package: pip install tensorboard")


# What is shown on the screen


def announce(run: Run, progress: Progress) -> None:
    """Says what is about to be trained, on which data, on which device, from where."""
    config, data = run.config, run.data
    gpus, names = len(tf.config.list_physical_devices("GPU")), data.get("class_names", ())
    classes = f" {len(names):,} classes: {paths.listed(names)}." if names else ""
    say(f"data:    {data['origin']}{classes}")
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
    if config.epochs > _MOST_LINES and not says_all():
        every = interval_of(config.epochs, _MOST_LINES)
        say(f"epochs:  a line every {every} epochs; --verbose=2 prints a line for each")


def _report_epoch(result: EpochResult, model: GenerativeModel, epochs: int) -> None:
    """Prints the line of an epoch."""
    family = family_of(model)
    train, test = family.train_measures(model), family.test_measures(model)
    others = (each for each in train.values() if each not in test)
    training = ", ".join(f"{each.title} {result.train[each.name]:,.2f}" for each in others)
    say(
        f"epoch {result.epoch}/{epochs}: test {family.describe_test(model, result.test)}; "
        f"{training and f'training {training}; '}{result.images_per_second:,.0f} images/s, "
        f"{result.train_seconds + result.test_seconds:.1f} s",
    )
    for text in family.warnings(model, result.as_row()):
        warn(text)


def _report_best(
    config: Config, rows: Metrics, model: GenerativeModel, is_over_early: bool
) -> None:
    """Says at the end which epoch was the best, if that is clearly not the last one."""
    best, first, last = best_row(rows, model), rows[0], rows[-1]
    epoch, since = int(best["epoch"]), int(last["epoch"] - best["epoch"])
    name = f"test_{family_of(model).test_measures(model)[0].name}"
    lost, won = abs(best[name] - last[name]), abs(best[name] - first[name])
    if is_over_early:
        say(
            f"Stopped after epoch {last['epoch']}: none since epoch {epoch} was better on the test "
            f"images (--early_stop={config.early_stop}). --resume --early_stop=0 goes on."
        )
    elif config.early_stop and since:
        say(f"Epoch {epoch} was the best on the test images, and is exported.")
    elif since > _SOON * len(rows) and lost > _LITTLE * won:
        say(
            f"Best on the test images at epoch {epoch}, worse since: a new run with "
            f"--early_stop={max(1, since // 2)} ends sooner and exports its best epoch."
        )


def _result(model: GenerativeModel, rows: Metrics) -> str:
    """The number that stands for a model after these epochs, beside that of the first and best."""

    def number(row: dict[str, float]) -> str:
        return f"{family_of(model).headline(model, _test_values(row))[1]:,.2f}"

    first, best, last = rows[0], best_row(rows, model), rows[-1]
    seconds = sum(row["train_seconds"] + row["test_seconds"] for row in rows)
    took = f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
    notes = [f"epoch 1: {number(first)}"] if first is not last else []
    notes += [f"best, epoch {best['epoch']}: {number(best)}"] if best not in (first, last) else []
    measure, _ = family_of(model).headline(model, _test_values(last))
    notes.append(f"{'higher' if measure.higher_is_better else 'lower'} is better")
    epochs = f"{last['epoch']} epochs" if first is not last else "one epoch"
    return f"{told(model, _test_values(last))} after {epochs} in {took} ({'; '.join(notes)})"


def conclude(run: Run, model: GenerativeModel, rows: Metrics, saved_model: Path) -> None:
    """Says what came out of a finished run, where to look, and what to do next.

    The rows are those of the epochs up to the exported one.
    """
    say(f"\nResult: {_result(model, rows)}")
    if run.report.exists():
        say(f"Look at: {link(run.report)}")
    shown = [path.name for path in (run.manifold, run.latents) if path.exists()]
    latents = f", {' and '.join(shown)} the latent space" if shown else ""
    say(f"Files:   {run.animation.name} shows the epochs{latents},")
    say(f"         {run.curves.name} and {run.metrics.name} the numbers by epoch;")
    say(f"         {saved_model.relative_to(run.directory)} is the SavedModel")
    say("\nNext:")
    of_run = f"--run_dir={paths.shown(run.directory)}"
    for name, what, *flags in (
        ("generate", "new images"),
        ("evaluate", "how good the model is"),
        ("train", "train on", "--resume", f"--epochs={2 * run.config.epochs}"),
    ):
        say(f"  {command(name, *flags[:1], of_run, *flags[1:])}  # {what}")
