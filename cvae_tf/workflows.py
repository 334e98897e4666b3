"""What the scripts do, as functions: train a configuration, resume a run, export it."""

import dataclasses
import time
from pathlib import Path
from typing import Any

from cvae_tf import (
    batches,
    checkpoints,
    files,
    formats,
    networks,
    optimizers,
    pictures,
    provenance,
    runs,
    screen,
    serving,
    summaries,
    threads,
)
from cvae_tf.checkpoints import DEFAULT_INTERVAL, Interval, Metrics, Moment, Progress
from cvae_tf.config import Config
from cvae_tf.datasets import Dataset, load_again, load_dataset
from cvae_tf.errors import UserError
from cvae_tf.gallery import Gallery
from cvae_tf.interrupts import Interrupts
from cvae_tf.model import CVAE
from cvae_tf.runs import Run
from cvae_tf.training import Trainer


def build_model(config: Config, image_shape: networks.ImageShape, num_images: int) -> CVAE:
    """Builds and compiles the model of a configuration, with fresh weights.

    Args:
        config: the configuration.
        image_shape: height, width and channels of an image.
        num_images: for training; with epochs and batch size they give the length of the schedule.

    Returns:
        The model.

    Raises:
        UserError: if the network is unknown or cannot take such images, or there are too few.
    """
    steps = batches.steps_per_epoch(num_images, config.batch_size)
    pair = networks.build_networks(
        config.network, image_shape, config.latent_dim, config.seed, config.precision
    )
    model = CVAE(pair, seed=config.seed)
    model.compile(
        optimizer=optimizers.build_optimizer(
            config.learning_rate,
            config.schedule,
            total_steps=config.epochs * steps,
            warmup_steps=config.warmup_steps,
            weight_decay=config.weight_decay,
        ),
        jit_compile=config.jit,
    )
    return model


def train(
    config: Config,
    run_dir: str | None = None,
    checkpoint_every: Interval = DEFAULT_INTERVAL,
    tensorboard: bool = False,
) -> Run:
    """Trains a model and writes everything of the run; the screen shows how it goes.

    Args:
        config: the configuration.
        run_dir: a new directory; by default one in `runs`, named after the time.
        checkpoint_every: how often to write a checkpoint within an epoch.
        tensorboard: whether to write for TensorBoard too, into `tensorboard` in the run.

    Returns:
        The finished run.

    Raises:
        UserError: if the data or the directory cannot be used, or the ELBO stops being finite.
        Stopped: on SIGINT or SIGTERM, after a checkpoint.
    """
    if tensorboard:
        summaries.check_tensorboard()
    threads.set_threads(config.threads)
    dataset = load_dataset(config.dataset, config.data_path, config.seed)
    trainer = _build_trainer(config, dataset)
    run = runs.create_run(run_dir, config, dataset)
    with runs.locked(run):
        return _train_on(run, trainer, dataset, checkpoint_every, tensorboard)


def resume(
    run_dir: str,
    settings: dict[str, Any],
    checkpoint_every: Interval = DEFAULT_INTERVAL,
    tensorboard: bool = False,
) -> Run:
    """Goes on with a run from its newest good checkpoint, to the same end as without a break.

    Args:
        run_dir: of the run.
        settings: that were asked for; they must be those of the run, but for more epochs.
        checkpoint_every: as in `train`.
        tensorboard: as in `train`.

    Returns:
        The finished run.

    Raises:
        UserError: as in `train`; or if there is no run, its data are others now, its settings
            contradict those asked for, or no good checkpoint is left.
        Stopped: as in `train`.
    """
    run = runs.load_run(run_dir)
    config = run.config.extended(settings)
    if tensorboard:
        summaries.check_tensorboard()
    threads.set_threads(config.threads)
    dataset = load_again(run.data["name"], config.data_path, config.seed)
    if runs.describe_data(dataset)["sha256"] != run.data["sha256"]:
        raise UserError(f"--run_dir={run_dir}: the images are not those that the run began with.")
    trainer = _build_trainer(config, dataset)
    with runs.locked(run):
        files.remove_temporaries(run.directory)
        if config != run.config:
            screen.announce_extension(run.config, config)
            run = run._replace(config=config)
            runs.write_config(run)
        return _train_on(run, trainer, dataset, checkpoint_every, tensorboard)


def _build_trainer(config: Config, dataset: Dataset) -> Trainer:
    model = build_model(config, dataset.image_shape, len(dataset.train.images))
    return Trainer(model, dataset, config.batch_size, config.augment, config.jit)


