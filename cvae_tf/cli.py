"""The commands as people start them: flags made from settings, errors and signals for people."""

import dataclasses
import errno
import functools
import importlib
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from cvae_tf.core import messages, paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.quiet import quiet_import as quiet_import
from cvae_tf.core.settings import kind_of
from cvae_tf.registry import Table
from cvae_tf.training import stop_signals
from cvae_tf.training.run_files import LATEST, RUNS

COMMANDS = {
    "train": "trains a model and exports it; everything of it goes into a run directory",
    "export": "exports a run again, or for other runtimes",
    "generate": "makes pictures and latents with a model",
    "evaluate": "measures how well a model explains images",
    "report": "writes a page of a run, to look at, explore and send",
}
_HELP = ("help", "-h", "--help")
_PATHS = ("run_dir", "saved_model", "output", "compare", "data_path")
_LARGEST_SHOWN = 10_000  # larger limits are there to catch mistakes


def main() -> None:
    """Runs `cvae-tf COMMAND --flags`, also as `python -m cvae_tf COMMAND --flags`."""
    program = "python -m cvae_tf" if Path(sys.argv[0]).name == "__main__.py" else "cvae-tf"
    command = sys.argv[1] if len(sys.argv) > 1 else None
    if command in COMMANDS:
        sys.argv = [f"{program} {command}", *sys.argv[2:]]
        run(command, sys.argv[0])
    elif command in _HELP:
        messages.say(_usage(program))
    else:
        fault = "no command." if command is None else f"{command}: is no command."
        sys.exit(f"error: {fault}\n{_usage(program)}")


def _usage(program: str) -> str:
    lines = [f"  {name:10} {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {program} COMMAND [--flag=value ...]",
            "",
            *lines,
            "",
            f"The flags of a command: {program} COMMAND --help",
        ]
    )


def run(command: str, started_as: str | None = None) -> None:
    """Runs a command with the flags in `sys.argv`.

    Args:
        command: a name in `COMMANDS`.
        started_as: what people type for it; by default `python` and the script.
    """
    started_as = started_as or f"python {shlex.quote(sys.argv[0])}"
    _prepare_output()
    try:
        try:
            with stop_signals.stopping_by_signals():
                _run(command, started_as)
        finally:
            _flush()
    except BrokenPipeError:  # nobody reads the help any more, as with `| head`
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:  # else there is no room for the help
            raise
        sys.exit(f"error: {error.strerror}.")
    except KeyboardInterrupt as interrupt:
        _leave(interrupt, started_as)


def _prepare_output() -> None:
    """Opens streams that are closed, and lets others write letters that they lack as codes.

    Otherwise the next file to be opened would take the place of a closed stream, and what
    TensorFlow writes into its log would be written into that file.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """Sends what is left; if nobody can take it, Python is not to complain of that at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(command: str, started_as: str) -> None:
    module = importlib.import_module(f"cvae_tf.commands.{command}")
    sys.modules["__main__"].__doc__ = module.__doc__  # which --help begins with
    module.define_flags()
    for owner in (module.__name__, __name__):
        for flag in flags.FLAGS.get_key_flags_for_module(owner):
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.run(functools.partial(call_for_people, module.main))


def call_for_people(main: Callable[[], None], arguments: list[str]) -> None:
    """Calls `main`; a user's mistake ends in one line and exit code 1."""
    logging.set_verbosity(logging.WARNING)
    try:
        if arguments[1:]:
            raise UserError(f"unexpected argument '{arguments[1]}'; flags are --name=value.")
        _refuse_empty_paths()
        main()
    except UserError as error:
        sys.exit(f"error: {error}")


def _refuse_empty_paths() -> None:
    """Refuses such as `--data_path=$UNSET`, which would mean this folder, or what is usual."""
    for name in _PATHS:
        value = flags.FLAGS[name].value if name in flags.FLAGS else None
        if value == "" or (isinstance(value, list) and "" in value):
            raise UserError(f"--{name}= is empty; give a path, or leave the flag out.")


def _leave(interrupt: KeyboardInterrupt, started_as: str) -> None:
    """Says how to go on, and ends the process at once: TensorFlow would take half a second."""
    if not isinstance(interrupt, stop_signals.Stopped):
        interrupt = stop_signals.Stopped()
    advice = ""
    if interrupt.run_dir:
        run_dir = shlex.quote(paths.shown(interrupt.run_dir))
        advice = f"; go on with: {started_as} --resume --run_dir={run_dir}"
    messages.show(f"\n{interrupt.reason}{advice}\n", sys.stderr)
    os._exit(interrupt.exit_code)


def define_flags(settings: type, presets: Mapping[str, dict[str, Any]] | None = None) -> None:
    """Makes a flag for each field of a class of settings; its value is None if it is not given.

    Args:
        settings: a dataclass of `core.settings.setting` fields.
        presets: those that give values to its fields, if there are any.
    """
    for field in dataclasses.fields(settings):
        choices, kind = field.metadata["choices"], kind_of(field)
        summary = f" {choices.summary}." if isinstance(choices, Table) else ""
        text = f"{field.metadata['help']}{summary} {describe(field, presets or {})}".strip()
        if choices and not getattr(choices, "prefixes", None):  # which leave names open
            flags.DEFINE_enum(field.name, None, list(choices), text)
        elif kind is bool:
            flags.DEFINE_bool(field.name, None, text)
        elif kind is int:
            flags.DEFINE_integer(field.name, None, text)
        elif kind is float:
            flags.DEFINE_float(field.name, None, text)
        else:
            flags.DEFINE_string(field.name, None, text)


def describe(field: dataclasses.Field, presets: Mapping[str, dict[str, Any]]) -> str:
    """Says in brackets which numbers a setting may be, and what it is if its flag is not given."""
    least, most = field.metadata["range"]
    parts = []
    if least is not None and most is not None and most <= _LARGEST_SHOWN:
        parts.append(f"{least:g} to {most:g}")
    if any(field.name in preset for preset in presets.values()):
        values = (
            f"{name}: {preset.get(field.name, field.default)}" for name, preset in presets.items()
        )
        parts.append(f"default by preset; {', '.join(values)}")
    elif field.default is not None:
        parts.append(f"default: {field.default}")
    return f"({'; '.join(parts)})" if parts else ""


def settings_from_flags(settings: type) -> dict[str, Any]:
    """Collects those settings whose flags were given."""
    values = {field.name: flags.FLAGS[field.name].value for field in dataclasses.fields(settings)}
    return {name: value for name, value in values.items() if value is not None}


def define_model_flags(run_help: str) -> None:
    """Makes the two flags that name a trained model."""
    flags.DEFINE_string("run_dir", None, f"{run_help} (default: {RUNS / LATEST}).")
    flags.DEFINE_string("saved_model", None, "An exported model, instead of a run.")


def model_from_flags() -> Any:
    """Finds the model that the flags name: an exported one is loaded, a run stays a path."""
    from cvae_tf.exporting import loading
    from cvae_tf.training import run_directory

    run_dir, saved_model = flags.FLAGS.run_dir, flags.FLAGS.saved_model
    if run_dir and saved_model:
        raise UserError("--run_dir and --saved_model: give one of the two.")
    if saved_model:
        return loading.load(paths.expand(saved_model))
    return run_directory.find_run(run_dir or RUNS / LATEST)
