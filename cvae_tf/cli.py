"""The commands as people start them: flags made from settings, errors and signals for people."""

import atexit
import dataclasses
import gc
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cvae_tf.config import (
    EVALUATION,
    LATEST,
    RUNS,
    Config,
    DataSettings,
    GanSettings,
    NetworkSettings,
    RunOptions,
    TrainingSettings,
    VaeSettings,
)
from cvae_tf.core import paths, terminal
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import among, find
from cvae_tf.core.tensorflow_setup import quiet_import
from cvae_tf.evaluation.settings import EvaluationSettings, check_output
from cvae_tf.flags import (
    FULL_HELP,
    HELP,
    Flag,
    describe_range,
    flag_of,
    flags_of,
    read_flags,
    render,
)
from cvae_tf.generation.settings import MODE_NAMES, GenerationSettings
from cvae_tf.presets import PRESETS
from cvae_tf.training import signals

Given = dict[str, Any]  # the values of the flags that were given, by name
_LATEST_RUN = str(RUNS / LATEST)


def main() -> None:
    """Runs `cvae-tf COMMAND --flags`, also as `python -m cvae_tf COMMAND --flags`."""
    program = "python -m cvae_tf" if Path(sys.argv[0]).name == "__main__.py" else "cvae-tf"
    command = sys.argv[1] if len(sys.argv) > 1 else None
    if command in COMMANDS:
        sys.argv = [f"{program} {command}", *sys.argv[2:]]
        run(command, sys.argv[0])
    elif command in ("help", FULL_HELP, *HELP):
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
    """Runs a command with the flags in `sys.argv`, or shows its help.

    Args:
        command: a name in `COMMANDS`.
        started_as: what people type for it; by default `python` and the script.
    """
    script, prefix = Path(sys.argv[0]), started_as and started_as.removesuffix(command)
    terminal.name_commands(
        lambda name: f"{prefix}{name}" if prefix else _python(script.with_name(f"{name}.py"))
    )
    started_as = started_as or _python(script)
    # Graphs are many objects that stay: looking at all of them rarely is enough. Figures are
    # garbage with much memory, so the youngest objects are looked at about as often as usual.
    gc.set_threshold(2_000, 10, 1_000)
    atexit.register(gc.freeze)
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


def _python(script: Path) -> str:
    return f"python {shlex.quote(str(script))}"


def _open_closed_streams() -> None:
    """Opens the null device for closed streams; else the next file would take their place.

    TensorFlow's log would then be written into that file.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def _flush() -> None:
    """Flushes the output; if nobody reads it, Python must not complain at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(command: str, started_as: str) -> None:
    arguments, chosen = sys.argv[1:], COMMANDS[command]
    if FULL_HELP in arguments:
        terminal.say(chosen.full_help(started_as))
    elif set(HELP) & set(arguments):
        terminal.say(chosen.short_help(started_as))
    else:
        call_for_people(chosen, arguments)


def call_for_people(command: "Command", arguments: list[str]) -> None:
    """Runs a command with these flags; a mistake ends in one line and exit code 1."""
    try:
        command.main(read_flags(command.by_name, arguments))
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


def _model_from_flags(given: Given) -> Any:
    """Finds the model that the flags name: an exported one is loaded, a run stays a path."""
    from cvae_tf.exporting.load import load
    from cvae_tf.training import run_directory

    model = _named_model(given)
    return load(model) if "saved_model" in given else run_directory.find_run(model)


def _named_model(given: Given) -> str:
    """The directory of the model that the flags name: exported, or a run, by default the newest."""
    if "run_dir" in given and "saved_model" in given:
        raise UserError("--run_dir and --saved_model: give one of the two.")
    return given.get("saved_model", given.get("run_dir", _LATEST_RUN))


def _imported_api() -> Any:
    """Imports TensorFlow, which takes its time; all of it stays, and is no garbage to look for."""
    with quiet_import():
        from cvae_tf import api
    gc.freeze()
    return api


