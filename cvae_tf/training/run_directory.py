"""The run directory: its files, made, locked, written (config.json, metrics.csv), read."""

import contextlib
import csv
import datetime
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.config import EVALUATION, LATEST, RUNS, Config
from cvae_tf.core import files, paths, terminal
from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, fingerprint, fingerprint_of_labels, training_margins

try:
    import fcntl
except ImportError:  # not on Windows, where two processes on one run are not noticed
    fcntl = None

# Names that must be known where there is a directory, but no `Run`.
CONFIG = "config.json"
SAVED_MODEL = Path("export") / "1"  # in a numbered folder, as model servers expect
MODEL_JSON = "model.json"  # beside each exported model
ANIMATION = "progress.gif"


class Run(NamedTuple):
    """A run directory and what is written in its `config.json`."""

    directory: Path
    config: Config
    data: dict[str, Any]  # what `describe_data` says

    @property
    def config_file(self) -> Path:
        """Settings and data."""
        return self.directory / CONFIG

    @property
    def metrics(self) -> Path:
        """A row for each epoch."""
        return self.directory / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.directory / "checkpoints"

    @property
    def finishing(self) -> Path:
        """What was learned after the last step; empty of most models."""
        return self.directory / "finishing.npz"

    @property
    def images(self) -> Path:
        """The folder of the pictures of the epochs."""
        return self.directory / "images"

    def epoch_image(self, epoch: int) -> Path:
        """The picture of an epoch, 0 before training."""
        return self.images / f"image_at_epoch_{epoch:04d}.png"

    @property
    def epoch_images(self) -> list[Path]:
        """The pictures of the epochs that there are, in their order."""
        pictures = self.images.glob("image_at_epoch_*.png")
        return sorted(pictures, key=lambda path: int(path.stem.rpartition("_")[2]))

    @property
    def animation(self) -> Path:
        """The pictures of the epochs as a GIF."""
        return self.directory / ANIMATION

    @property
    def manifold(self) -> Path:
        """The picture of the decoded latent space."""
        return self.directory / "manifold.png"

    @property
    def latents(self) -> Path:
        """The picture of the latents of the test images."""
        return self.directory / "latents.png"

    @property
    def curves(self) -> Path:
        """The picture of the metrics."""
        return self.directory / "curves.png"

    @property
    def tensorboard(self) -> Path:
        """The folder of what TensorBoard reads."""
        return self.directory / "tensorboard"

    @property
    def saved_model(self) -> Path:
        """The SavedModel."""
        return self.directory / SAVED_MODEL

    @property
    def exports(self) -> Path:
        """The folder of the exported models."""
        return self.saved_model.parent

    @property
    def report(self) -> Path:
        """The page of the run, for a browser."""
        return self.directory / "report.html"

    @property
    def evaluation(self) -> Path:
        """The numbers of an evaluation; its other files lie beside it."""
        return self.directory / EVALUATION


@contextlib.contextmanager
def new_run(directory: str | Path | None, config: Config, dataset: Dataset) -> Iterator[Run]:
    """Makes a new run directory, which is locked within the context; later it holds the run.

    Args:
        directory: its path; by default a new one in `runs`, named after the time.
        config: the complete configuration.
        dataset: what the run learns from.

    Yields:
        The new run.

    Raises:
        UserError: if the directory is not empty, another process takes it at the same time, or it
            cannot be made.
    """
    path = _make_unnamed() if directory is None else _make_named(paths.expand(directory))
    run = Run(path.absolute(), config, describe_data(dataset, config.conditional))
    with locked(run):
        with _explaining(path):
            _refuse_full(run.directory)
        for folder in (run.images, run.checkpoints):
            files.make_directory(folder)
        write_config(run)
        yield run


