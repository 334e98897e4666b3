"""The commands as people start them: flags made from settings, errors and signals for people."""

import dataclasses
import functools
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import app, flags, logging

from cvae_tf.config import EVALUATION, LATEST, RUNS, Config, RunOptions
from cvae_tf.core import paths, terminal
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find, kind_of
from cvae_tf.core.tensorflow_setup import quiet_import
from cvae_tf.evaluation.settings import EvaluationSettings, check_output
from cvae_tf.generation.settings import MODE_NAMES, GenerationSettings
from cvae_tf.presets import PRESETS
from cvae_tf.training import signals

_HELP = ("help", "-h", "--help")
_LARGEST_SHOWN = 10_000  # larger limits are there to catch mistakes


def main() -> None:
    """Runs `cvae-tf COMMAND --flags`, also as `python -m cvae_tf COMMAND --flags`."""
    program = "python -m cvae_tf" if Path(sys.argv[0]).name == "__main__.py" else "cvae-tf"
    command = sys.argv[1] if len(sys.argv) > 1 else None
    if command in COMMANDS:
        sys.argv = [f"{program} {command}", *sys.argv[2:]]
        run(command, sys.argv[0])
    elif command in _HELP:
        terminal.say(_usage(program))
    else:
        fault = "no command." if command is None else f"{command}: is no command."
        sys.exit(f"error: {fault}\n{_usage(program)}")


def _usage(program: str) -> str:
    commands = "\n".join(f"  {name:10} {each.help}" for name, each in COMMANDS.items())
    return (
        f"usage: {program} COMMAND [--flag=value ...]\n\n{commands}\n\n"
        f"The flags of a command: {program} COMMAND --help"
    )


def run(command: str, started_as: str | None = None) -> None:
    """Runs a command with the flags in `sys.argv`.

    Args:
        command: a name in `COMMANDS`.
        started_as: what people type for it; by default `python` and the script.
    """
    started_as = started_as or f"python {shlex.quote(sys.argv[0])}"
    _open_closed_streams()
    try:
        try:
            with signals.stopping_by_signals():
                _run(command, started_as)
        finally:
            _flush()
    except BrokenPipeError:  # nobody reads the help any more, as with `| head`
        sys.exit(1)
    except KeyboardInterrupt as interrupt:
        _leave(interrupt, started_as)


def _open_closed_streams() -> None:
    """Puts nothing in the place of closed streams; else the next file that is opened stands there.

    What TensorFlow writes into its log would be written into that file.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def _flush() -> None:
    """Sends what is left; if nobody can take it, Python is not to complain of that at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(command: str, started_as: str) -> None:
    chosen = COMMANDS[command]
    sys.modules["__main__"].__doc__ = chosen.help  # which --help begins with
    define_flags(chosen)
    for flag in flags.FLAGS.get_key_flags_for_module(__name__):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.run(functools.partial(call_for_people, chosen.main))


def call_for_people(main: Callable[[], None], arguments: list[str]) -> None:
    """Calls `main`; a user's mistake ends in one line and exit code 1."""
    logging.set_verbosity(logging.WARNING)
    try:
        if arguments[1:]:
            raise UserError(f"unexpected argument '{arguments[1]}'; flags are --name=value.")
        main()
    except UserError as error:
        sys.exit(f"error: {error}")


def _leave(interrupt: KeyboardInterrupt, started_as: str) -> None:
    """Says how to go on, and ends the process at once: TensorFlow would take half a second."""
    if not isinstance(interrupt, signals.Stopped):
        interrupt = signals.Stopped()
    advice = ""
    if interrupt.run_dir:
        run_dir = shlex.quote(paths.shown(interrupt.run_dir))
        advice = f"; go on with: {started_as} --resume --run_dir={run_dir}"
    terminal.show(f"\n{interrupt.reason}{advice}\n", sys.stderr)
    os._exit(interrupt.exit_code)


def define_flags(command: "Command", values: flags.FlagValues = flags.FLAGS) -> None:
    """Makes the flags of a command; that of a setting is None if it is not given."""
    kinds = {bool: flags.DEFINE_bool, list: flags.DEFINE_multi_string}
    for name, (default, text) in command.flags.items():
        define = kinds.get(type(default), flags.DEFINE_string)
        define(name, default, text, flag_values=values)
    for settings in command.settings:
        for field in dataclasses.fields(settings):
            _define_setting(field, PRESETS if settings is Config else {}, values)


