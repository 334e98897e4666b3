import dataclasses
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import setuptools
from absl import flags
from absl.testing import flagsaver
from conftest import PROJECT, run_python, run_script

from cvae_tf import cli
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.presets import PRESETS
from cvae_tf.training.stop_signals import Stopped

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


@pytest.fixture(scope="module", autouse=True)
def _config_flags():
    if "latent_dim" not in flags.FLAGS:
        cli.define_flags(Config, PRESETS)


@pytest.mark.parametrize("name", FIELDS)
def test_each_setting_has_a_flag_with_its_help(name):
    flag = flags.FLAGS[name]
    assert flag.default is None
    assert FIELDS[name].metadata["help"] in flag.help


def test_no_flags_give_the_default_configuration():
    assert cli.settings_from_flags(Config) == {}


def _another_value(field):
    """A value that no preset has."""
    if field.metadata["choices"]:
        return list(field.metadata["choices"])[-1]
    return {int: 7, float: 0.125, bool: True}.get(field.type, "/mine")


@pytest.mark.parametrize("name", FIELDS)
def test_every_flag_arrives_in_the_configuration(name):
    value = _another_value(FIELDS[name])
    with flagsaver.as_parsed(**{name: str(value)}):
        assert cli.settings_from_flags(Config) == {name: value}


def test_given_flags_override_the_preset_and_the_others_do_not():
    with flagsaver.as_parsed(preset="tutorial", batch_size="64"):
        config = Config.create(**cli.settings_from_flags(Config))
    assert config.batch_size == 64
    assert config.learning_rate == PRESETS["tutorial"]["learning_rate"]


def test_values_out_of_range_are_refused():
    with flagsaver.as_parsed(epochs="0"), pytest.raises(UserError, match="--epochs=0"):
        Config.create(**cli.settings_from_flags(Config))


@pytest.mark.parametrize(("name", "value"), [("epochs", "many"), ("network", "resnet")])
def test_values_of_the_wrong_kind_are_refused(name, value):
    with (
        pytest.raises(flags.IllegalFlagValueError, match=name),
        flagsaver.as_parsed(**{name: value}),
    ):
        pass


@pytest.mark.parametrize("name", ["digits", "tfds:kmnist", "tfds:emnist/letters"])
def test_data_sets_may_have_names_that_another_package_knows(name):
    with flagsaver.as_parsed(dataset=name):
        assert Config.create(**cli.settings_from_flags(Config)).dataset == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("seed", "(default: 0)"),
        ("importance_samples", "(1 to 10000; default: 1)"),
        (
            "batch_size",
            "(default by preset; tutorial: 32, fast: 128, mlp20: 128, mlp: 128, hybrid: 128, "
            "best: 256, photo: 128, gan: 64, dcgan: 128)",
        ),
        ("data_path", ""),
    ],
)
def test_help_tells_ranges_and_defaults(name, text):
    assert cli.describe(FIELDS[name], PRESETS) == text


def test_presets_are_those_of_training_alone():
    (field,) = [
        field for field in dataclasses.fields(EvaluationSettings) if field.name == "batch_size"
    ]
    assert cli.describe(field, {}) == "(default: 1000)"


