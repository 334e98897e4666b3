"""What goes into model.json: what a user of an exported model may want to know of its making."""

import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.families import family_of
from cvae_tf.training.run_files import Run

_PACKAGES = ("tensorflow", "keras", "numpy")


def describe(run: Run, model: GenerativeModel, metrics: list[dict[str, float]]) -> dict[str, Any]:
    """Collects the contents of `model.json`.

    Args:
        run: that the model comes from.
        model: its model.
        metrics: the rows of its `metrics.csv`.

    Returns:
        Plain values, ready for JSON.
    """
    family = family_of(model)
    return {
        "title": family.title,
        "config": run.config.to_json(),
        "data": run.data,
        **family.describe(model),
        "measures": [measure._asdict() for measure in family.test_measures(model)],
        "metrics": metrics[-1] if metrics else None,
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """The commit of this source code, or None if git does not track this very file."""
    if not _git("ls-files", Path(__file__).name):
        return None
    return _git("rev-parse", "HEAD")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
