"""The model for ONNX: a file for each of its networks."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.tensorflow_setup import quiet_logging
from cvae_tf.exporting.other_runtimes import Arrays, cannot_say, write_networks
from cvae_tf.models.base import GenerativeModel


def write(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes an ONNX file for each network, of standard operations alone."""
    write_networks(model, directory, "onnx", _convert, _run)


def _convert(network: keras.Model, path: Path) -> None:
    """Writes a network that was called before, as Keras wants it."""
    from tf2onnx.handler import tf_op

    tf_op("Erfc").register_compat_handler(_convert_erfc, version=9)
    with warnings.catch_warnings(), quiet_logging("tf2onnx", logging.CRITICAL):
        warnings.simplefilter("ignore", FutureWarning)  # of NumPy, about the code of tf2onnx
        network.export(str(path), format="onnx", verbose=False)
    _check_operations(path)


def _convert_erfc(graph: Any, node: Any, **_: Any) -> None:
    """Makes erfc, by which TensorFlow writes GELU, 1 - erf; tf2onnx does not know it."""
    from tf2onnx import utils

    kind = utils.map_onnx_to_numpy_type(graph.get_dtype(node.input[0]))
    one = graph.make_const(utils.make_name("one"), np.ones((), kind))
    erf = graph.make_node("Erf", node.input)
    node.type = "Sub"
    graph.replace_inputs(node, [one.output[0], erf.output[0]])


def _check_operations(path: Path) -> None:
    """Raises a UserError if there are operations that not every ONNX runtime has.

    tf2onnx writes those that it does not know as they are.
    """
    import onnx

    written = onnx.load(path)
    schemas = onnx.defs.get_all_schemas()
    standard = {schema.name for schema in schemas if schema.domain == ""}
    foreign = {
        node.op_type
        for node in _nodes(written.graph)
        if node.domain or node.op_type not in standard
    }
    if foreign:
        raise UserError(cannot_say(path, "ONNX", foreign))
    onnx.checker.check_model(written)


def _nodes(graph: Any) -> Iterator[Any]:
    """All nodes of a graph, and of the graphs of its conditions and loops."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _run(path: Path, batch: Arrays) -> Arrays | None:
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, batch), strict=True))
