"""What is learned after the last step, such as where samples come from: kept beside checkpoints."""

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


def restore(run: Run, model: GenerativeModel) -> bool:
    """Takes what was written of these weights; whether there is nothing else to be learned."""
    variables = _variables(model)
    if not variables:
        return True
    try:
        arrays = safe_npz.read_npz(run.finishing, (_STEP, *variables))
    except UserError:
        return False
    shapes = {name: array.shape for name, array in arrays.items()}
    if arrays.get(_STEP) != model.steps.numpy() or any(
        shapes.get(name) != tuple(variable.shape) for name, variable in variables.items()
    ):
        return False
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return True


def _variables(model: GenerativeModel) -> dict:
    return {
        f"{group}.{variable.name}": variable
        for group, part in model.finishing_parts.items()
        for variable in part.variables
    }
