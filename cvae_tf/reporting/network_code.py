"""A Keras network as plain data, which `page/network.js` computes in a browser.

Large weights become whole numbers from -127 to 127 with a scale for each output, a quarter of the
size. Images differ by that in about a thousandth of the range from black to white.
"""

import base64
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

_SMALL = 2048  # weights; fewer stay float32
_ACTIVATIONS = (
    "linear", "relu", "gelu", "silu", "tanh", "sigmoid", "elu", "selu", "softplus", "leaky_relu",
)  # fmt: skip

Operation = dict[str, Any]


class UnknownLayerError(Exception):
    """A network has a layer that the page cannot compute."""


class _Weights:
    """Weights, one after the other in two buffers."""

    def __init__(self):
        self.whole, self.real = [], []
        self._sizes = [0, 0]

    def add(self, values: Any) -> dict[str, Any]:
        """Keeps an array; returns where it is and what shape it has."""
        array = np.asarray(values, np.float32)
        if array.size < _SMALL:
            return {"shape": array.shape, "at": self._keep(1, array)}
        scale = np.abs(array).max(axis=tuple(range(array.ndim - 1))) / 127
        scale[scale == 0] = 1
        whole = np.rint(array / scale).astype(np.int8)
        return {"shape": array.shape, "whole": self._keep(0, whole), "scale": self._keep(1, scale)}

    def _keep(self, kind: int, array: np.ndarray) -> int:
        begin = self._sizes[kind]
        (self.whole, self.real)[kind].append(array.ravel())
        self._sizes[kind] += array.size
        return begin


def code_of(networks: dict[str, keras.Model]) -> dict[str, Any]:
    """Writes networks as operations on numbered arrays, with their weights.

    Args:
        networks: by name, each of one output.

    Returns:
        Plain values for JSON: "networks" by name with "inputs", "output" and "operations"; and
        "whole" (int8) and "real" (float32, little-endian), their weights in base64.

    Raises:
        UnknownLayerError: if a layer is none of those that are known here.
    """
    weights = _Weights()
    written = {name: _network(network, weights) for name, network in networks.items()}
    buffers = zip(("whole", "real"), (weights.whole, weights.real), (np.int8, "<f4"), strict=True)
    encoded = {
        name: base64.b64encode(np.concatenate([np.zeros(0, kind), *parts]).astype(kind).tobytes())
        for name, parts, kind in buffers
    }
    return {"networks": written, **{name: text.decode() for name, text in encoded.items()}}


def count_products(network: keras.Model) -> int:
    """Counts the multiplications that an image takes, nearly."""
    products = 0
    for layer in (each for each in network.layers if hasattr(each, "kernel")):
        is_transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        places = (layer.input if is_transposed else layer.output).shape[1:-1]
        products += int(np.prod(layer.kernel.shape)) * int(np.prod(places))
    return products


def _network(network: keras.Model, weights: _Weights) -> dict[str, Any]:
    numbers = {id(tensor): number for number, tensor in enumerate(network.inputs)}
    operations = []
    depths = sorted(network._nodes_by_depth, reverse=True)
    for node in (node for depth in depths for node in network._nodes_by_depth[depth]):
        layer = node.operation
        if node.is_input:
            continue
        (output,) = node.output_tensors
        inputs = [numbers[id(tensor)] for tensor in node.input_tensors]
        numbers[id(output)] = len(numbers)
        operations.append({
            **_operation(layer, output, weights),
            "inputs": inputs, "output": numbers[id(output)], "shape": list(output.shape[1:]),
        })  # fmt: skip
    output = numbers[id(network.outputs[0])]
    shapes = [list(tensor.shape[1:]) or [1] for tensor in network.inputs]
    return {"inputShapes": shapes, "output": output, "operations": operations}


def _operation(layer: keras.Layer, output: keras.KerasTensor, weights: _Weights) -> Operation:
    if type(layer).__module__.partition(".")[0] in ("keras", "cvae_tf"):  # others may do more
        for kind in type(layer).__mro__:
            if kind.__name__ in _WRITERS:
                return _WRITERS[kind.__name__](layer, weights)
    raise UnknownLayerError(type(layer).__name__)


