"""Settings: fields of dataclasses that carry their help, their choices and their range."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from cvae_tf.core import paths
from cvae_tf.core.errors import UserError

LARGEST_SEED = 2**31 - 1

Value = TypeVar("Value")


def setting(
    help_text: str,
    default: Any = dataclasses.MISSING,
    *,
    choices: Iterable[str] = (),
    least: float | None = None,
    most: float | None = None,
    is_path: bool = False,
    are_open: bool = False,
) -> Any:
    """A field with the help for its flag, and what its value may be.

    Args:
        help_text: for the flag.
        default: its value if none is given; without a default one must be given.
        choices: the allowed values, perhaps with a few words for each; empty for any.
        least: the smallest number; a float with `most=None` must be above it.
        most: the largest number.
        is_path: whether it is a path, which is made absolute; `~` is the home directory.
        are_open: whether others may add choices; `check` then accepts unknown ones.
    """
    metadata = {"help": help_text, "choices": choices, "range": (least, most)}
    metadata |= {"is_path": is_path, "are_open": are_open}
    return dataclasses.field(default=default, metadata=metadata)


def kind_of(field: dataclasses.Field) -> type:
    """The type of its values, also if None is allowed."""
    kinds = [kind for kind in typing.get_args(field.type) if kind is not types.NoneType]
    return kinds[0] if kinds else field.type


def check(settings: Any) -> None:
    """Checks all fields of a frozen dataclass, as `checked` does, and makes them plain values."""
    for field in dataclasses.fields(settings):
        object.__setattr__(settings, field.name, checked(field, getattr(settings, field.name)))


def checked(field: dataclasses.Field, value: Any) -> Any:
    """Turns a field's value into a plain one; raises a UserError if it is not allowed."""
    name, kind, value = field.name, kind_of(field), _plain(field, value)
    least, most = field.metadata["range"]
    choices = field.metadata["choices"]
    if value is None and kind is not field.type:
        return value
    if kind is int and not (type(value) is int and least <= value <= most):
        raise UserError(f"--{name}={_said(value)}: must be a whole number from {least} to {most}.")
    if kind is float and not _is_number(value, least, most):
        wanted = f"above {least:g}, such as 1e-3" if most is None else f"from {least:g} to {most:g}"
        raise UserError(f"--{name}={_said(value)}: must be a number {wanted}.")
    if kind not in (int, float) and not isinstance(value, kind):
        raise UserError(f"--{name}={_said(value)}: has the wrong type.")
    if choices and value not in choices and not field.metadata["are_open"]:
        raise UserError(f"--{name}={value}: unknown; choose from {', '.join(choices)}.")
    return value


def _plain(field: dataclasses.Field, value: Any) -> Any:
    """A field's value as Python's own, not NumPy's; a path is made absolute."""
    if field.metadata["is_path"] and isinstance(value, (str, Path)):
        return paths.absolute(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if type(value) is int and kind_of(field) is str:
        return str(value)  # such as a label, or the number of an image
    return value


def _said(value: Any) -> str:
    """A value as messages show it; of arrays and lists only the type."""
    is_plain = value is None or isinstance(value, str | int | float | Path)
    return repr(value) if is_plain else f"<{type(value).__name__}>"


def _is_number(value: Any, least: float, most: float | None) -> bool:
    if type(value) not in (int, float) or not math.isfinite(value):
        return False
    return value > least if most is None else least <= value <= most


def find(setting_name: str, table: Mapping[str, Value], name: str) -> Value:
    """Looks up what a setting's value stands for, in the table of all such names.

    Raises:
        UserError: if there is no such name; the message lists those there are.
    """
    if not isinstance(name, str) or name not in table:
        said = name if isinstance(name, str) else _said(name)
        raise UserError(f"--{setting_name}={said}: unknown; choose from {', '.join(table)}.")
    return table[name]


def among(values: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Picks the values whose names are fields of a dataclass of settings."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def check_names(given: Iterable[str], *kinds: type) -> None:
    """Refuses names that are not fields of these dataclasses.

    Raises:
        UserError: names the first wrong one, and those that there are.
    """
    known = sorted(field.name for kind in kinds for field in dataclasses.fields(kind))
    for name in given:
        if name not in known:
            raise UserError(f"{name}: is no setting; there are {', '.join(known)}.")
