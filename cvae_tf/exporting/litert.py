"""The model for LiteRT: a file for each of its networks."""

import importlib
import re
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.tensorflow_setup import held_back
from cvae_tf.exporting.other_runtimes import Arrays, cannot_say, write_networks
from cvae_tf.models.base import GenerativeModel

_FOREIGN = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")


def write(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes files of built-in operations alone, which every LiteRT runtime has."""
    write_networks(model, directory, "tflite", _convert, _run)


def _convert(network: keras.Model, path: Path) -> None:
    built_in = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    try:
        with held_back(show_failure=False):  # where the converter lists places in its own code
            network.export(str(path), format="litert", verbose=False, target_spec=built_in)
    except Exception as error:  # whose class TensorFlow does not make public
        foreign = set(_FOREIGN.findall(str(error)))
        if not foreign:
            raise
        raise UserError(cannot_say(path, "LiteRT", foreign)) from error


def _run(path: Path, batch: Arrays) -> Arrays | None:
    runtime = _runtime()
    if runtime is None:
        return None
    plain = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # others speak of themselves
    with warnings.catch_warnings():  # of TensorFlow, about its copy
        warnings.simplefilter("ignore", UserWarning)
        interpreter = runtime.Interpreter(str(path), experimental_op_resolver_type=plain)
    return interpreter.get_signature_runner()(**batch)


def _runtime() -> ModuleType | None:
    """The package of the runtime, or the older copy of it that comes with TensorFlow."""
    for name in ("ai_edge_litert.interpreter", "tensorflow.lite.python.interpreter"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