def _activation(layer: keras.Layer) -> str:
    name = keras.activations.serialize(layer.activation)
    if name not in _ACTIVATIONS:
        raise UnknownLayerError(f"activation {name}")
    return name


def _product(name: str) -> Callable[[keras.Layer, _Weights], Operation]:
    """Writes a layer with a kernel, a bias and an activation."""

    def write(layer: keras.Layer, weights: _Weights) -> Operation:
        bias = layer.bias if layer.use_bias else np.zeros(layer.kernel.shape[-1], np.float32)
        found = {"name": name, "kernel": weights.add(layer.kernel), "bias": weights.add(bias)}
        if name != "dense":
            if layer.groups != 1 or layer.dilation_rate != (1, 1):
                raise UnknownLayerError(f"{type(layer).__name__} of another kind")
            found |= {"stride": list(layer.strides), "pads": layer.padding == "same"}
        return {**found, "activation": _activation(layer)}

    return write


def _transposed(layer: keras.Layer, weights: _Weights) -> Operation:
    """Writes a transposed convolution, whose kernel has outputs before inputs."""
    found = {
        "name": "transposed",
        "kernel": weights.add(np.swapaxes(np.asarray(layer.kernel), 2, 3)),
        "bias": weights.add(layer.bias if layer.use_bias else np.zeros(layer.filters)),
    }
    if layer.padding != "same" or layer.output_padding is not None:
        raise UnknownLayerError("Conv2DTranspose of another kind")
    return {**found, "stride": list(layer.strides), "activation": _activation(layer)}


def _layer_normalization(layer: keras.Layer, weights: _Weights) -> Operation:
    if list(np.atleast_1d(layer.axis)) not in ([-1], [1]):
        raise UnknownLayerError("LayerNormalization over several axes")
    gain, shift = weights.add(layer.gamma), weights.add(layer.beta)
    return {"name": "normalize", "gain": gain, "add": shift, "epsilon": layer.epsilon}


def _batch_normalization(layer: keras.Layer, weights: _Weights) -> Operation:
    gain = np.asarray(layer.gamma) / np.sqrt(np.asarray(layer.moving_variance) + layer.epsilon)
    shift = np.asarray(layer.beta) - gain * np.asarray(layer.moving_mean)
    return {"name": "affine", "gain": weights.add(gain), "add": weights.add(shift)}


def _rescaling(layer: keras.Layer, weights: _Weights) -> Operation:
    gain, shift = (np.ravel(np.asarray(part, np.float32)) for part in (layer.scale, layer.offset))
    return {"name": "affine", "gain": weights.add(gain), "add": weights.add(shift)}


def _same(_layer: keras.Layer, _weights: _Weights) -> Operation:
    return {"name": "reshape"}


_WRITERS: dict[str, Callable[[keras.Layer, _Weights], Operation]] = {
    "Dense": _product("dense"),
    "Conv2DTranspose": _transposed,
    "Conv2D": _product("convolve"),
    "Flatten": _same,
    "Reshape": _same,
    "Dropout": _same,
    "ImageLogvar": lambda *_: {"name": "head"},
    "LogisticParameters": lambda *_: {"name": "logistic_head"},
    "Permute": lambda layer, _: {"name": "permute", "order": [d - 1 for d in layer.dims]},
    "ZeroPadding2D": lambda layer, _: {"name": "pad", "by": np.array(layer.padding).tolist()},
    "Cropping2D": lambda layer, _: {"name": "pad", "by": (-np.array(layer.cropping)).tolist()},
    "LayerNormalization": _layer_normalization,
    "BatchNormalization": _batch_normalization,
    "Rescaling": _rescaling,
    "LeakyReLU": lambda layer, _: {"name": "leaky", "slope": float(layer.negative_slope)},
    "Activation": lambda layer, _: {"name": "activate", "activation": _activation(layer)},
    "Add": lambda *_: {"name": "add"},
    "Concatenate": lambda *_: {"name": "concatenate"},
    "FourierFeatures": lambda layer, weights: {
        "name": "fourier", "kernel": weights.add(layer.kernel),
    },
    "OneHot": lambda layer, _: {"name": "one_hot", "classes": layer.num_classes},
    "Modulation": lambda layer, weights: {
        "name": "modulate", "gain": weights.add(layer.gains), "add": weights.add(layer.shifts),
    },
}  # fmt: skip