def _call(main, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.call_for_people(main, ["train.py", *arguments])
    return stopped.value.code


def _raise(error):
    def main():
        raise error

    return main


def test_mistakes_of_users_end_in_one_line():
    assert _call(_raise(UserError("no such file."))) == "error: no such file."


def test_stray_arguments_are_refused_before_anything_is_done():
    assert "unexpected argument 'true'" in _call(pytest.fail, "true")


def test_mistakes_of_the_program_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.call_for_people(_raise(ZeroDivisionError()), ["train.py"])


@pytest.fixture
def run_raising(monkeypatch):
    """Runs a command that raises an error, as the script `my train.py`."""

    def run(error, **options):
        monkeypatch.setattr(cli, "_run", lambda *_: _raise(error)())
        monkeypatch.setattr(os, "_exit", sys.exit)
        monkeypatch.setattr(sys, "argv", ["my train.py"])
        with pytest.raises(SystemExit) as stopped:
            cli.run("train", **options)
        return stopped.value.code

    return run


def test_interruption_ends_without_a_traceback(run_raising, capsys):
    assert run_raising(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "\nstopped by Interrupt\n"


@pytest.mark.parametrize(
    ("started_as", "command"),
    [(None, "python 'my train.py'"), ("cvae-tf train", "cvae-tf train")],
)
def test_stopping_by_a_signal_says_what_to_type(run_raising, capsys, started_as, command):
    stopped = Stopped(15, Path("/runs/a 'run'"))
    assert run_raising(stopped, started_as=started_as) == 143
    advice = capsys.readouterr().err.strip().removeprefix("stopped by Terminated; go on with: ")
    assert advice.startswith(f"{command} --resume --run_dir=")
    assert shlex.split(advice)[-1] == "--run_dir=/runs/a 'run'"


@pytest.mark.parametrize("program", [["train.py"], ["-m", "cvae_tf", "train"]])
def test_help_may_be_cut_off(tmp_path, program):
    """As by `| head -3`: the reader is gone before the end."""
    process = subprocess.Popen(
        [sys.executable, *program, "--help"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT,
    )  # fmt: skip
    process.stdout.close()
    told = process.stderr.read()
    process.wait()
    assert told == ""


HANDLES = """
import sys
sys.path.insert(0, sys.argv[1])
from cvae_tf import cli
cli._prepare_output()
with open(sys.argv[2], "w") as file:
    assert file.fileno() > 2, "a log would be written into it"
    print("a result")
print("日本", flush=True)
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_output(tmp_path, closed):
    command = f'exec "$0" -c "$1" "$2" "$3" {closed}'
    arguments = [sys.executable, HANDLES, PROJECT, tmp_path / "a.txt"]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(
        ["sh", "-c", command, *arguments], capture_output=True, text=True, env=environment
    )
    shown = "a result\n\\u65e5\\u672c\n" if closed == "2>&-" else ""
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, "")


def test_help_for_which_there_is_no_room_ends_in_a_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "train.py", "--help"],
            stdout=full, stderr=subprocess.PIPE, text=True, cwd=PROJECT,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "error: No space left on device.\n")


@pytest.mark.parametrize("name", ["run_dir", "saved_model", "output", "compare", "data_path"])
def test_empty_paths_are_refused_before_anything_is_done(name):
    values = flags.FlagValues()
    define = flags.DEFINE_multi_string if name == "compare" else flags.DEFINE_string
    define(name, None, "A path.", flag_values=values)
    values(["train.py", f"--{name}="])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flags, "FLAGS", values)
        assert (
            _call(pytest.fail) == f"error: --{name}= is empty; give a path, or leave the flag out."
        )


def _command(*arguments, cwd):
    return run_python("-m", "cvae_tf", *arguments, cwd=cwd, PYTHONPATH=str(PROJECT))


def test_installed_command_tells_its_commands(tmp_path):
    helped, nothing, unknown = (
        _command(*arguments, cwd=tmp_path) for arguments in (["--help"], [], ["fly"])
    )
    assert (helped.returncode, helped.stderr) == (0, "")
    assert all(f"  {name} " in helped.stdout for name in cli.COMMANDS)
    usage = helped.stdout
    assert (nothing.returncode, nothing.stderr) == (1, f"error: no command.\n{usage}")
    assert (unknown.returncode, unknown.stderr) == (1, f"error: fly: is no command.\n{usage}")
    assert nothing.stdout == unknown.stdout == ""


def test_installed_command_has_the_flags_of_its_scripts(tmp_path, helps):
    for name, script in helps.items():
        command = name.removesuffix(".py")
        told = _command(command, "--help", cwd=tmp_path).stdout
        assert told == script.stdout.replace(str(PROJECT / name), f"python -m cvae_tf {command}")
        assert cli.COMMANDS[command]


def test_console_script_is_the_same_command():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"cvae-tf": "cvae_tf.cli:main"}
    packages = setuptools.find_packages(str(PROJECT), include=["cvae_tf*"])
    assert "cvae_tf.commands" in packages


def test_installed_command_refuses_in_one_line(tmp_path):
    done = _command("evaluate", "--run_dir=nowhere", "--samples=0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: --samples=0: must be a whole number from 1 to 1000000.\n"


@pytest.fixture(scope="module")
def helps(tmp_path_factory):
    place = tmp_path_factory.mktemp("help")
    return {f"{name}.py": run_script(f"{name}.py", "--help", cwd=place) for name in cli.COMMANDS}


@pytest.mark.parametrize(
    ("script", "others"),
    [
        ("train.py", ["run_dir", "resume", *FIELDS]),
        ("export.py", ["run_dir", "output", "format"]),
        ("generate.py", ["mode", "run_dir", "saved_model", "output", "data_path", "num"]),
        ("evaluate.py", ["run_dir", "saved_model", "output", "data_path", "samples"]),
    ],
)
def test_help_shows_the_flags_of_a_command_and_no_others(helps, script, others):
    text = helps[script].stdout.replace("--[no]", "--")
    for name in others:
        assert f"--{name}:" in text
    assert ("--epochs:" in text) == (script == "train.py")
    assert ("by preset" in text) == (script == "train.py")
    assert helps[script].stderr == ""


def test_readme_names_every_flag():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    others = [field.name for field in dataclasses.fields(EvaluationSettings)]
    missing = [name for name in (*FIELDS, *others, "run_dir") if f"`--{name}" not in readme]
    assert not missing


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("train.py", ["--epochs=1", "digits"], "error: unexpected argument 'digits'"),
        ("export.py", ["--run_dir=nowhere"], "error: --run_dir=nowhere: holds no run"),
    ],
)
def test_mistakes_end_in_one_line_on_the_screen(tmp_path, script, arguments, message):
    done = run_script(script, *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argument", ["--epoch_count=3", "--epochs=many", "--dataset=cifar"])
def test_unknown_flags_and_values_are_named(tmp_path, argument):
    done = run_script("train.py", argument, cwd=tmp_path)
    assert done.returncode == 1
    assert argument.split("=")[0].strip("-") in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
