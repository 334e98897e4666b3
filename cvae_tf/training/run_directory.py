"""The run directory: its files, made, locked, written (config.json, metrics.csv), read."""

import contextlib
import csv
import datetime
import errno
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

# Names that must be known where there is a directory, but no `Run`.
CONFIG = "config.json"
SAVED_MODEL = Path("export") / "1"  # in a numbered folder, as model servers expect
MODEL_JSON = "model.json"  # beside each exported model
ANIMATION = "progress.gif"


def _place(name: str | Path, what: str) -> Any:
    return property(lambda run: run.directory / name, doc=what)


class Run(NamedTuple):
    """A run directory and what is written in its `config.json`."""

    directory: Path
    config: Config
    data: dict[str, Any]  # what `describe_data` says

    metrics = _place("metrics.csv", "A row for each epoch.")
    checkpoints = _place("checkpoints", "The folder of the checkpoints.")
    finishing = _place("finishing.npz", "What was learned after the last step; often nothing.")
    images = _place("images", "The folder of the pictures of the epochs.")
    animation = _place(ANIMATION, "The pictures of the epochs as a GIF.")
    manifold = _place("manifold.png", "The picture of the decoded latent space.")
    latents = _place("latents.png", "The picture of the latents of the test images.")
    curves = _place("curves.png", "The picture of the metrics.")
    tensorboard = _place("tensorboard", "The folder of what TensorBoard reads.")
    exports = _place(SAVED_MODEL.parent, "The folder of the exported models.")
    saved_model = _place(SAVED_MODEL, "The SavedModel.")
    report = _place("report.html", "The page of the run, for a browser.")
    evaluation = _place(EVALUATION, "The numbers of an evaluation; its other files lie beside it.")

    def epoch_image(self, epoch: int) -> Path:
        """The picture of an epoch, 0 before training."""
        return self.images / f"image_at_epoch_{epoch:04d}.png"

    @property
    def epoch_images(self) -> dict[int, Path]:
        """The pictures that there are, by their epochs, in the order of these."""
        pictures = self.images.glob("image_at_epoch_*.png")
        return dict(sorted((int(path.stem.rpartition("_")[2]), path) for path in pictures))


@contextlib.contextmanager
def new_run(directory: str | Path | None, config: Config, dataset: Dataset) -> Iterator[Run]:
    """Makes a new run directory, which is locked within the context; later it holds the run.

    By default it is a new one in `runs`, named after the time.

    Raises:
        UserError: if the directory is not empty, is taken by another process at the same time, or
            cannot be made.
    """
    path = _make_unnamed() if directory is None else _make_named(paths.expand(directory))
    run = Run(path.absolute(), config, describe_data(dataset, config.conditional))
    del dataset  # else this frame would hold its training images until the run ends
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
    time = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    path, others = RUNS.absolute() / time, itertools.count(2)
    while True:
        with _explaining(RUNS), contextlib.suppress(FileExistsError):
            RUNS.mkdir(exist_ok=True)
            path.mkdir()
            return path
        path = path.with_name(f"{time}_{next(others)}")


def _refuse_full(path: Path) -> None:
    """Raises a UserError if a directory holds a run, or anything else.

    What a run leaves that was killed while it was being made is nothing.
    """
    where = f"--run_dir={paths.shown(path)}"
    if is_run(path):
        raise UserError(f"{where}: already holds a run; choose another, or --resume it.")
    held = [file for file in path.rglob("*") if file.is_file()]
    if not all(file.name.startswith(files.TEMPORARY) for file in held):
        raise UserError(f"{where}: is not empty; choose another directory.")


@contextlib.contextmanager
def _explaining(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"--run_dir={path}: cannot be written ({error.strerror}).") from error


