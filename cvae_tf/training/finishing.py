"""What is learned after the last step, such as where samples come from: kept beside checkpoints."""

from typing import Any

import numpy as np
import tensorflow as tf

from cvae_tf.core import files
from cvae_tf.core.errors import LostImagesError, UserError
from cvae_tf.core.terminal import warn
from cvae_tf.data import safe_npz
from cvae_tf.data.datasets import Dataset
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.families import family_of
from cvae_tf.training.run_files import Run

_STEP = "step"  # of the weights that it belongs to
_NOT_FATAL = (np.linalg.LinAlgError, MemoryError, tf.errors.OpError, LostImagesError)


def finish(run: Run, model: GenerativeModel, dataset: Dataset) -> None:
    """Learns it part by part, by the weights that are in use, and writes what was learned."""
    arrays = {}
    for name, part in model.finishing_parts.items():
        try:
            family_of(model).finish(model, name, dataset)
        except _NOT_FATAL as error:  # the trained model is not to be lost
            reason = str(error).partition("\n")[0]
            warn(f"what is learned at the end is missing: {part.if_missing} ({reason}).")
        else:
            variables = _variables(name, part)
            arrays |= {key: variable.numpy() for key, variable in variables.items()}
    if arrays:
        with files.replacing(run.finishing) as temporary:
            np.savez(temporary, **{_STEP: model.steps.numpy()}, **arrays)


def restore(run: Run, model: GenerativeModel) -> list[str]:
    """Takes what was written of these weights; of what is missing, says what follows from it."""
    parts = model.finishing_parts
    if not parts:
        return []
    names = [key for name, part in parts.items() for key in _variables(name, part)]
    try:
        arrays = safe_npz.read_npz(run.finishing, (_STEP, *names))
    except UserError:
        arrays = {}
    if arrays.get(_STEP) != model.steps.numpy():
        arrays = {}
    return [part.if_missing for name, part in parts.items() if not _take(name, part, arrays)]


def _take(name: str, part: Any, arrays: dict[str, np.ndarray]) -> bool:
    """Gives a part the arrays of its name, if all are there and fit."""
    variables = _variables(name, part)
    shapes = {key: array.shape for key, array in arrays.items()}
    if any(shapes.get(key) != tuple(variable.shape) for key, variable in variables.items()):
        return False
    for key, variable in variables.items():
        variable.assign(arrays[key])
    return True


def _variables(name: str, part: Any) -> dict[str, Any]:
    return {f"{name}.{variable.name}": variable for variable in part.variables}
