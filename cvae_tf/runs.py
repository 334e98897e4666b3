"""The run directory: its configuration, metrics and checkpoints, written whole or not at all."""

import csv
import datetime
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf import files, npz
from cvae_tf.config import Config
from cvae_tf.datasets import Dataset
from cvae_tf.errors import UserError
from cvae_tf.model import CVAE

RUNS = Path("runs")
_CHECKPOINTS_KEPT = 3


class Run(NamedTuple):
    """A run directory, its configuration and the facts about its data."""

    directory: Path
    config: Config
    data: dict[str, Any]  # name, origin, image_shape, train_images, test_images

    @property
    def images(self) -> Path:
        """The folder of the pictures of the epochs."""
        return self.directory / "images"

    @property
    def epoch_images(self) -> list[Path]:
        """The pictures of the epochs that there are, in their order."""
        pictures = self.images.glob("image_at_epoch_*.png")
        return sorted(pictures, key=lambda path: int(path.stem.rpartition("_")[2]))

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints that there are, oldest first."""
        return sorted((self.directory / "checkpoints").glob("step_*.npz"))


class Checkpoint(NamedTuple):
    """How far a run has come."""

    epoch: int
    metrics: list[dict[str, float]]  # a row for each epoch


def create_run(directory: str | None, config: Config, dataset: Dataset) -> Run:
    """Makes a new run directory and points `runs/latest` to it if it lies in `runs`.

    Args:
        directory: its path; by default a new one in `runs`, named after the time.
        config: the complete configuration.
        dataset: what the run learns from.

    Returns:
        The new run.

    Raises:
        UserError: if the directory is not empty, or cannot be made.
    """
    path = Path(directory) if directory else _unused_name()
    if path.absolute() == (RUNS / "latest").absolute():
        raise UserError(f"--run_dir={path}: this name is kept for a link to the newest run.")
    data = {
        "name": dataset.name,
        "origin": dataset.origin,
        "image_shape": list(dataset.image_shape),
        "train_images": len(dataset.train.images),
        "test_images": len(dataset.test.images),
    }
    run = Run(path, config, data)
    try:
        if path.is_dir() and any(path.iterdir()):
            what = "already holds a run" if (path / "config.json").exists() else "is not empty"
            raise UserError(f"--run_dir={path}: {what}; choose another directory.")
        run.images.mkdir(parents=True)
        (path / "checkpoints").mkdir()
        files.write_json(path / "config.json", {"config": config.to_json(), "data": data})
    except OSError as error:
        raise UserError(f"--run_dir={path}: cannot be written ({error.strerror}).") from error
    if path.parent.resolve() == RUNS.resolve():
        _point_latest_to(path)
    return run


def _unused_name() -> Path:
    name = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    candidates = (RUNS / f"{name}{suffix}" for suffix in ("", *(f"_{i}" for i in range(2, 1000))))
    return next(path for path in candidates if not path.exists())


def _point_latest_to(path: Path) -> None:
    latest = path.parent / "latest"
    temporary = path.parent / f".latest-{os.getpid()}"
    temporary.symlink_to(path.name)
    temporary.replace(latest)


def load_run(directory: str) -> Run:
    """Reads the configuration of a run.

    Args:
        directory: of the run.

    Returns:
        The run.

    Raises:
        UserError: if the directory holds no run.
    """
    path = Path(directory)
    if not (path / "config.json").is_file():
        raise UserError(f"--run_dir={path}: holds no run (no config.json); train one first.")
    contents = files.read_json(path / "config.json")
    try:
        config, data = Config.from_json(contents["config"]), contents["data"]
        height, width, channels = (int(side) for side in data["image_shape"])
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{path}/config.json: not that of a run ({error}).") from error
    return Run(path.resolve(), config, {**data, "image_shape": (height, width, channels)})


def write_metrics(run: Run, rows: list[dict[str, float]]) -> None:
    """Writes `metrics.csv`, a row for each epoch."""
    with (
        files.replacing(run.directory / "metrics.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def save_checkpoint(run: Run, model: CVAE, metrics: list[dict[str, float]]) -> Path:
    """Writes weights, optimizer state and metrics; keeps the newest three checkpoints.

    Args:
        run: the run.
        model: compiled.
        metrics: the rows of `metrics.csv` so far.

    Returns:
        The new file.
    """
    arrays = {name: variable.numpy() for name, variable in _named_variables(model)}
    state = json.dumps({"epoch": len(metrics), "metrics": metrics}).encode()
    step = int(model.optimizer.iterations.numpy())
    path = run.directory / "checkpoints" / f"step_{step:08d}.npz"
    with files.replacing(path) as temporary:
        np.savez(temporary, state=np.frombuffer(state, np.uint8), **arrays)
    for old in run.checkpoints[:-_CHECKPOINTS_KEPT]:
        old.unlink()
    return path


def restore_newest_checkpoint(run: Run, model: CVAE) -> Checkpoint:
    """Sets the variables of a compiled model to those of the newest checkpoint.

    Returns:
        How far the run had come.

    Raises:
        UserError: if there is no checkpoint, or it is not one of this model.
    """
    if not run.checkpoints:
        raise UserError(f"--run_dir={run.directory}: the run has no checkpoint yet.")
    path = run.checkpoints[-1]
    model.optimizer.build(model.trainable_variables)
    variables = dict(_named_variables(model))
    arrays = npz.read_npz(path, ("state", *variables))
    try:
        state = Checkpoint(**json.loads(arrays["state"].tobytes()))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a checkpoint of a run (no valid state).") from error
    for name, variable in variables.items():
        if name not in arrays or arrays[name].shape != variable.shape:
            raise UserError(f"{path}: not a checkpoint of this run's model (see {name}).")
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return state


def _named_variables(model: CVAE) -> Iterator[tuple[str, Any]]:
    """All that training changes, under names that hold in any process."""
    groups = {"encoder": model.encoder, "decoder": model.decoder, "optimizer": model.optimizer}
    for group, owner in groups.items():
        for index, variable in enumerate(owner.variables):
            yield f"{group}.{index:02d}.{variable.name}", variable
