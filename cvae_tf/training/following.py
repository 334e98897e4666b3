"""What a worker does that is not the chief: it learns of the run, trains along, writes nothing."""

import json
from collections.abc import Callable
from pathlib import Path

from cvae_tf.config import Config
from cvae_tf.core import paths
from cvae_tf.core.errors import UserError
from cvae_tf.training import checkpoint_files, early_stopping, run_directory
from cvae_tf.training.checkpoint_files import Metrics
from cvae_tf.training.distribution import Distribution
from cvae_tf.training.run_files import Run
from cvae_tf.training.trainer import Trainer


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


def follow(config: Config, trainer: Trainer, stop_if_asked: Callable[[], None]) -> Metrics:
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
    progress = checkpoint_files.unpack(trainer.distribution.from_chief(bytes), trainer.model)
    metrics = list(progress.metrics)
    if early_stopping.is_over(config, trainer.model, metrics):
        return metrics
    for result in trainer.run_epochs(
        config.epochs,
        lambda epoch, step, value: stop_if_asked(),
        len(metrics) + 1,
        progress.steps_done,
    ):
        metrics.append(result.as_row())
        stop_if_asked()
        if early_stopping.is_over(config, trainer.model, metrics):
            break
    return metrics
