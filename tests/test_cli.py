"""The commands as people start them: flags of settings, mistakes in a line, exit codes."""

import dataclasses
import gc
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import PROJECT, run_python

from cvae_tf import api, cli
from cvae_tf.cli import COMMANDS
from cvae_tf.config import Config
from cvae_tf.core.settings import among
from cvae_tf.flags import read_flags
from cvae_tf.training import run_directory
from cvae_tf.training.signals import Stopped

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


def _another_value(field):
    """A value that no preset has."""
    if field.metadata["choices"]:
        return list(field.metadata["choices"])[-1]
    most = field.metadata["range"][1] or 7
    return {int: min(7, most), float: 0.125, bool: True}.get(field.type, "/mine")


def test_every_setting_has_a_flag_with_its_help_that_arrives():
    flags = COMMANDS["train"].by_name
    for name, field in FIELDS.items():
        value = _another_value(field)
        for typed in (name, name.replace("_", "-")):
            given = read_flags(flags, ["--resume", f"--{typed}={value}"])
            assert among(given, Config) == {name: value}
        assert field.metadata["help"] in flags[name].help
    given = read_flags(flags, ["--flip", "--augment", "0", "--noflip"])
    assert among(given, Config) == {"augment": 0, "flip": False}
    assert flags["beta"].default == "1 (mlp: 4)"  # and no preset that is as usual


HOW = {"checkpoint_every": "9", "tensorboard": True, "cache_mb": 5,
       "strategy": "mirrored", "logical_cpus": 2}  # fmt: skip
GIVEN = [f"--{name}={value}" for name, value in HOW.items()]


@pytest.mark.parametrize(
    ("arguments", "called", "positional", "named"),
    [
        (["train", "--run_dir=r", "--epochs=3", "--conditional", *GIVEN],
         "train", (), {**HOW, "run_dir": "r", "epochs": 3, "conditional": True}),
        (["train", "--resume", "--run_dir=r", "--epochs=3", *GIVEN],
         "resume", ("r",), {**HOW, "epochs": 3}),
        (["export", "--run_dir=r", "--output=o", "--format=onnx"],
         "export", ("r", "o", "onnx"), {}),
        (["export"], "export", (str(Path("runs") / "latest"), None, "saved_model"), {}),
        (["generate", "--run_dir=r", "--mode=class", "--output=o", "--num=4"],
         "generate", ("r", "class", "o"), {"num": 4}),
        (["evaluate", "--run_dir=r", "--samples=3"], "evaluate", ("r", None), {"samples": 3}),
        (["report", "--run_dir=r", "--compare=a", "--compare=b", "--output=o.html"],
         "report", ("r", "o.html"), {"compare": ["a", "b"]}),
    ],
)  # fmt: skip
def test_commands_pass_on_what_their_flags_say(monkeypatch, arguments, called, positional, named):
    calls = []
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(run_directory, "find_run", str)
    monkeypatch.setattr(api, called, lambda *given, **more: calls.append((given, more)))
    cli.call_for_people(COMMANDS[arguments[0]], arguments[1:])
    ((given, more),) = calls
    assert given == positional
    assert {name: value for name, value in more.items() if value is not None} == named


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --run", "did you mean --run_dir?"),
        ("train --learning_rat=1", "did you mean --learning_rate?"),
        ("train --epochs", "Missing value for flag --epochs."),
        ("train --epochs --flip", "--epochs='--flip': must be a whole number"),
        ("train --epochs=x", "--epochs='x': must be a whole number"),
        ("train --noflip=1", "--noflip=1 does not take an argument."),
        ("train --flip=maybe", "--flip=maybe: must be true or false."),
        ("train true", "unexpected argument 'true'; flags are --name=value."),
        ("train --resume", "--resume needs --run_dir, such as"),
        ("generate --saved_model=", "An empty path was given; give a path, or leave it out."),
        ("export --run_dir=nowhere", "--run_dir=nowhere: holds no run"),
        ("generate --saved_model=nowhere", "nowhere: holds neither a SavedModel nor a run"),
        ("evaluate --run_dir=a --saved_model=b", "--run_dir and --saved_model: give one"),
        ("evaluate --output=numbers.txt", "--output=numbers.txt: must end in .json"),
    ],
)
def test_mistakes_end_in_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        command, *typed = arguments.split()
        cli.call_for_people(COMMANDS[command], typed)
    told = stopped.value.code
    assert told.startswith("error: ") and message in told and "\n" not in told
    assert list(tmp_path.iterdir()) == []


