"""What `train.py` does, as functions: train a configuration, resume a run."""

import time
from typing import Any

from cvae_tf.config import Config
from cvae_tf.core import files, threads
from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, fingerprint, load_again, load_dataset
from cvae_tf.exporting.export_run import export
from cvae_tf.training import building, checkpoints, run_directory, screen
from cvae_tf.training.checkpoints import DEFAULT_INTERVAL, Interval, Metrics, Moment, Progress
from cvae_tf.training.interrupts import Interrupts
from cvae_tf.training.run_directory import Run
from cvae_tf.training.run_pictures import Gallery
from cvae_tf.training.trainer import Trainer


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
        tensorboard.check_tensorboard()
    threads.set_threads(config.threads)
    dataset = load_dataset(config.dataset, config.data_path, config.seed)
    trainer = _build_trainer(config, dataset)
    run = run_directory.create_run(run_dir, config, dataset)
    with run_directory.locked(run):
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
    run = run_directory.load_run(run_dir)
    config = run.config.extended(settings)
    if tensorboard:
        tensorboard.check_tensorboard()
    threads.set_threads(config.threads)
    dataset = load_again(run.data["name"], config.data_path, config.seed)
    if fingerprint(dataset) != run.data["sha256"]:
        raise UserError(f"--run_dir={run_dir}: the images are not those that the run began with.")
    trainer = _build_trainer(config, dataset)
    with run_directory.locked(run):
        files.remove_temporaries(run.directory)
        if config != run.config:
            screen.announce_extension(run.config, config)
            run = run._replace(config=config)
            run_directory.write_config(run)
        return _train_on(run, trainer, dataset, checkpoint_every, tensorboard)


def _build_trainer(config: Config, dataset: Dataset) -> Trainer:
    model = building.build_model(config, dataset.image_shape, len(dataset.train.images))
    return Trainer(model, dataset, config.batch_size, config.augment, config.jit, config.binarize)


def _train_on(
    run: Run, trainer: Trainer, dataset: Dataset, checkpoint_every: Interval, tensorboard: bool
) -> Run:
    """Trains from the newest checkpoint, or from the beginning, to the end."""
    model, epochs = trainer.model, run.config.epochs
    gallery = Gallery(run, model, dataset)
    board = tensorboard.Summaries(run.directory / "tensorboard") if tensorboard else None
    with Interrupts(f"go on with: python train.py --resume --run_dir={run.directory}") as stop:
        if not (run.images / "image_at_epoch_0000.png").exists():
            gallery.draw_epoch(0, trainer.evaluate().elbo)
        progress, problems = checkpoints.restore_newest(run.checkpoints, model)
        screen.announce(run, progress, problems)
        if progress.metrics:
            run_directory.write_metrics(run, progress.metrics)
        keeper = _Keeper(run, trainer, progress.metrics, checkpoint_every, stop)
        for result in trainer.run_epochs(epochs, keeper, progress.epoch, progress.steps_done):
            keeper.metrics.append(result.as_row(run.config.term_names))
            run_directory.write_metrics(run, keeper.metrics)
            picture = gallery.draw_epoch(result.epoch, result.test.elbo)
            if board:
                board.write(keeper.metrics[-1], picture)
            keeper.save(result.epoch + 1, steps_done=0)  # last, so that nothing before it lacks
            screen.report(result, run.config)
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
