"""What goes into the model.json of a run's model."""

from typing import Any

from cvae_tf.models import saved_model
from cvae_tf.models.base import GenerativeModel
from cvae_tf.training.run_directory import Run


def describe(run: Run, model: GenerativeModel, metrics: list[dict[str, float]]) -> dict[str, Any]:
    """Collects the contents of `model.json`.

    Args:
        run: that the model comes from.
        model: its model.
        metrics: the rows of its `metrics.csv`.

    Returns:
        Plain values, ready for JSON.
    """
    last = metrics[-1] if metrics else None
    return saved_model.describe(model, run.config.to_json(), run.data, last)
