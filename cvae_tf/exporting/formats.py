"""Writes a trained model for its users: a SavedModel and a GIF, or another format.

Each is written whole or not at all, with `model.json` beside it. LiteRT and ONNX get a file for
each network, which is run once and compared with the network; Keras gets one file of the whole
model.
"""

import importlib.util
import logging
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.core.tensorflow_setup import held_back, quiet_logging
from cvae_tf.core.terminal import warn
from cvae_tf.models import family_of, saved_model
from cvae_tf.models.base import GenerativeModel
from cvae_tf.training.pictures import animate_epochs
from cvae_tf.training.run_directory import ANIMATION, MODEL_JSON, SAVED_MODEL, Run

Arrays = dict[str, np.ndarray]  # by the names of inputs or results

_BATCH = 8  # images; more than one, to detect a file that takes one at a time
_NEAR = 1e-3  # how far results may differ, relative to the largest one or 1
_LONGEST_REASON = 200
_LACKING = re.compile(r"(?:'tf\.|No Op registered for )(\w+)")  # in errors of the converters


def export_run(
    run: Run,
    model: GenerativeModel,
    metrics: list[dict[str, float]],
    output: Path | None = None,
    format_name: str = "saved_model",
) -> Path:
    """Writes the model of a run; beside a SavedModel the GIF of the epochs that made it.

    Args:
        run: the run.
        model: its trained model.
        metrics: the rows of its `metrics.csv`.
        output: a directory for the files; by default their place in the run, where they are
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
    if is_usual:
        animate_epochs(run, animation, last=int(metrics[-1]["epoch"]) if metrics else 0)
    return directory


def write_model(
    model: GenerativeModel, name: str, directory: Path, metadata: dict[str, Any]
) -> None:
    """Writes a model, and replaces an earlier one.

    Args:
        model: the trained model; for other runtimes its layers must be float32.
        name: a format in `FORMATS`.
        directory: where to write it; for model servers a numbered folder.
        metadata: as `describe_run` returns it.

    Raises:
        UserError: if the model cannot be written in this format, or at this place.
    """
    check_packages(name)
    write = find("format", FORMATS, name).write
    with files.replacing_directory(directory) as temporary:
        try:
            write(model, temporary, metadata)
        except NotImplementedError as error:  # a family need not support every format
            fault = f"this model ({family_of(model).title}) gives nothing to write in it."
            raise UserError(f"--format={name}: {fault}") from error
        files.write_json(temporary / MODEL_JSON, metadata)


def check_packages(name: str) -> None:
    """Raises a UserError that names the missing packages of a format."""
    needed = find("format", FORMATS, name).packages
    if any(importlib.util.find_spec(package) is None for package in needed):
        raise UserError(f"--format={name} needs other packages: pip install {' '.join(needed)}")


def describe_run(
    run: Run, model: GenerativeModel, metrics: list[dict[str, float]]
) -> dict[str, Any]:
    """Collects the contents of `model.json`: plain values about a run, its model and metrics."""
    last = metrics[-1] if metrics else None
    return saved_model.describe(model, run.config.to_json(), run.data, last)


def write_litert(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes files with built-in operations only, which every LiteRT runtime has."""
    _write_networks(model, directory, "tflite", _convert_litert, _run_litert)