def _train(given: Given) -> None:
    options, settings = among(given, RunOptions), among(given, Config)
    goes_on, run_dir = given.get("resume"), given.get("run_dir")
    if goes_on and not run_dir:
        raise UserError(f"--resume needs --run_dir, such as --run_dir={_LATEST_RUN}.")
    RunOptions(**options)  # before TensorFlow takes its time
    if not goes_on:
        Config.create(**settings)
    api = _imported_api()
    if goes_on:
        api.resume(run_dir, **options, **settings)
    else:
        api.train(run_dir=run_dir, **options, **settings)


def _export(given: Given) -> None:
    api = _imported_api()
    run_dir = given.get("run_dir", _LATEST_RUN)
    api.export(run_dir, given.get("output"), given.get("format", "saved_model"))


def _generate(given: Given) -> None:
    settings, mode = among(given, GenerationSettings), given.get("mode", "samples")
    find("mode", MODE_NAMES, mode)  # before TensorFlow takes its time
    GenerationSettings(**settings)
    api = _imported_api()
    api.generate(_model_from_flags(given), mode, given.get("output", "generated"), **settings)


def _evaluate(given: Given) -> None:
    settings = among(given, EvaluationSettings)
    EvaluationSettings(**settings)  # before TensorFlow takes its time
    output = given.get("output", EVALUATION if "saved_model" in given else None)
    if output is not None:
        check_output(Path(output))
    api = _imported_api()
    api.evaluate(_model_from_flags(given), output, **settings)


def _report(given: Given) -> None:
    api = _imported_api()
    api.report(_named_model(given), given.get("output"), compare=given.get("compare", []))


class Command(NamedTuple):
    """A command of the program."""

    help: str
    main: Callable[[Given], None]  # runs it with the given flags
    examples: tuple[str, ...]  # of flags
    flags: dict[str, list[Flag]]  # all, by section
    shown: dict[str, str] = {}  # names of the flags that --help shows, by title; empty: all

    @property
    def by_name(self) -> dict[str, Flag]:
        """All its flags by name."""
        return {flag.name: flag for section in self.flags.values() for flag in section}

    def short_help(self, started_as: str) -> str:
        """One screen: what it does, examples, the main flags, how to see the others."""
        if not self.shown:
            return self.full_help(started_as)
        known = self.by_name
        parts = [
            render(title, (known[name] for name in names.split()))
            for title, names in self.shown.items()
        ]
        more = f"\nAll {len(known)} flags: {started_as} {FULL_HELP}"
        return "\n".join([self._head(started_as), *parts, more])

    def full_help(self, started_as: str) -> str:
        """All flags, section by section."""
        parts = [render(title, flags) for title, flags in self.flags.items()]
        return "\n".join([self._head(started_as), *parts])

    def _head(self, started_as: str) -> str:
        examples = (f"  {started_as} {example}".rstrip() for example in self.examples)
        return "\n".join([self.help, "", *examples])


