"""A Keras network as plain data, which `page/network.js` computes in a browser.

Large weights become whole numbers from -127 to 127 with a scale for each output, a quarter of the
size. Images differ by that in about a thousandth of the range from black to white.
"""

import base64
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from cvae_tf.models.base import GenerativeModel

_SMALL = 2048  # weights; fewer stay float32
_LARGEST_CODE = 1_300_000  # weights that a page computes itself
_MOST_PRODUCTS = 40_000_000  # for an image; a browser makes some 500 million a second
_LIKELIHOODS = (
    "bernoulli", "continuous_bernoulli", "gaussian", "discretized_logistic", "neighbour_logistic",
)  # fmt: skip
_ACTIVATIONS = (
    "linear", "relu", "gelu", "silu", "tanh", "sigmoid", "elu", "selu", "softplus", "leaky_relu",
)  # fmt: skip

Operation = dict[str, Any]


class UnknownLayerError(Exception):
    """A network has a layer that the page cannot compute."""


def code_of_model(model: GenerativeModel) -> dict[str, Any] | None:
    """Writes the networks that a page can compute: what decodes, and if it fits what encodes."""
    networks = model.networks
    does = {"decode": networks.get("decoder") or networks.get("generator")}
    if model.metadata.get("config", {}).get("likelihood") not in _LIKELIHOODS or not does["decode"]:
        return None
    both = {**does, "encode": networks["encoder"]} if "encoder" in networks else does
    for chosen in (both, does):
        weights = sum(network.count_params() for network in chosen.values())
        products = sum(count_products(network) for network in chosen.values())
        if weights <= _LARGEST_CODE and products <= _MOST_PRODUCTS:
            try:
                return code_of(chosen)
            except UnknownLayerError:  # a network of the user's own
                continue
    return None


def code_of(networks: dict[str, keras.Model]) -> dict[str, Any]:
    """Writes networks, each of one output, as operations on numbered arrays, with their weights.

    Returns:
        Plain values for JSON: of each network "inputShapes", "output" and "operations".

    Raises:
        UnknownLayerError: if a layer is none of those that are known here.
    """
    return {name: _network(network) for name, network in networks.items()}


def _weights(values: Any) -> dict[str, Any]:
    """Writes an array: its shape and its values in base64, little-endian."""
    array = np.asarray(values, "<f4")
    if array.size < _SMALL:
        return {"shape": array.shape, "float32": _base64(array)}
    scale = np.abs(array).max(axis=tuple(range(array.ndim - 1))) / 127
    scale[scale == 0] = 1
    whole = np.rint(array / scale).astype(np.int8)
    return {"shape": array.shape, "int8": _base64(whole), "scale": _base64(scale)}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def count_products(network: keras.Model) -> int:
    """Counts the multiplications that an image takes, nearly."""
    products = 0
    for layer in (each for each in network.layers if hasattr(each, "kernel")):
        is_transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        places = (layer.input if is_transposed else layer.output).shape[1:-1]
        products += int(np.prod(layer.kernel.shape)) * int(np.prod(places))
    return products


def _network(network: keras.Model) -> dict[str, Any]:
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
            **_operation(layer),
            "inputs": inputs, "output": numbers[id(output)], "shape": list(output.shape[1:]),
        })  # fmt: skip
    output = numbers[id(network.outputs[0])]
    shapes = [list(tensor.shape[1:]) or [1] for tensor in network.inputs]
    return {"inputShapes": shapes, "output": output, "operations": operations}


def _operation(layer: keras.Layer) -> Operation:
    if type(layer).__module__.partition(".")[0] in ("keras", "cvae_tf"):  # others may do more
        for kind in type(layer).__mro__:
            if kind.__name__ in _WRITERS:
                return _WRITERS[kind.__name__](layer)
    raise UnknownLayerError(type(layer).__name__)


def _activation(layer: keras.Layer) -> str:
    name = keras.activations.serialize(layer.activation)
    if name not in _ACTIVATIONS:
        raise UnknownLayerError(f"activation {name}")
    return name


def _product(name: str, layer: keras.Layer, kernel: Any) -> Operation:
    """Writes a layer with a kernel [..., outputs], a bias and an activation."""
    bias = layer.bias if layer.use_bias else np.zeros(kernel.shape[-1])
    found = {"name": name, "kernel": _weights(kernel), "bias": _weights(bias)}
    return {**found, "activation": _activation(layer)}


def _convolution(layer: keras.Layer) -> Operation:
    if layer.groups != 1 or layer.dilation_rate != (1, 1):
        raise UnknownLayerError("Conv2D of another kind")
    found = _product("convolve", layer, layer.kernel)
    return {**found, "stride": layer.strides, "pads": layer.padding == "same"}


def _transposed(layer: keras.Layer) -> Operation:
    if layer.padding != "same" or layer.output_padding is not None:
        raise UnknownLayerError("Conv2DTranspose of another kind")
    kernel = np.swapaxes(np.asarray(layer.kernel), 2, 3)  # it has outputs before inputs
    return {**_product("transposed", layer, kernel), "stride": layer.strides}


def _layer_normalization(layer: keras.Layer) -> Operation:
    if list(np.atleast_1d(layer.axis)) not in ([-1], [1]):
        raise UnknownLayerError("LayerNormalization over several axes")
    return {**_affine("normalize", layer.gamma, layer.beta), "epsilon": layer.epsilon}


def _batch_normalization(layer: keras.Layer) -> Operation:
    gain = np.asarray(layer.gamma) / np.sqrt(np.asarray(layer.moving_variance) + layer.epsilon)
    return _affine("affine", gain, np.asarray(layer.beta) - gain * np.asarray(layer.moving_mean))


def _affine(name: str, gain: Any, shift: Any) -> Operation:
    return {"name": name, "gain": _weights(gain), "add": _weights(shift)}


_WRITERS: dict[str, Callable[[keras.Layer], Operation]] = {
    "Dense": lambda layer: _product("dense", layer, layer.kernel),
    "Conv2DTranspose": _transposed,
    "Conv2D": _convolution,
    **dict.fromkeys(("Flatten", "Reshape", "Dropout"), lambda _: {"name": "reshape"}),
    "ImageLogvar": lambda _: {"name": "head"},
    "LogisticParameters": lambda _: {"name": "logistic_head"},
    "NeighbourParameters": lambda _: {"name": "neighbour_head"},
    "Permute": lambda layer: {"name": "permute", "order": [d - 1 for d in layer.dims]},
    "ZeroPadding2D": lambda layer: {"name": "pad", "by": np.array(layer.padding).tolist()},
    "Cropping2D": lambda layer: {"name": "pad", "by": (-np.array(layer.cropping)).tolist()},
    "LayerNormalization": _layer_normalization,
    "BatchNormalization": _batch_normalization,
    "Rescaling": lambda layer: _affine("affine", np.ravel(layer.scale), np.ravel(layer.offset)),
    "LeakyReLU": lambda layer: {"name": "leaky", "slope": float(layer.negative_slope)},
    "Activation": lambda layer: {"name": "activate", "activation": _activation(layer)},
    "Add": lambda _: {"name": "add"},
    "Concatenate": lambda _: {"name": "concatenate"},
    "FourierFeatures": lambda layer: {"name": "fourier", "kernel": _weights(layer.kernel)},
    "OneHot": lambda layer: {"name": "one_hot", "classes": layer.num_classes},
    "Modulation": lambda layer: _affine("modulate", layer.gains, layer.shifts),
}