def describe_data(dataset: Dataset, is_conditional: bool = False) -> dict[str, Any]:
    """Says what a run learns from, so that it can be known again; if it wants labels, these too."""
    described = {
        "name": dataset.name,
        "key": dataset.key,
        "licence": dataset.licence,
        "origin": dataset.origin,
        "image_shape": list(dataset.image_shape),
        "train_images": len(dataset.train.images),
        "test_images": len(dataset.test.images),
        "margin_brightness": round(training_margins(dataset), 4),
        "pictures": dataset.form._asdict() if dataset.form else None,
        "sha256": fingerprint(dataset),
    }
    if dataset.class_names:
        names, labels = list(dataset.class_names), dataset.train.labels
        counts = [] if labels is None else np.bincount(labels, minlength=len(names)).tolist()
        described |= {"class_names": names, "class_counts": counts}
    if is_conditional:
        described["labels_sha256"] = fingerprint_of_labels(dataset)
    return described


def check_labels(run: Run, dataset: Dataset) -> None:
    """Refuses other labels than those that a conditional model has learned from.

    Raises:
        UserError: if they are others now.
    """
    if fingerprint_of_labels(dataset) != run.data.get("labels_sha256"):
        raise UserError(f"{dataset.name}: the labels are not those of the training.")


def write_config(run: Run) -> None:
    """Writes `config.json`."""
    files.write_json(run.directory / CONFIG, {"config": run.config.to_json(), "data": run.data})


def changed(run: Run, config: Config, dataset: Dataset) -> Run:
    """Records, and says, that a run gets more epochs, or that its images are elsewhere now."""
    place = {}
    if config.data_path != run.config.data_path:
        terminal.say(f"The training images are now at {config.data_path}.")
        place = {"name": dataset.name, "origin": dataset.origin}
    if config.epochs != run.config.epochs:
        change = f"from {run.config.epochs} to {config.epochs} epochs"
        end = "" if config.schedule == "constant" else "; its schedule now ends there"
        terminal.say(f"The run is extended {change}{end}.")
    run = run._replace(config=config, data={**run.data, **place})
    write_config(run)
    return run


@contextlib.contextmanager
def locked(run: Run) -> Iterator[None]:
    """Keeps others from training in the run; ends with the process, however that ends.

    Raises:
        UserError: if another process, or another thread, is training in it.
    """
    if os.name == "nt":  # no handle for a directory: two processes on one run are not noticed
        yield
        return
    with _explaining(run.directory):
        handle = os.open(run.directory, os.O_RDONLY)
    try:
        if not files.try_lock(handle):
            where = paths.shown(run.directory)
            raise UserError(f"--run_dir={where}: another process is using it.")
        yield
    finally:
        os.close(handle)


def point_latest_to(run: Run) -> None:
    """Makes `runs/latest` a link to a run in `runs`; says so if it cannot, and never fails."""
    folder, name = run.directory.parent, run.directory.name
    if folder.resolve() != RUNS.resolve():
        return
    latest = folder / LATEST
    temporary = folder / f".{LATEST}-{os.getpid()}-{threading.get_native_id()}"
    try:
        if latest.exists() and not latest.is_symlink():
            raise FileExistsError(errno.EEXIST, "it is no link")
        temporary.symlink_to(name)
        temporary.replace(latest)
    except OSError as error:
        terminal.warn(
            f"{RUNS / LATEST} cannot point to this run ({error.strerror}); use "
            f"--run_dir={RUNS / name}."
        )


def is_run(path: Path) -> bool:
    """Whether a directory holds a run."""
    return (path / CONFIG).is_file()


def find_run(directory: str | Path) -> Path:
    """Finds the directory of a run; a link is followed now, as `runs/latest` may move at any time.

    Raises:
        UserError: if it holds no run.
    """
    path = paths.expand(directory)
    if not is_run(path):
        where = f" ({path.absolute()})" if not path.is_absolute() else ""
        raise UserError(
            f"--run_dir={path}: holds no run{where}; train one first, or give the path of another."
        )
    return path.parent / path.readlink() if path.is_symlink() else path


def load_run(directory: str | Path) -> Run:
    """Reads a run.

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
    kinds = {"epoch": int, "step": int}
    return [{name: kinds.get(name, float)(text) for name, text in row.items()} for row in rows]
