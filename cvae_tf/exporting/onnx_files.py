"""The model for ONNX: a file for each of its networks."""

import warnings
from pathlib import Path
from typing import Any

import tensorflow as tf

from cvae_tf.models.base import GenerativeModel


def write(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes an ONNX file for each network."""
    for name, part in model.standalone_parts().items():
        inputs = [tf.zeros([1, *each.shape[1:]], each.dtype) for each in part.inputs]
        part(inputs if len(inputs) > 1 else inputs[0])  # Keras exports only what was called before
        with warnings.catch_warnings():  # of NumPy, about the code of tf2onnx
            warnings.simplefilter("ignore", FutureWarning)
            part.export(str(directory / f"{name}.onnx"), format="onnx", verbose=False)
