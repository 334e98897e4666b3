"""The model for LiteRT: a file for each of its networks."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from cvae_tf.models.base import GenerativeModel


def write(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes files of built-in operations alone, which every LiteRT runtime has."""
    built_in = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    for name, part in model.standalone_parts().items():
        path = str(directory / f"{name}.tflite")
        part.export(path, format="litert", verbose=False, target_spec=built_in)
