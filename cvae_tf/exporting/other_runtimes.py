"""Networks in files for other runtimes: each is written, then run once beside the network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.families import family_of

Arrays = dict[str, np.ndarray]  # by the names of inputs or results

_BATCH = 8  # images; more than one, so that a file which takes one at a time is found out
_NEAR = 1e-3  # how far results may be apart, of the largest one or of 1
_LONGEST_REASON = 200


def write_networks(
    model: GenerativeModel,
    directory: Path,
    suffix: str,
    convert: Callable[[keras.Model, Path], None],
    run: Callable[[Path, Arrays], Arrays | None],
) -> None:
    """Writes a file for each network of a model, and tries it.

    Args:
        model: whose family's `standalone_parts` are written.
        directory: for the files.
        suffix: of their names.
        convert: writes a network.
        run: finds what a file makes of a batch; None if its runtime is not installed.

    Raises:
        UserError: if a network cannot be written, or its file does not do what the network does.
    """
    for name, network in family_of(model).standalone_parts(model).items():
        path = directory / f"{name}.{suffix}"
        batch = _batch(network, max(model.num_classes, 1))
        arrays = list(batch.values())
        expected = network(arrays if len(arrays) > 1 else arrays[0])
        try:
            convert(network, path)
            results = run(path, batch)
        except (UserError, OSError):
            raise
        except Exception as error:  # converters and runtimes fail in many ways
            raise UserError(f"{path.name} cannot be written: {_first_line(error)}.") from error
        if results is not None:
            _compare(path.name, results, expected)


def cannot_say(path: Path, format_name: str, operations: set[str]) -> str:
    """What an error says of operations that a format does not have."""
    return (
        f"{path.name} cannot be written: {format_name} has no operation "
        f"{', '.join(sorted(operations))}, which this network needs. Export in another --format."
    )


def _batch(network: keras.Model, num_classes: int) -> Arrays:
    """Numbers for each input: labels, latents as Gaussian as they are, from 0 to 1 for the rest."""
    random, batch = np.random.default_rng(0), {}
    for each in network.inputs:
        shape = (_BATCH, *each.shape[1:])
        if "int" in each.dtype:
            batch[each.name] = np.arange(_BATCH, dtype=each.dtype) % num_classes
        elif len(shape) == 2:
            batch[each.name] = random.normal(size=shape).astype(each.dtype)
        else:
            batch[each.name] = random.uniform(size=shape).astype(each.dtype)
    return batch


def _compare(file_name: str, results: Arrays, expected: Any) -> None:
    if not isinstance(expected, dict):
        expected = dict(zip(results, tf.nest.flatten(expected), strict=True))
    for name, value in expected.items():
        value, found = np.asarray(value), results[name]
        allowed = _NEAR * max(1.0, np.max(np.abs(value), initial=0.0))
        if not np.allclose(found, value, rtol=0, atol=allowed, equal_nan=True):
            raise UserError(
                f"{file_name} would not be right: its '{name}' is not what the network makes of "
                "the same numbers. Export in another --format."
            )


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return line[:_LONGEST_REASON].rstrip(". ")