def write_onnx(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes an ONNX file for each network, with standard operations only."""
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
    """Writes a file for each of the `standalone_parts`, and checks its results on a batch.

    A part that is no network of the model itself, such as `anomaly`, is left out with a warning.

    Raises:
        UserError: if a network cannot be written, or its file gives other results.
    """
    for name, network in family_of(model).standalone_parts(model).items():
        path, batch = directory / f"{name}.{suffix}", _batch(network, max(model.num_classes, 1))
        try:
            _write_network(network, path, batch, convert, run)
        except UserError as error:
            if name in model.networks:
                raise
            path.unlink(missing_ok=True)
            warn(f"{error} The export goes on without it.")


def _write_network(
    network: keras.Model,
    path: Path,
    batch: Arrays,
    convert: Callable[[keras.Model, Path], None],
    run: Callable[[Path, Arrays], Arrays],
) -> None:
    arrays = list(batch.values())
    expected = network(arrays if len(arrays) > 1 else arrays[0])
    try:
        convert(network, path)
        results = run(path, batch)
    except OSError:
        raise
    except Exception as error:  # converters and runtimes fail in many ways
        raise UserError(f"{path.name} cannot be written: {_reason(error)}.") from error
    for result, value in expected.items():
        allowed = _NEAR * max(1.0, np.max(np.abs(value), initial=0.0))
        if not np.allclose(results[result], value, rtol=0, atol=allowed, equal_nan=True):
            raise UserError(
                f"{path.name} would not be right: its '{result}' is not what the network makes "
                "of the same numbers. Export in another --format."
            )


def _reason(error: Exception) -> str:
    """The message of a converter or runtime, in one line."""
    if lacking := set(_LACKING.findall(str(error))):
        return f"its format lacks {', '.join(sorted(lacking))}; export in another --format"
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return line[:_LONGEST_REASON].rstrip(". ")


def _batch(network: keras.Model, num_classes: int) -> Arrays:
    """Numbers for each input: labels, Gaussian latents, and from 0 to 1 for the rest."""
    random, batch = np.random.default_rng(0), {}
    for each in network.inputs:
        shape = (_BATCH, *each.shape[1:])
        if "int" in each.dtype:
            values = np.arange(_BATCH) % num_classes
        else:
            values = random.normal(size=shape) if len(shape) == 2 else random.uniform(size=shape)
        batch[each.name] = values.astype(each.dtype)
    return batch


def _convert_litert(network: keras.Model, path: Path) -> None:
    built_in = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    with held_back(show_failure=False):  # the converter prints its call stack
        network.export(str(path), format="litert", verbose=False, target_spec=built_in)


def _run_litert(path: Path, batch: Arrays) -> Arrays:
    plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with warnings.catch_warnings():  # TensorFlow's, that its runtime is a separate package now
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(str(path), experimental_op_resolver_type=plain)
    return interpreter.get_signature_runner()(**batch)


def _convert_onnx(network: keras.Model, path: Path) -> None:
    """Writes a network after calling it, as Keras requires."""
    import onnx
    from tf2onnx.handler import tf_op

    for name, convert in _UNKNOWN_TO_ONNX.items():
        tf_op(name).register_compat_handler(convert, version=9)
    with warnings.catch_warnings(), quiet_logging("tf2onnx", logging.CRITICAL):
        warnings.simplefilter("ignore", FutureWarning)  # NumPy's, about the code of tf2onnx
        network.export(str(path), format="onnx", verbose=False)
    onnx.checker.check_model(path)  # tf2onnx writes unknown operations unchanged


def _one(graph: Any, node: Any) -> str:
    from tf2onnx import utils

    kind = utils.map_onnx_to_numpy_type(graph.get_dtype(node.input[0]))
    return graph.make_const(utils.make_name("one"), np.ones((), kind)).output[0]


def _convert_erfc(graph: Any, node: Any, **_: Any) -> None:
    """Converts erfc, which TensorFlow uses in GELU, to 1 - erf."""
    erf = graph.make_node("Erf", node.input)
    node.type = "Sub"
    graph.replace_inputs(node, [_one(graph, node), erf.output[0]])


def _convert_log1p(graph: Any, node: Any, **_: Any) -> None:
    total = graph.make_node("Add", [node.input[0], _one(graph, node)])
    node.type = "Log"
    graph.replace_inputs(node, total.output)


def _convert_expm1(graph: Any, node: Any, **_: Any) -> None:
    power = graph.make_node("Exp", node.input)
    node.type = "Sub"
    graph.replace_inputs(node, [power.output[0], _one(graph, node)])


_UNKNOWN_TO_ONNX = {"Erfc": _convert_erfc, "Log1p": _convert_log1p, "Expm1": _convert_expm1}


def _run_onnx(path: Path, batch: Arrays) -> Arrays:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, batch), strict=True))


class Format(NamedTuple):
    """A format of exported models."""

    write: Callable[[GenerativeModel, Path, dict[str, Any]], None]  # model, directory, metadata
    packages: tuple[str, ...] = ()  # needed for writing


FORMATS = {
    "saved_model": Format(saved_model.write),
    "litert": Format(write_litert),
    "onnx": Format(write_onnx, packages=("tf2onnx", "onnx", "onnxruntime")),
    "keras": Format(write_keras),
}
