"""When training is no better for some epochs: it ends, and the best epoch is what is exported."""

from cvae_tf.config import Config
from cvae_tf.core.terminal import say
from cvae_tf.models.base import GenerativeModel
from cvae_tf.training import checkpoint_files, screen
from cvae_tf.training.checkpoint_files import Metrics, best_row
from cvae_tf.training.run_files import Run


def is_over(config: Config, model: GenerativeModel, metrics: Metrics) -> bool:
    """Whether epochs are left, but as many as are allowed have brought no better test figure."""
    patience = config.early_stop
    if not patience or not metrics or metrics[-1]["epoch"] >= config.epochs:
        return False
    return metrics[-1]["epoch"] - best_row(metrics, model)["epoch"] >= patience


def say_why(run: Run, model: GenerativeModel, metrics: Metrics) -> None:
    """Says that training has ended before its last epoch."""
    best = best_row(metrics, model)["epoch"]
    say(
        f"Stopped after epoch {metrics[-1]['epoch']}: none since epoch {best} was better on the "
        f"test images (--early_stop={run.config.early_stop})."
    )


def take_best(run: Run, model: GenerativeModel, metrics: Metrics) -> Metrics:
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
    progress, problems = checkpoint_files.restore_best(run.checkpoints, model)
    screen.warn_of(problems)
    return progress.metrics