def _train_on(
    run: Run, trainer: Trainer, dataset: Dataset, checkpoint_every: Interval, tensorboard: bool
) -> Run:
    """Trains from the newest checkpoint, or from the beginning, to the end."""
    model, epochs = trainer.model, run.config.epochs
    gallery = Gallery(run, model, dataset)
    board = summaries.Summaries(run.directory / "tensorboard") if tensorboard else None
    with Interrupts(f"go on with: python train.py --resume --run_dir={run.directory}") as stop:
        if not (run.images / "image_at_epoch_0000.png").exists():
            gallery.draw_epoch(0, trainer.evaluate().elbo)
        progress, problems = checkpoints.restore_newest(run.checkpoints, model)
        screen.announce(run, progress, problems)
        if progress.metrics:
            runs.write_metrics(run, progress.metrics)
        keeper = _Keeper(run, trainer, progress.metrics, checkpoint_every, stop)
        for result in trainer.run_epochs(epochs, keeper, progress.epoch, progress.steps_done):
            keeper.metrics.append(result.as_row())
            runs.write_metrics(run, keeper.metrics)
            picture = gallery.draw_epoch(result.epoch, result.test.elbo)
            if board:
                board.write(result, picture)
            keeper.save(result.epoch + 1, steps_done=0)  # last, so that nothing before it lacks
            screen.report(result, epochs)
        stop.wait = False
        if stop.received:
            stop.now()
        gallery.draw_summary(keeper.metrics)
        screen.conclude(run, export(run, model, keeper.metrics))
    return run


class _Keeper:
    """What happens between two calls of the training loop: the bar, checkpoints, stopping."""

    def __init__(
        self, run: Run, trainer: Trainer, metrics: Metrics, every: Interval, stop: Interrupts
    ):
        self.metrics = metrics
        self._run, self._model, self._every, self._stop = run, trainer.model, every, stop
        self._bar = screen.EpochProgress(trainer.steps_per_epoch)
        self._saved = self._now()

    def __call__(self, epoch: int, steps_done: int, train_elbo: float) -> None:
        self._bar.show(steps_done, train_elbo)
        asked_to_stop = self._stop.received is not None
        if asked_to_stop or self._every.is_over(self._saved, self._now()):
            self.save(epoch, steps_done)
        if asked_to_stop:
            self._stop.now()
        self._stop.wait = True

    def save(self, epoch: int, steps_done: int) -> None:
        """Writes a checkpoint from which `epoch` goes on after `steps_done`."""
        progress = Progress(epoch, steps_done, self.metrics)
        checkpoints.save_checkpoint(self._run.checkpoints, self._model, progress)
        self._saved = self._now()

    def _now(self) -> Moment:
        return Moment(int(self._model.optimizer.iterations.numpy()), time.monotonic())


def export(
    run: Run, model: CVAE, metrics: list[dict[str, float]], output: Path | None = None
) -> Path:
    """Writes the SavedModel and the GIF of a run.

    Args:
        run: the run.
        model: its trained model.
        metrics: the rows of its `metrics.csv`.
        output: a directory for both; by default their places in the run, where they are replaced.

    Returns:
        The directory of the SavedModel.

    Raises:
        UserError: if `output` already holds a model or cannot be written.
    """
    saved_model = (output or run.directory / "export") / "1"
    animation = (output or run.directory) / "progress.gif"
    _refuse_existing(output, saved_model, animation)
    serving.export_saved_model(model, saved_model, provenance.describe(run, metrics))
    if run.epoch_images:
        pictures.animate(run.epoch_images, animation)
    return saved_model


def _refuse_existing(output: Path | str | None, *paths: Path) -> None:
    """Keeps what is already in a directory that was asked for."""
    for path in paths:
        if output and path.exists():
            raise UserError(f"--output={output}: {path} exists; choose another directory.")


def export_from_checkpoint(
    run_dir: str, output: str | None = None, format_name: str = "saved_model"
) -> Path:
    """Exports a run from its newest checkpoint.

    Args:
        run_dir: of the run.
        output: a directory for the model; by default its place in the run, where it is replaced.
        format_name: "saved_model", with the GIF beside it, or a name in `formats.WRITERS`.

    Returns:
        The directory of the model.

    Raises:
        UserError: as in `export`; or if there is no run, or no checkpoint in it, or the format
            needs a package that is missing.
    """
    formats.check_packages(format_name)
    run = runs.load_run(run_dir)
    config = run.config
    if format_name != "saved_model":  # other runtimes take the weights as they are kept
        config = dataclasses.replace(config, precision="float32")
    model = build_model(config, run.data["image_shape"], run.data["train_images"])
    progress, problems = checkpoints.restore_newest(run.checkpoints, model)
    if not checkpoints.list_checkpoints(run.checkpoints):
        raise UserError(f"--run_dir={run_dir}: the run has no checkpoint yet.")
    screen.warn(problems)
    if format_name == "saved_model":
        return export(run, model, progress.metrics, Path(output) if output else None)
    directory = (Path(output) if output else run.directory / "export") / format_name
    _refuse_existing(output, directory)
    metadata = provenance.describe(run, progress.metrics)
    formats.export_format(model, format_name, directory, metadata)
    return directory
