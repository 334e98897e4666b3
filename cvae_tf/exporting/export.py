"""Writes a trained model for those who use it: run -> SavedModel and GIF, or another format.

Each is written whole or not at all, with `model.json` beside it.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.drawing import mosaics
from cvae_tf.exporting.runtimes import write_keras, write_litert, write_onnx
from cvae_tf.models import family_of, saved_model
from cvae_tf.models.base import GenerativeModel
from cvae_tf.training.run_directory import ANIMATION, MODEL_JSON, SAVED_MODEL, Run


class Format(NamedTuple):
    """A format of exported models."""

    write: Callable[[GenerativeModel, Path, dict[str, Any]], None]  # model, directory, metadata
    packages: tuple[str, ...] = ()  # that writing it takes


FORMATS = {
    "saved_model": Format(saved_model.write),
    "litert": Format(write_litert),
    "onnx": Format(write_onnx, packages=("tf2onnx", "onnx", "onnxruntime")),
    "keras": Format(write_keras),
}


def export_run(
    run: Run,
    model: GenerativeModel,
    metrics: list[dict[str, float]],
    output: Path | None = None,
    format_name: str = "saved_model",
) -> Path:
    """Writes the model of a run; beside a SavedModel the GIF of its epochs.

    Args:
        run: the run.
        model: its trained model.
        metrics: the rows of its `metrics.csv`.
        output: a directory for what is written; by default its place in the run, where it is
            replaced.
        format_name: a name in `FORMATS`.

    Returns:
        The directory of the model.

    Raises:
        UserError: if `output` already holds a model or an animation, or as in `write_model`.
    """
    is_usual = format_name == "saved_model"
    directory = (output or run.exports) / (SAVED_MODEL.name if is_usual else format_name)
    animation = output / ANIMATION if output else run.animation
    for path in (directory, animation) if output else ():
        files.refuse_existing(path)
    write_model(model, format_name, directory, describe_run(run, model, metrics))
    if is_usual and run.epoch_images:
        mosaics.animate(run.epoch_images, animation)
    return directory


def write_model(
    model: GenerativeModel, name: str, directory: Path, metadata: dict[str, Any]
) -> None:
    """Writes a model, replacing one that is there.

    Args:
        model: the trained model; for other runtimes its layers must be float32.
        name: a format in `FORMATS`.
        directory: where to write it; for model servers a numbered folder.
        metadata: as `describe_run` returns it.

    Raises:
        UserError: if a package is missing, the family of the model does not know the format, or
            the directory cannot be written.
    """
    check_packages(name)
    write = find("format", FORMATS, name).write
    with files.replacing_directory(directory) as temporary:
        try:
            write(model, temporary, metadata)
        except NotImplementedError as error:  # a family need not know every format
            title = family_of(model).title
            raise UserError(
                f"--format={name}: this model ({title}) gives nothing to write in it."
            ) from error
        files.write_json(temporary / MODEL_JSON, metadata)


def check_packages(name: str) -> None:
    """Raises a UserError that names the packages which a format needs and which are missing."""
    needed = find("format", FORMATS, name).packages
    if any(importlib.util.find_spec(package) is None for package in needed):
        raise UserError(f"--format={name} needs other packages: pip install {' '.join(needed)}")


def describe_run(
    run: Run, model: GenerativeModel, metrics: list[dict[str, float]]
) -> dict[str, Any]:
    """Collects the contents of `model.json`: plain values, of a run, its model and its metrics."""
    last = metrics[-1] if metrics else None
    return saved_model.describe(model, run.config.to_json(), run.data, last)
