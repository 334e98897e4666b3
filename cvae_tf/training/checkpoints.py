"""Checkpoints: all that training changes, with checksums. The newest good one is used.

`tf.train.Checkpoint` is not used: it has no checksums that show damage, writes several files of
which some may be old, restores what fits and silently leaves the rest, and keeps no record of
epochs. An .npz can also be read without TensorFlow.
"""

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.core.terminal import warn
from cvae_tf.models import family_of
from cvae_tf.models.base import GenerativeModel

Metrics = list[dict[str, float]]  # the rows of metrics.csv

_ARRAYS, _SUMS = "state.npz", "SHA256SUMS"
_KEPT = 3


class Progress(NamedTuple):
    """How far a run has come."""

    epoch: int  # the one to train next, or to go on with
    steps_done: int  # in that epoch
    metrics: Metrics  # of the epochs before it


def list_checkpoints(directory: Path) -> list[Path]:
    """Finds the checkpoints in a directory, oldest first."""
    return sorted(directory.glob("step_*"))


def save_checkpoint(directory: Path, model: GenerativeModel, progress: Progress) -> Path:
    """Writes weights, optimizer state and progress; keeps the newest three, and the best.

    Returns:
        The new checkpoint.

    Raises:
        UserError: if it cannot be written.
    """
    path = _path_of(directory, int(model.steps.numpy()))
    with files.replacing_directory(path) as temporary:
        np.savez(temporary / _ARRAYS, **_arrays(model, progress))
        sums = f"{_sha256(temporary / _ARRAYS)}  {_ARRAYS}\n"
        (temporary / _SUMS).write_text(sums, encoding="ascii")
    _remove_old(directory, progress.metrics, model)
    return path


def packed(model: GenerativeModel, progress: Progress) -> bytes:
    """Packs the contents of a checkpoint for another process."""
    with io.BytesIO() as file:
        np.savez(file, **_arrays(model, progress))
        return file.getvalue()


def unpack(content: bytes, model: GenerativeModel) -> Progress:
    """Sets the variables of a compiled model to what was `packed`; returns its progress."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return _take("the chief's weights", dict(arrays), model)


def _arrays(model: GenerativeModel, progress: Progress) -> dict[str, np.ndarray]:
    state = np.frombuffer(json.dumps(progress._asdict()).encode(), np.uint8)
    return {"state": state, **{name: each.numpy() for name, each in _named_variables(model)}}


def best_row(metrics: Metrics, model: GenerativeModel) -> dict[str, float]:
    """The row of the best epoch, of one or more: the first with the best test figure."""
    measure = family_of(model).test_measures(model)[0]
    sign = 1 if measure.higher_is_better else -1
    return max(metrics, key=lambda row: sign * row[f"test_{measure.name}"])


def _path_of(directory: Path, step: int) -> Path:
    return directory / f"step_{step:08d}"


def _remove_old(directory: Path, metrics: Metrics, model: GenerativeModel) -> None:
    best = metrics and _path_of(directory, best_row(metrics, model)["step"])
    for path in list_checkpoints(directory)[:-_KEPT]:
        if path != best:
            shutil.rmtree(path)


def restore_newest(directory: Path, model: GenerativeModel) -> Progress:
    """Sets the variables of a compiled model to those of the newest good checkpoint, if any.

    Damaged newer ones are reported in warnings.

    Returns:
        The progress of the run; without checkpoints its beginning.

    Raises:
        UserError: if there are checkpoints, but no good one.
    """
    problems: list[str] = []
    for path in reversed(list_checkpoints(directory)):
        try:
            found = _restore(path, model)
        except UserError as error:
            problems.append(str(error))
        else:
            for problem in problems:
                warn(f"{problem} The next older checkpoint is used.")
            return found
    if problems:
        raise UserError("\n".join([*problems, "No good checkpoint is left."]))
    return Progress(epoch=1, steps_done=0, metrics=[])


def restore_best(directory: Path, model: GenerativeModel) -> Progress:
    """Sets the variables of a compiled model to those of the best epoch, as `restore_newest` does.

    Its checkpoint is never removed; if it is damaged, the newest good one is taken.
    """
    newest = restore_newest(directory, model)
    if not newest.metrics:
        return newest
    try:
        return _restore(_path_of(directory, best_row(newest.metrics, model)["step"]), model)
    except UserError as error:
        warn(f"{error} The newest epoch is used instead of the best.")
        return newest


def _restore(path: Path, model: GenerativeModel) -> Progress:
    """Restores one checkpoint, or raises a UserError and changes nothing."""
    _check_sums(path)
    names = [name for name, _ in _named_variables(model)]
    return _take(path, files.read_npz(path / _ARRAYS, ("state", *names)), model)


def _take(where: Path | str, arrays: dict[str, np.ndarray], model: GenerativeModel) -> Progress:
    """Sets all variables of a model, if all values are there and fit."""
    try:
        progress = Progress(**json.loads(arrays["state"].tobytes()))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: not a checkpoint of a run (no valid state).") from error
    for name, variable in _named_variables(model):
        if name not in arrays or arrays[name].shape != variable.shape:
            raise UserError(f"{where}: not a checkpoint of this run's model (see {name}).")
    for name, variable in _named_variables(model):
        variable.assign(arrays[name])
    return progress


def _check_sums(path: Path) -> None:
    try:
        expected, _, name = (path / _SUMS).read_text(encoding="ascii").strip().partition("  ")
        intact = name == _ARRAYS and expected == _sha256(path / _ARRAYS)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged, a file is missing or cannot be read.") from error
    if not intact:
        raise UserError(f"{path}: damaged, its SHA-256 sum differs.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named_variables(model: GenerativeModel) -> Iterator[tuple[str, Any]]:
    """All variables that training changes, under names that are the same in any process."""
    for group, owner in model.checkpoint_parts.items():
        for index, variable in enumerate(owner.variables):
            yield f"{group}.{index:02d}.{variable.name}", variable