def test_stopping_ends_without_a_traceback_and_says_what_to_type(monkeypatch, capsys):
    def told_of(error):
        def fail(*_):
            raise error

        monkeypatch.setattr(cli, "_run", fail)
        with pytest.raises(SystemExit) as stopped:
            cli.run("train")
        return stopped.value.code, capsys.readouterr().err

    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(sys, "argv", ["my train.py"])
    assert told_of(KeyboardInterrupt()) == (130, "\nstopped by Ctrl-C\n")
    code, told = told_of(Stopped(15, Path("/runs/a 'run'")))
    advice = shlex.split(told.strip().removeprefix("stopped by Terminated; go on with: "))
    assert code == 143
    assert advice == ["python", "my train.py", "--resume", "--run_dir=/runs/a 'run'"]


def test_mistakes_of_the_program_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.call_for_people(COMMANDS["train"]._replace(main=lambda given: 1 / 0), [])


# In processes of their own, which fail if they import TensorFlow.


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts Python in a folder that stays empty."""
    place, cwd = tmp_path_factory.mktemp("path"), tmp_path_factory.mktemp("empty")
    (place / "tensorflow.py").write_text("raise AssertionError('TensorFlow is imported')")

    def start(*arguments):
        path = os.pathsep.join([str(place), str(PROJECT)])
        done = run_python(*arguments, cwd=cwd, PYTHONPATH=path)
        assert list(cwd.iterdir()) == []
        return done

    return start


def test_help_is_one_screen_and_helpfull_shows_all_flags_of_a_command_and_no_others(start):
    script = PROJECT / "train.py"
    for name in COMMANDS:
        told = start("-m", "cvae_tf", name, "-h")
        lines = told.stdout.splitlines()
        assert told.stderr == "" and len(lines) <= 42 and max(map(len, lines)) <= 80
    assert f"All 57 flags: python {script} --helpfull\n" in start(script, "--help").stdout
    shown = re.findall(r"^  --(\w+)", start(script, "--helpfull").stdout, re.MULTILINE)
    assert shown == [*COMMANDS["train"].by_name] and {"run_dir", "resume", *FIELDS} < set(shown)


def test_the_installed_command_is_that_of_the_scripts(start):
    usage = start("-m", "cvae_tf", "--help").stdout
    assert [line.split()[0] for line in usage.splitlines() if line[:2] == "  "] == [*cli.COMMANDS]
    script, command = PROJECT / "export.py", "python -m cvae_tf export"
    told = start("-m", "cvae_tf", "export", "--help").stdout
    assert told == start(script, "--help").stdout.replace(f"python {script}", command)
    assert 'cvae-tf = "cvae_tf.cli:main"' in (PROJECT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --epoch_count=3", "error: --epoch_count: is no flag; "),
        ("train --dataset=cifar", "error: --dataset=cifar: unknown"),
        ("fly", "error: fly: is no command.\nusage: "),
    ],
)
def test_mistyped_commands_are_answered_at_once_with_exit_code_1(start, arguments, message):
    done = start("-m", "cvae_tf", *arguments.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr and "Traceback" not in done.stderr


HANDLES = """
import sys
sys.path.insert(0, sys.argv[1])
from cvae_tf import cli
cli._open_closed_streams()
with open(sys.argv[2], "w") as file:
    assert file.fileno() > 2, "a log would be written into it"
    print("a result")
"""


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_output(tmp_path, closed):
    command = f'exec "$0" -c "$1" "$2" "$3" {closed}'
    arguments = [sys.executable, HANDLES, PROJECT, tmp_path / "a.txt"]
    done = subprocess.run(["sh", "-c", command, *arguments], capture_output=True, text=True)
    shown = "a result\n" if closed == "2>&-" else ""
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, "")