def _define_setting(
    field: dataclasses.Field, presets: Mapping[str, dict[str, Any]], values: flags.FlagValues
) -> None:
    choices = field.metadata["choices"]
    text = f"{field.metadata['help']}{_words(choices)} {describe(field, presets)}".strip()
    kinds = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float}
    if choices and not field.metadata["are_open"]:
        flags.DEFINE_enum(field.name, None, list(choices), text, flag_values=values)
    else:
        define = kinds.get(kind_of(field), flags.DEFINE_string)
        define(field.name, None, text, flag_values=values)


def _words(choices: Any) -> str:
    """The choices with a few words for each, if there are any, for help."""
    words = choices if isinstance(choices, dict) and choices is not PRESETS else {}
    return f" {'; '.join(f'{name}: {each}' for name, each in words.items())}." if words else ""


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


def _model_from_flags() -> Any:
    """Finds the model that the flags name: an exported one is loaded, a run stays a path."""
    from cvae_tf.exporting.load import load
    from cvae_tf.training import run_directory

    if _named_model() is None:
        return run_directory.find_run(flags.FLAGS.run_dir)
    return load(flags.FLAGS.saved_model)


def _named_model() -> str | None:
    """The exported model that the flags name, if they name no run."""
    if flags.FLAGS.saved_model is not None and flags.FLAGS["run_dir"].present:
        raise UserError("--run_dir and --saved_model: give one of the two.")
    return flags.FLAGS.saved_model


def _train() -> None:
    given = flags.FLAGS
    options, settings = settings_from_flags(RunOptions), settings_from_flags(Config)
    if given.resume and not given.run_dir:
        raise UserError(f"--resume needs --run_dir, such as --run_dir={RUNS / LATEST}.")
    RunOptions(**options)  # before TensorFlow takes its time
    if not given.resume:
        Config.create(**settings)
    with quiet_import():
        from cvae_tf import api
    if given.resume:
        api.resume(given.run_dir, **options, **settings)
    else:
        api.train(run_dir=given.run_dir, **options, **settings)


def _export() -> None:
    given = flags.FLAGS
    with quiet_import():
        from cvae_tf import api
    api.export(given.run_dir, given.output, given.format)


def _generate() -> None:
    given = flags.FLAGS
    settings = settings_from_flags(GenerationSettings)
    find("mode", MODE_NAMES, given.mode)  # before TensorFlow takes its time
    GenerationSettings(**settings)
    with quiet_import():
        from cvae_tf import api
    api.generate(_model_from_flags(), given.mode, given.output, **settings)


def _evaluate() -> None:
    given = flags.FLAGS
    settings = settings_from_flags(EvaluationSettings)
    EvaluationSettings(**settings)  # before TensorFlow takes its time
    output = EVALUATION if given.saved_model and given.output is None else given.output
    if output is not None:
        check_output(Path(output))
    with quiet_import():
        from cvae_tf import api
    api.evaluate(_model_from_flags(), output, **settings)


def _report() -> None:
    given = flags.FLAGS
    with quiet_import():
        from cvae_tf import api
    model = given.run_dir if _named_model() is None else given.saved_model
    api.report(model, given.output, compare=given.compare)


class Command(NamedTuple):
    """What a script does."""

    help: str
    main: Callable[[], None]  # does what the flags say
    flags: dict[str, tuple[Any, str]]  # by name: what each is if it is not given, and its help
    settings: tuple[type, ...] = ()  # dataclasses, whose fields have a flag each