def _make_named(path: Path) -> Path:
    if path.absolute() == (RUNS / LATEST).absolute():
        raise UserError(f"--run_dir={path}: this name is kept for a link to the newest run.")
    with _explaining(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def _make_unnamed() -> Path:
    """Makes a directory that nobody else can have made, however many begin at the same time."""
    runs, time = RUNS.absolute(), datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    names = itertools.chain([time], (f"{time}_{i}" for i in itertools.count(2)))
    with _explaining(RUNS):
        runs.mkdir(exist_ok=True)
        return next(runs / name for name in names if _make(runs / name))


def _make(path: Path) -> bool:
    """Makes a directory; whether it was not there before."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


def _refuse_full(path: Path) -> None:
    """Raises a UserError if a directory holds a run, or anything else."""
    where = f"--run_dir={paths.shown(path)}"
    if (path / CONFIG).exists():
        raise UserError(f"{where}: already holds a run; choose another, or --resume it.")
    if any(_is_foreign(file) for file in path.rglob("*")):
        raise UserError(f"{where}: is not empty; choose another directory.")


def _is_foreign(path: Path) -> bool:
    """Whether a file is not one that a run leaves which was killed while it was being made."""
    return path.is_file() and not path.name.startswith(files.TEMPORARY)


@contextlib.contextmanager
def _explaining(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"--run_dir={path}: cannot be written ({error.strerror}).") from error


def describe_data(dataset: Dataset, is_conditional: bool = False) -> dict[str, Any]:
    """Says what a run learns from, so that it can be known again; if it wants labels, these too."""
    classes = _describe_classes(dataset) if dataset.class_names else {}
    return {
        "name": dataset.name,
        "key": dataset.key,
        "licence": dataset.licence,
        "origin": dataset.origin,
        "image_shape": list(dataset.image_shape),
        "train_images": len(dataset.train.images),
        "test_images": len(dataset.test.images),
        "margin_brightness": round(training_margins(dataset), 4),
        "pictures": dataset.form._asdict() if dataset.form else None,
        **classes,
        **({"labels_sha256": fingerprint_of_labels(dataset)} if is_conditional else {}),
        "sha256": fingerprint(dataset),
    }


def _describe_classes(dataset: Dataset) -> dict[str, Any]:
    names, labels = list(dataset.class_names), dataset.train.labels
    counts = [] if labels is None else np.bincount(labels, minlength=len(names)).tolist()
    return {"class_names": names, "class_counts": counts}


def check_labels(run: Run, dataset: Dataset) -> None:
    """Refuses other labels than those that a conditional model has learned from.

    Raises:
        UserError: if they are others now.
    """
    if fingerprint_of_labels(dataset) != run.data.get("labels_sha256"):
        raise UserError(f"{dataset.name}: the labels are not those of the training.")


def write_config(run: Run) -> None:
    """Writes `config.json`."""
    contents = {"config": run.config.to_json(), "data": run.data}
    files.write_json(run.config_file, contents)


def changed(run: Run, config: Config, dataset: Dataset) -> Run:
    """Records that a run goes on with another configuration, or with its images elsewhere."""
    is_moved = config.data_path != run.config.data_path
    place = {"name": dataset.name, "origin": dataset.origin} if is_moved else {}
    run = run._replace(config=config, data={**run.data, **place})
    write_config(run)
    return run


@contextlib.contextmanager
def locked(run: Run) -> Iterator[None]:
    """Keeps others from training in the run; ends with the process, however that ends.

    Raises:
        UserError: if another process, or another thread, is training in it.
    """
    if fcntl is None:
        yield
        return
    with _explaining(run.directory):
        handle = os.open(run.directory, os.O_RDONLY)
    try:
        _lock(handle, run.directory)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, directory: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        where = paths.shown(directory)
        raise UserError(f"--run_dir={where}: another process is using it.") from error
    except OSError:
        pass  # a file system without locks


def point_latest_to(run: Run) -> None:
    """Makes `runs/latest` a link to a run in `runs`; says so if it cannot, and never fails."""
    folder, name = run.directory.parent, run.directory.name
    if folder.resolve() != RUNS.resolve():
        return
    latest = folder / LATEST
    temporary = folder / f".{LATEST}-{os.getpid()}-{threading.get_native_id()}"
    reason = "it is no link"
    try:
        if latest.is_symlink() or not latest.exists():
            temporary.symlink_to(name)
            temporary.replace(latest)
            return
    except OSError as error:
        reason = error.strerror
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    terminal.warn(
        f"{RUNS / LATEST} cannot point to this run ({reason}); use --run_dir={RUNS / name}."
    )


def is_run(path: Path) -> bool:
    """Whether a directory holds a run."""
    return (path / CONFIG).is_file()


def find_run(directory: str | Path) -> Path:
    """Finds the directory of a run.

    Raises:
        UserError: if it holds no run.
    """
    path = paths.expand(directory)
    if not is_run(path):
        raise UserError(
            f"--run_dir={path}: holds no run (no {CONFIG}); train one first."
            f"{paths.did_you_mean(path)}"
        )
    return path


def load_run(directory: str | Path) -> Run:
    """Reads the configuration of a run.

    Args:
        directory: of the run.

    Returns:
        The run.

    Raises:
        UserError: if the directory holds no run.
    """
    path = find_run(directory)
    contents = files.read_json(path / CONFIG)
    try:
        config, data = Config.from_json(contents["config"]), contents["data"]
        height, width, channels = (int(side) for side in data["image_shape"])
        data = {**data, "train_images": int(data["train_images"]), "sha256": data["sha256"]}
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{path / CONFIG}: not that of a run ({error}).") from error
    return Run(path.resolve(), config, {**data, "image_shape": (height, width, channels)})


def write_metrics(run: Run, rows: list[dict[str, float]]) -> None:
    """Writes `metrics.csv`, a row for each epoch."""
    values = (row.values() for row in rows)
    files.write_table(run.metrics, list(rows[0]), values)


def read_metrics(run: Run) -> list[dict[str, float]]:
    """Reads the rows of `metrics.csv`; none if there is none yet."""
    if not run.metrics.exists():
        return []
    with run.metrics.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    counted = ("epoch", "step")
    return [
        {name: (int if name in counted else float)(text) for name, text in row.items()}
        for row in rows
    ]
