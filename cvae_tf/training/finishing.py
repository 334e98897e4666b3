"""What is learned after the last step, such as where samples come from: kept beside checkpoints."""

import itertools
from typing import Any

import numpy as np

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.core.messages import warn
from cvae_tf.data import safe_npz
from cvae_tf.data.datasets import Dataset
from cvae_tf.models.base import GenerativeModel
from cvae_tf.training.run_files import Run

_STEP = "step"  # of the weights that it belongs to


def finish(run: Run, model: GenerativeModel, dataset: Dataset) -> None:
    """Learns it, by the weights that are in use, and writes it."""
    try:
        model.finish(dataset)
    except (np.linalg.LinAlgError, MemoryError) as error:  # the trained model is not to be lost
        warn(f"what is learned at the end is missing, and left as it was ({error}).")
        return
    if model.finishing_parts:
        arrays = {name: variable.numpy() for name, variable in _variables(model).items()}
        with files.replacing(run.finishing) as temporary:
            np.savez(temporary, **{_STEP: model.steps.numpy()}, **arrays)


def restore(run: Run, model: GenerativeModel) -> list[str]:
    """Takes what was written of these weights; of what is missing, says what follows from it."""
    parts = model.finishing_parts
    if not parts:
        return []
    try:
        arrays = safe_npz.read_npz(run.finishing, (_STEP, *_variables(model)))
    except UserError:
        arrays = {}
    if arrays.get(_STEP) != model.steps.numpy():
        arrays = {}
    return [part.if_missing for name, part in parts.items() if not _take(name, part, arrays)]


def _take(name: str, part: Any, arrays: dict[str, np.ndarray]) -> bool:
    """Gives a part the arrays of its name, if all are there and fit."""
    variables = _named(name, part)
    shapes = {key: array.shape for key, array in arrays.items()}
    if any(shapes.get(key) != tuple(variable.shape) for key, variable in variables.items()):
        return False
    for key, variable in variables.items():
        variable.assign(arrays[key])
    return True


def _variables(model: GenerativeModel) -> dict[str, Any]:
    named = (_named(*item).items() for item in model.finishing_parts.items())
    return dict(itertools.chain.from_iterable(named))


def _named(name: str, part: Any) -> dict[str, Any]:
    return {f"{name}.{variable.name}": variable for variable in part.variables}
