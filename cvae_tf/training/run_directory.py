"""The run directory: made once, locked while it is trained in, read again."""

import contextlib
import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cvae_tf.config import Config
from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, fingerprint

try:
    import fcntl
except ImportError:  # not on Windows, where two processes on one run are not noticed
    fcntl = None

RUNS = Path("runs")


class Run(NamedTuple):
    """A run directory, its configuration and the facts about its data."""

    directory: Path
    config: Config
    data: dict[str, Any]  # what `describe_data` says

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
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.directory / "checkpoints"


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
    run = Run(path, config, describe_data(dataset))
    try:
        if (path / "config.json").exists():
            raise UserError(
                f"--run_dir={path}: already holds a run; choose another, or --resume it."
            )
        if path.is_dir() and any(_is_foreign(file) for file in path.rglob("*")):
            raise UserError(f"--run_dir={path}: is not empty; choose another directory.")
        for directory in (run.images, run.checkpoints):
            directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--run_dir={path}: cannot be written ({error.strerror}).") from error
    write_config(run)
    if path.parent.resolve() == RUNS.resolve():
        _point_latest_to(path)
    return run


def _is_foreign(path: Path) -> bool:
    """Whether a file is not one that a run leaves which was killed while it was being made."""
    return path.is_file() and not path.name.startswith(files.TEMPORARY)


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """Says what a run learns from, so that it can be known again."""
    return {
        "name": dataset.name,
        "origin": dataset.origin,
        "image_shape": list(dataset.image_shape),
        "train_images": len(dataset.train.images),
        "test_images": len(dataset.test.images),
        "sha256": fingerprint(dataset),
    }


def write_config(run: Run) -> None:
    """Writes `config.json`."""
    contents = {"config": run.config.to_json(), "data": run.data}
    files.write_json(run.directory / "config.json", contents)


@contextlib.contextmanager
def locked(run: Run) -> Iterator[None]:
    """Keeps other processes from training in the run; ends with the process, however that ends.

    Raises:
        UserError: if another process is training in it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(run.directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UserError(f"--run_dir={run.directory}: another process is using it.") from error
    finally:
        os.close(handle)


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
        data = {**data, "train_images": int(data["train_images"]), "sha256": data["sha256"]}
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{path}/config.json: not that of a run ({error}).") from error
    return Run(path.resolve(), config, {**data, "image_shape": (height, width, channels)})


def write_metrics(run: Run, rows: list[dict[str, float]]) -> None:
    """Writes `metrics.csv`, a row for each epoch."""
    values = (row.values() for row in rows)
    files.write_table(run.directory / "metrics.csv", list(rows[0]), values)
