"""What a user of an exported model may want to know of its making."""

import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from cvae_tf.training.run_directory import Run

_BINARIZATIONS = {
    "threshold": "pixels above 0.5 are white",
    "dynamic": "drawn white by their grey level in training and in score, else white above 0.5",
    "none": "grey levels as they are",
}
_PACKAGES = ("tensorflow", "keras", "numpy")


def describe(run: Run, metrics: list[dict[str, float]]) -> dict[str, Any]:
    """Collects the contents of `model.json`.

    Args:
        run: that the model comes from.
        metrics: the rows of its `metrics.csv`.

    Returns:
        Plain values, ready for JSON.
    """
    return {
        "config": run.config.to_json(),
        "data": run.data,
        "binarization": _BINARIZATIONS[run.config.binarize],
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
