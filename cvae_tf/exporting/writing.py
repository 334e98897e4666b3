"""How a model is written in any format: whole or not at all, with `model.json` beside it."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.exporting import keras_file, litert, onnx_files
from cvae_tf.models import saved_model
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.families import family_of
from cvae_tf.training.run_directory import MODEL_JSON


class Format(NamedTuple):
    """A format of exported models."""

    write: Callable[[GenerativeModel, Path, dict[str, Any]], None]  # model, directory, metadata
    packages: tuple[str, ...] = ()  # that writing it takes


FORMATS = {
    "saved_model": Format(saved_model.write),
    "litert": Format(litert.write),
    "onnx": Format(onnx_files.write, packages=("tf2onnx", "onnx")),
    "keras": Format(keras_file.write),
}


def write_model(
    model: GenerativeModel, name: str, directory: Path, metadata: dict[str, Any]
) -> None:
    """Writes a model, replacing one that is there.

    Args:
        model: the trained model; for other runtimes its layers must be float32.
        name: a format in `FORMATS`.
        directory: where to write it; for model servers a numbered folder.
        metadata: as `model_json.describe` returns it.

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