_OF_MODEL = {
    "run_dir": (str(RUNS / LATEST), "The run whose model is used."),
    "saved_model": (None, "An exported model, instead of a run."),
}
COMMANDS = {
    "train": Command(
        "Trains a model: settings -> a run directory with the SavedModel.",
        _train,
        {
            "run_dir": (None, "A new directory for all of this run (default: runs/DATE_TIME)."),
            "resume": (False, "Go on with the run in --run_dir."),
        },
        (RunOptions, Config),
    ),
    "export": Command(
        "Exports a run again: its directory -> SavedModel and GIF, or another format.",
        _export,
        {
            "run_dir": (str(RUNS / LATEST), "The run to export."),
            "output": (None, "A directory for what is written (default: its place in the run)."),
            "format": (
                "saved_model",
                "saved_model (with the GIF); or for another runtime: litert, onnx, keras.",
            ),
        },
    ),
    "generate": Command(
        "Makes pictures and latents with a model: a run, or its SavedModel -> files.",
        _generate,
        {
            **_OF_MODEL,
            "mode": ("samples", f"What to make.{_words(MODE_NAMES)}"),
            "output": ("generated", "A directory for what is made."),
        },
        (GenerationSettings,),
    ),
    "evaluate": Command(
        "Evaluates a model: a run, or its SavedModel -> a table of numbers, JSON, pictures.",
        _evaluate,
        {
            **_OF_MODEL,
            "output": (
                None,
                "A .json file, others beside it (default: in the run, or in this folder).",
            ),
        },
        (EvaluationSettings,),
    ),
    "report": Command(
        "Writes a page to look at: a run, or its SavedModel -> one HTML file.",
        _report,
        {
            **_OF_MODEL,
            "compare": ([], "Another run beside it; may be given several times."),
            "output": (None, "The .html file (default: in the run, or in this folder)."),
        },
    ),
}


_TOP_OF_PAGE = """# All flags

A preset gives the values that you do not give; `config.json` in the run records all of them. The
third column says what is taken without a preset, and in brackets what other presets take. A flag
of yes and no is `--flip` or `--noflip`; `-` in a name may stand for `_`.

This page is made from the settings: `python -c "from cvae_tf import cli; print(cli.flags_page())"`.
"""


def flags_page() -> str:
    """The text of docs/flags.md: the flags of all commands, and which of them each mode takes."""
    return "\n".join([_TOP_OF_PAGE, *(_chapter(name) for name in COMMANDS)]).strip()


def _chapter(name: str) -> str:
    """The flags of a command, by the sections of its settings."""
    command = COMMANDS[name]
    rows = [(f"--{flag}", text, default) for flag, (default, text) in command.flags.items()]
    rows += [_row(field, each) for each in command.settings for field in _own_fields(each)]
    parts = [f"## `{name}.py`\n\n{command.help}\n", _table(rows)]
    if name == "generate":
        from cvae_tf.generation.modes import MODES

        known = {field.name for field in dataclasses.fields(GenerationSettings)}
        flags_of = {
            mode: ", ".join(f"`--{each}`" for each in MODES[mode].settings if each in known)
            for mode in MODE_NAMES
        }
        rows = [(mode, words, flags_of[mode]) for mode, words in MODE_NAMES.items()]
        parts.append(_table(rows, ("mode", "what it makes", "its flags")))
    for settings in command.settings:
        for section in filter(_own_fields, reversed(settings.__mro__[1:])):
            title = re.split("[.:;]", inspect.getdoc(section))[0]
            rows = [_row(field, settings) for field in _own_fields(section)]
            parts += [f"### {title}\n", _table(rows)]
    return "\n".join(parts)


def _own_fields(section: type) -> list[dataclasses.Field]:
    """Those settings that stand in a class itself, not in the ones below it."""
    fields = dataclasses.fields(section) if dataclasses.is_dataclass(section) else ()
    return [field for field in fields if field.name in inspect.get_annotations(section)]


def _row(field: dataclasses.Field, settings: type) -> tuple[str, str, Any]:
    """A flag, what it sets, and what it is if it is not given."""
    help_text, choices = field.metadata["help"], field.metadata["choices"]
    are_told = isinstance(choices, dict) or all(each in help_text for each in choices)
    listed = "" if are_told else f" One of: {', '.join(choices)}."
    presets = PRESETS if settings is Config else {}
    others = {name: of.get(field.name, field.default) for name, of in presets.items()}
    differ = [f"{name}: {value}" for name, value in others.items() if value != field.default]
    told = "none" if field.default is None else field.default
    default = f"{told} ({', '.join(differ)})" if differ else field.default
    return f"--{field.name}", f"{help_text}{_words(choices)}{listed}", default


def _table(rows: list[tuple[str, str, Any]], titles=("flag", "what it sets", "default")) -> str:
    """A table of Markdown."""
    lines = [f"| {' | '.join(titles)} |", "| --- | --- | --- |"]
    for name, text, told in rows:
        lines.append(
            f"| `{name}` | {text} | {'' if told in (None, []) else told} |".replace("  ", " ")
        )
    return "\n".join([*lines, ""])
