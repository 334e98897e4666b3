"""Models for other runtimes: a file for each network, for LiteRT or ONNX; or one file of Keras.

Each file of a network is written, then run once beside the network.
"""

import logging
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.tensorflow_setup import held_back, quiet_logging
from cvae_tf.models import family_of
from cvae_tf.models.base import GenerativeModel

Arrays = dict[str, np.ndarray]  # by the names of inputs or results

_BATCH = 8  # images; more than one, so that a file which takes one at a time is found out
_NEAR = 1e-3  # how far results may be apart, of the largest one or of 1
_LONGEST_REASON = 200
_LACKING = re.compile(r"(?:'tf\.|No Op registered for )(\w+)")  # in errors of the converters


def write_litert(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes files of built-in operations alone, which every LiteRT runtime has."""
    _write_networks(model, directory, "tflite", _convert_litert, _run_litert)


def write_onnx(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes an ONNX file for each network, of standard operations alone."""
    _write_networks(model, directory, "onnx", _convert_onnx, _run_onnx)


def write_keras(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes the model without its optimizer; `keras.saving.load_model` needs this package."""
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    bare.save(directory / "cvae.keras")


def _write_networks(
    model: GenerativeModel,
    directory: Path,
    suffix: str,
    convert: Callable[[keras.Model, Path], None],
    run: Callable[[Path, Arrays], Arrays],
) -> None:
    """Writes a file for each network of a model, and tries it.

    Args:
        model: whose family's `standalone_parts` are written.
        directory: for the files.
        suffix: of their names.
        convert: writes a network.
        run: finds what a file makes of a batch.

    Raises:
        UserError: if a network cannot be written, or its file does not do what the network does.
    """
    for name, network in family_of(model).standalone_parts(model).items():
        path, batch = directory / f"{name}.{suffix}", _batch(network, max(model.num_classes, 1))
        arrays = list(batch.values())
        expected = network(arrays if len(arrays) > 1 else arrays[0])
        try:
            convert(network, path)
            results = run(path, batch)
        except OSError:
            raise
        except Exception as error:  # converters and runtimes fail in many ways
            raise UserError(f"{path.name} cannot be written: {_reason(error)}.") from error
        _compare(path.name, results, expected)


def _reason(error: Exception) -> str:
    """What converters and runtimes say, in a line."""
    if lacking := set(_LACKING.findall(str(error))):
        return f"its format lacks {', '.join(sorted(lacking))}; export in another --format"
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return line[:_LONGEST_REASON].rstrip(". ")


def _batch(network: keras.Model, num_classes: int) -> Arrays:
    """Numbers for each input: labels, latents as Gaussian as they are, from 0 to 1 for the rest."""
    random, batch = np.random.default_rng(0), {}
    for each in network.inputs:
        shape = (_BATCH, *each.shape[1:])
        if "int" in each.dtype:
            values = np.arange(_BATCH) % num_classes
        else:
            values = random.normal(size=shape) if len(shape) == 2 else random.uniform(size=shape)
        batch[each.name] = values.astype(each.dtype)
    return batch


def _compare(file_name: str, results: Arrays, expected: Arrays) -> None:
    for name, value in expected.items():
        value, found = np.asarray(value), results[name]
        allowed = _NEAR * max(1.0, np.max(np.abs(value), initial=0.0))
        if not np.allclose(found, value, rtol=0, atol=allowed, equal_nan=True):
            raise UserError(
                f"{file_name} would not be right: its '{name}' is not what the network makes of "
                "the same numbers. Export in another --format."
            )


def _convert_litert(network: keras.Model, path: Path) -> None:
    built_in = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    with held_back(show_failure=False):  # where the converter lists places in its own code
        network.export(str(path), format="litert", verbose=False, target_spec=built_in)


def _run_litert(path: Path, batch: Arrays) -> Arrays:
    plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with warnings.catch_warnings():  # of TensorFlow, that its runtime is a package of its own now
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(str(path), experimental_op_resolver_type=plain)
    return interpreter.get_signature_runner()(**batch)


def _convert_onnx(network: keras.Model, path: Path) -> None:
    """Writes a network that was called before, as Keras wants it."""
    import onnx
    from tf2onnx.handler import tf_op

    tf_op("Erfc").register_compat_handler(_convert_erfc, version=9)
    with warnings.catch_warnings(), quiet_logging("tf2onnx", logging.CRITICAL):
        warnings.simplefilter("ignore", FutureWarning)  # of NumPy, about the code of tf2onnx
        network.export(str(path), format="onnx", verbose=False)
    onnx.checker.check_model(path)  # tf2onnx writes operations that it does not know as they are


def _convert_erfc(graph: Any, node: Any, **_: Any) -> None:
    """Makes erfc, by which TensorFlow writes GELU, 1 - erf; tf2onnx does not know it."""
    from tf2onnx import utils

    kind = utils.map_onnx_to_numpy_type(graph.get_dtype(node.input[0]))
    one = graph.make_const(utils.make_name("one"), np.ones((), kind))
    erf = graph.make_node("Erf", node.input)
    node.type = "Sub"
    graph.replace_inputs(node, [one.output[0], erf.output[0]])


def _run_onnx(path: Path, batch: Arrays) -> Arrays:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, batch), strict=True))
