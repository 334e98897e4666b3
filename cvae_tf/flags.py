"""The flags of a command: made from settings, read from what was typed, shown as help."""

import contextlib
import dataclasses
import difflib
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from absl import flags as absl_flags

from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import checked, kind_of
from cvae_tf.presets import PRESETS

HELP, FULL_HELP = ("-h", "--help"), "--helpfull"
_LARGEST_SHOWN = 10_000  # larger limits only catch mistakes
_WIDTH, _INDENT = 80, 21  # of the screen, and of the names of flags on it
_MOST_NEAR = 3


class Flag(NamedTuple):
    """A flag, such as `--epochs=10`."""

    name: str
    help: str
    kind: type = str  # of its value; list: the flag may be given several times
    default: str = ""  # its default, for people
    choices: Mapping[str, str] = {}  # values, with a few words for each
    field: dataclasses.Field | None = None  # the setting that it sets

    @property
    def usage(self) -> str:
        """The flag as people type it, with a word for its value."""
        words = {bool: "", int: "=N", float: "=X"}
        is_path = self.field and self.field.metadata["is_path"]
        has_names = self.choices or self.field and self.field.metadata["choices"]
        word = "=PATH" if is_path else "=NAME" if has_names else "=..."
        return f"--{self.name}{words.get(self.kind, word)}"

    def value_of(self, text: str) -> Any:
        """The value of a text; raises a UserError if the setting does not allow it."""
        value = text
        if self.kind in (int, float):
            with contextlib.suppress(ValueError):  # then the check says what is wanted
                value = self.kind(text)
        return checked(self.field, value) if self.field else value


def flags_of(settings: type, presets: Mapping[str, dict[str, Any]] | None = None) -> list[Flag]:
    """Makes a flag of each field of a dataclass of settings; presets may change its default."""
    return [flag_of(field, presets) for field in dataclasses.fields(settings)]


def flag_of(field: dataclasses.Field, presets: Mapping[str, dict[str, Any]] | None = None) -> Flag:
    """Makes the flag of a setting."""
    choices, text = field.metadata["choices"], field.metadata["help"]
    words = choices if isinstance(choices, dict) and choices is not PRESETS else {}
    if choices and not words and not all(name in text for name in choices):
        text += f" One of {', '.join(choices)}."
    default = describe_default(field, presets or {})
    return Flag(field.name, text, kind_of(field), default, words, field)


def describe_default(field: dataclasses.Field, presets: Mapping[str, dict[str, Any]]) -> str:
    """Describes the default of a setting, and those of presets that differ.

    Such as `0.004 (tutorial: 0.0001, mlp: 0.002)`; empty for settings that are unset.
    """
    usual = _said(field.default)
    others = ", ".join(
        f"{name}: {_said(preset[field.name])}"
        for name, preset in presets.items()
        if preset.get(field.name, field.default) != field.default
    )
    return f"{usual} ({others})".strip() if others else usual


def _said(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "on" if value else ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def describe_range(field: dataclasses.Field | None) -> str:
    """Describes the range of a setting, such as `1 to 4096`, if it is narrow."""
    least, most = field.metadata["range"] if field else (None, None)
    if least is None or most is None or most > _LARGEST_SHOWN:
        return ""
    return f"{least:g} to {most:g}"


def read_flags(flags: Mapping[str, Flag], arguments: list[str]) -> dict[str, Any]:
    """Reads `--name=value` and `--name value`; for switches `--name` and `--noname`.

    A hyphen in a name is read as an underscore.

    Args:
        flags: all flags, by name.
        arguments: what was typed.

    Returns:
        The values of the flags that were given, by name.

    Raises:
        UserError: if something is not a flag, or a value is not allowed.
    """
    values = absl_flags.FlagValues()
    kinds = {bool: absl_flags.DEFINE_boolean, list: absl_flags.DEFINE_multi_string}
    for flag in flags.values():
        define = kinds.get(flag.kind, absl_flags.DEFINE_string)
        define(flag.name, None, flag.help, flag_values=values)
    try:
        _, *others = values(["", *map(_with_underscores, arguments)])
    except absl_flags.UnrecognizedFlagError as error:
        name = error.flagname
        raise UserError(f"--{name}: is no flag; {_advice(name, flags)}") from None
    except absl_flags.IllegalFlagValueError as error:  # a switch: others are checked below
        typed = str(error).partition(": ")[0].removeprefix("flag ")
        raise UserError(f"{typed}: must be true or false.") from None
    except (absl_flags.Error, ValueError) as error:
        raise UserError(f"{error}.") from None
    if others:
        raise UserError(f"unexpected argument '{others[0]}'; flags are --name=value.")
    given = {name: values[name].value for name in flags if values[name].present}
    return {
        name: flags[name].value_of(value) if isinstance(value, str) else value
        for name, value in given.items()
    }


def _with_underscores(argument: str) -> str:
    """The argument with underscores in the name of its flag, if it is one."""
    name, equals, value = argument.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if name[:2] == "--" else argument


def _advice(name: str, flags: Mapping[str, Flag]) -> str:
    near = [known for known in flags if f"_{name}" in f"_{known}"]
    near.sort(key=lambda known: not known.startswith(name))
    near += [known for known in difflib.get_close_matches(name, flags) if known not in near]
    names = " or ".join(f"--{known}" for known in near[:_MOST_NEAR])
    return f"did you mean {names}?" if near else "--help shows the flags that there are."


def render(title: str, flags: Iterable[Flag]) -> str:
    """Writes the help of some flags under a title, for a screen."""
    return "\n".join([f"\n{title}:", *(_render(flag) for flag in flags)])


def _render(flag: Flag) -> str:
    """The lines of a flag: its usage and its help."""
    default = flag.default if flag.default.startswith("(") else f"default: {flag.default}"
    limits = [part for part in (describe_range(flag.field), flag.default and default) if part]
    lines = _wrapped(f"{flag.help} [{'; '.join(limits)}]" if limits else flag.help)
    for name, words in flag.choices.items():
        lines += _wrapped(f"{name}: {words}", "  ")
    usage = f"  {flag.usage}".ljust(_INDENT)
    is_long = not usage.endswith(" ")
    lines = [
        usage if is_long else usage + lines[0],
        *(" " * _INDENT + each for each in lines[not is_long :]),
    ]
    return "\n".join(lines)


def _wrapped(text: str, indent: str = "") -> list[str]:
    width = _WIDTH - _INDENT - 1
    return textwrap.wrap(text, width, break_on_hyphens=False, subsequent_indent=indent)
