"""Finding and loading exported models."""

import shlex
from pathlib import Path
from typing import Any

import tensorflow as tf

from cvae_tf.core import files, paths
from cvae_tf.core.errors import UserError
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.training import run_directory
from cvae_tf.training.run_files import MODEL_JSON, SAVED_MODEL

_NEEDED = ("sample", "decode")  # what every model of this project can do


def load(directory: str | Path) -> LoadedModel:
    """Loads an exported model; nothing of the training code is needed for it.

    Args:
        directory: of a SavedModel, or a run directory.

    Returns:
        The model.

    Raises:
        UserError: if there is no SavedModel with the signatures of this project.
    """
    path = paths.expand(directory)
    if not (path / "saved_model.pb").is_file() and (path / SAVED_MODEL).is_dir():
        path = path / SAVED_MODEL
    if not (path / "saved_model.pb").is_file():
        raise UserError(
            f"--saved_model={directory}: holds no SavedModel; train.py writes one to "
            f"export/1 in its run directory.{paths.did_you_mean(path)}"
        )
    try:
        functions = tf.saved_model.load(str(path))
    except Exception as error:  # a damaged file fails in many ways
        raise UserError(f"{path}: cannot be loaded, it may be damaged ({error}).") from error
    missing = [name for name in _NEEDED if name not in getattr(functions, "signatures", {})]
    if missing:
        raise UserError(
            f"{path}: is a SavedModel without {', '.join(missing)}; not one of this project."
        )
    model = LoadedModel(functions, _read_metadata(path / MODEL_JSON))
    if model.is_conditional and not model.class_names:
        raise UserError(f"{path}: {MODEL_JSON}, which names its classes, is missing or damaged.")
    return model


def run_of(model: LoadedModel | str | Path) -> Path | None:
    """The directory of a run, if that is what was given."""
    if isinstance(model, LoadedModel):
        return None
    path = paths.expand(model)
    return path if run_directory.is_run(path) else None


def as_loaded(model: LoadedModel | str | Path) -> LoadedModel:
    """Loads an exported model by its directory, or by that of its run, unless it is loaded.

    Raises:
        UserError: if there is none.
    """
    if isinstance(model, LoadedModel):
        return model
    run_dir = run_of(model)
    if run_dir and not (run_dir / SAVED_MODEL).is_dir():
        raise UserError(
            f"{model}: this run has no exported model yet; export --run_dir="
            f"{shlex.quote(str(model))} writes one from its newest checkpoint."
        )
    return load(paths.expand(model))


def _read_metadata(path: Path) -> dict[str, Any]:
    metadata = files.read_json(path) if path.exists() else {}
    if not isinstance(metadata, dict) or not isinstance(metadata.get("config", {}), dict):
        raise UserError(f"{path}: does not say what train.py writes there; export the run again.")
    return metadata
