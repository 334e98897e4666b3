"""The course of a training, from the newest checkpoint or the beginning to the last epoch."""

from cvae_tf.config import RunOptions
from cvae_tf.training import (
    checkpoint_files,
    early_stopping,
    run_directory,
    screen,
    tensorboard,
)
from cvae_tf.training.checkpoint_files import Interval, Metrics, Progress
from cvae_tf.training.run_files import Run
from cvae_tf.training.run_pictures import RunPictures
from cvae_tf.training.trainer import EpochResult, Trainer
from cvae_tf.training.when_to_checkpoint import Keeper


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
    keeper = Keeper(run, trainer, progress.metrics, Interval(*options.checkpoint_interval))
    board = tensorboard.Summaries(run.tensorboard) if options.tensorboard else None
    first_epoch, epochs = len(keeper.metrics) + 1, run.config.epochs

    def is_over() -> bool:
        return early_stopping.is_over(run.config, trainer.model, keeper.metrics)

    with keeper.watching():
        if is_over():
            epochs = 0
        for result in trainer.run_epochs(epochs, keeper, first_epoch, progress.steps_done):
            _finish_epoch(run, result, pictures, keeper, board)
            screen.report(result, trainer.model, epochs)
            keeper.stop_if_asked()
            if is_over():
                break
        if is_over():
            early_stopping.say_why(run, trainer.model, keeper.metrics)
    return keeper.metrics


def _begin(run: Run, trainer: Trainer, pictures: RunPictures) -> Progress:
    """Draws the first picture, restores the newest checkpoint, on all workers, and says so."""
    if trainer.distribution.agreed(not run.epoch_image(0).exists()):
        pictures.draw_epoch(0, trainer.evaluate())
    progress, problems = checkpoint_files.restore_newest(run.checkpoints, trainer.model)
    trainer.distribution.from_chief(lambda: checkpoint_files.packed(trainer.model, progress))
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
    keeper: Keeper,
    board: tensorboard.Summaries | None,
) -> None:
    """Writes what an epoch brought; it counts as done when all of it is on the disk."""
    row = result.as_row()
    run_directory.write_metrics(run, [*keeper.metrics, row])
    picture = pictures.draw_epoch(result.epoch, result.test)
    if board:
        board.write(row, picture)
    keeper.finish_epoch(row)
