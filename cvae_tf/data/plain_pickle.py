"""Reading the pickles in which CIFAR was published: plain values and arrays, nothing is called.

A pickle may name any function to be called. Here two names are known, those by which NumPy has
written arrays of bytes, and stand-ins take their place; all others are refused.
"""

import pickle
from typing import Any, BinaryIO

import numpy as np


class _Dtype:
    """Stands in for `numpy.dtype`: remembers its name alone."""

    def __init__(self, name: Any = None, *_: Any):
        self.name = name.decode("latin-1") if isinstance(name, bytes) else name

    def __setstate__(self, state: Any):
        """Takes byte order and the like, which bytes do not have."""


class _Array:
    """Stands in for an array: remembers its shape and its bytes."""

    def __init__(self, *_: Any):
        self.array = None

    def __setstate__(self, state: tuple):
        _, shape, dtype, is_by_columns, values = state
        if not isinstance(dtype, _Dtype) or dtype.name != "u1" or not isinstance(values, bytes):
            raise pickle.UnpicklingError("holds an array of something else than uint8")
        array = np.frombuffer(values, np.uint8)
        self.array = array.reshape(shape, order="F" if is_by_columns else "C")


_KNOWN = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Finds the stand-in of a name."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"names {module}.{name}, which is never called")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Refuses what is kept elsewhere."""
        raise pickle.UnpicklingError("refers to something outside")


def load(file: BinaryIO) -> dict[str, Any]:
    """Reads a dictionary of numbers, texts, lists and arrays of uint8.

    Args:
        file: as Python 2 or 3 has pickled it.

    Returns:
        Its values by name; texts of Python 2 are bytes.

    Raises:
        ValueError: if it is damaged, or holds anything else.
    """
    try:
        contents = _Unpickler(file, encoding="bytes").load()
        return {
            name.decode() if isinstance(name, bytes) else str(name): _without_stand_in(value)
            for name, value in contents.items()
        }
    except Exception as error:  # a stream of nonsense fails in many ways
        raise ValueError(f"no pickle of plain values ({error})") from error


def _without_stand_in(value: Any) -> Any:
    return value.array if isinstance(value, _Array) else value