_OF_MODEL = [
    Flag("run_dir", "The run whose model is used.", default=_LATEST_RUN),
    Flag("saved_model", "An exported model, instead of a run."),
]
_PRESET = next(field for field in dataclasses.fields(Config) if field.name == "preset")
COMMANDS = {
    "train": Command(
        "Trains a model on images, and writes everything of the run to a new directory.",
        _train,
        (
            "--epochs=10",
            "--data_path=my_pictures --image_size=64",
            f"--resume --run_dir={_LATEST_RUN} --epochs=20",
        ),
        {
            "data": flags_of(DataSettings, PRESETS),
            "network": [flag_of(_PRESET)._replace(default=""), *flags_of(NetworkSettings, PRESETS)],
            "vae": flags_of(VaeSettings, PRESETS),
            "gan": flags_of(GanSettings, PRESETS),
            "training": flags_of(TrainingSettings, PRESETS),
            "run": [
                Flag("run_dir", "A new directory for the run.", default="runs/DATE_TIME"),
                Flag("resume", "Go on with the run in --run_dir.", bool),
                *flags_of(RunOptions),
            ],
        },
        {
            "What to learn from": "dataset data_path image_size",
            "Which model": "preset latent_dim conditional",
            "How long, and where": "epochs seed run_dir resume",
        },
    ),
    "export": Command(
        "Exports the model of a run again, as a SavedModel or for another runtime.",
        _export,
        ("--output=my_model", "--format=litert"),
        {
            "Flags": [
                Flag("run_dir", "The run to export.", default=_LATEST_RUN),
                Flag("output", "A directory for what is written.", default="its place in the run"),
                Flag("format", "saved_model, litert, onnx or keras.", default="saved_model"),
            ]
        },
    ),
    "generate": Command(
        "Makes pictures, or tables of latents and scores, with a trained model.",
        _generate,
        ("--mode=samples --num=100", "--mode=anomalies --data_path=my_pictures"),
        {
            "What, with which model": [
                Flag("mode", "What to make.", default="samples", choices=MODE_NAMES),
                *_OF_MODEL,
                Flag("output", "A directory for what is made.", default="generated"),
            ],
            "How; each mode takes some of these": flags_of(GenerationSettings),
        },
        {
            "What, with which model": "mode run_dir saved_model output",
            "How": "num label data_path seed",
        },
    ),
    "evaluate": Command(
        "Measures how good a model is, on its test images or on yours.",
        _evaluate,
        ("", "--data_path=my_pictures"),
        {
            "Which model": [
                *_OF_MODEL,
                Flag(
                    "output",
                    "A .json file; a table and a picture are written beside it.",
                    default="in the run, or in this folder",
                ),
            ],
            "How": flags_of(EvaluationSettings),
        },
        {
            "Which model, and where to": "run_dir saved_model output",
            "How": "data_path measures samples classify seed",
        },
    ),
    "report": Command(
        "Writes a page to look at, one HTML file, of a run or an exported model.",
        _report,
        ("", "--compare=runs/another --output=comparison.html"),
        {
            "Flags": [
                *_OF_MODEL,
                Flag("compare", "Another run beside it; may be given several times.", list),
                Flag("output", "The .html file.", default="in the run, or in this folder"),
            ]
        },
    ),
}


_TOP_OF_PAGE = """# All flags

A preset gives the values that you do not give; `config.json` in the run records all of them. The
last column says what holds without the flag, and in brackets what other presets take. Switches,
such as `--flip`, are off unless it says so; `--noflip` puts one off. Hyphens may stand for `_`.

This page is made by `python -c "from cvae_tf import cli; print(cli.flags_page())"`."""


def flags_page() -> str:
    """The text of docs/flags.md: all flags of all commands, and those that each mode takes."""
    parts = [_TOP_OF_PAGE]
    for name, command in COMMANDS.items():
        parts.append(f"\n## `{name}.py`\n\n{command.help}")
        for title, section in command.flags.items():
            parts.append(f"\n### {title}\n" if len(command.flags) > 1 else "")
            parts += ["| flag | what it sets | without it |", "| --- | --- | --- |"]
            parts += map(_row, section)
        if name == "generate":
            parts += ["", "| mode | what it makes | its flags |", "| --- | --- | --- |"]
            parts += _rows_of_modes(command.by_name)
    return "\n".join(parts)


def _row(flag: Flag) -> str:
    """A flag as a row of a table."""
    choices = "; ".join(f"{name}: {words}" for name, words in flag.choices.items())
    limits = describe_range(flag.field)
    text = f"{flag.help}{f' {choices}.' if choices else ''}{f' From {limits}.' if limits else ''}"
    return f"| `--{flag.name}` | {text} | {flag.default} |".replace("  ", " ")


def _rows_of_modes(known: dict[str, Flag]) -> Iterator[str]:
    """Each mode with the flags that it takes, as rows of a table."""
    from cvae_tf.generation.modes import MODES

    for name, words in MODE_NAMES.items():
        takes = ", ".join(f"`--{each}`" for each in MODES[name].settings if each in known)
        yield f"| `{name}` | {words} | {takes} |"
