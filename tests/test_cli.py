import dataclasses
import os
import sys

import pytest
from absl import flags
from absl.testing import flagsaver
from conftest import PROJECT, run_script

from cvae_tf import cli
from cvae_tf.config import PRESETS, Config
from cvae_tf.core.errors import UserError
from cvae_tf.generation.settings import EvaluationRequest
from cvae_tf.training.interrupts import Stopped

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


@pytest.fixture(scope="module", autouse=True)
def _config_flags():
    if "latent_dim" not in flags.FLAGS:
        cli.define_flags(Config)


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
        return field.metadata["choices"][-1]
    return {int: 7, float: 0.125, bool: True}.get(field.type, "/mine")


@pytest.mark.parametrize("name", FIELDS)
def test_every_flag_arrives_in_the_configuration(name):
    value = _another_value(FIELDS[name])
    with flagsaver.as_parsed(**{name: str(value)}):
        assert cli.settings_from_flags(Config) == {name: value}


def test_a_relative_path_means_the_same_file_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with flagsaver.as_parsed(data_path="mine.npz"):
        assert cli.settings_from_flags(Config) == {"data_path": str(tmp_path / "mine.npz")}


def test_given_flags_override_the_preset_and_the_others_do_not():
    with flagsaver.as_parsed(preset="tutorial", batch_size="64"):
        config = Config.create(**cli.settings_from_flags(Config))
    assert config.batch_size == 64
    assert config.learning_rate == PRESETS["tutorial"]["learning_rate"]


def test_values_out_of_range_are_refused():
    with flagsaver.as_parsed(epochs="0"), pytest.raises(UserError, match="--epochs=0"):
        Config.create(**cli.settings_from_flags(Config))


@pytest.mark.parametrize(("name", "value"), [("epochs", "many"), ("dataset", "cifar")])
def test_values_of_the_wrong_kind_are_refused(name, value):
    with (
        pytest.raises(flags.IllegalFlagValueError, match=name),
        flagsaver.as_parsed(**{name: value}),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "text"),
    [("seed", "(default: 0)"), ("batch_size", "tutorial: 32"), ("data_path", "")],
)
def test_help_tells_defaults(name, text):
    assert text in cli.describe_default(FIELDS[name])


def _call(main, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli._call_for_people(main, ["train.py", *arguments])
    return stopped.value.code


def _raise(error):
    def main():
        raise error

    return main


def test_mistakes_of_users_end_in_one_line():
    assert _call(_raise(UserError("no such file."))) == "error: no such file."


def test_stray_arguments_are_refused_before_anything_is_done():
    assert "unexpected argument 'true'" in _call(pytest.fail, "true")


def test_interruption_ends_without_a_traceback(capsys):
    assert _call(_raise(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_stopping_by_a_signal_exits_as_shells_report_it(capsys, monkeypatch):
    monkeypatch.setattr(os, "_exit", sys.exit)
    assert _call(_raise(Stopped(15, "go on with: this"))) == 143
    assert capsys.readouterr().err == "\ngo on with: this\n"


def test_mistakes_of_the_program_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        cli._call_for_people(_raise(ZeroDivisionError()), ["train.py"])


def test_quiet_import_holds_back_messages_unless_it_fails(capfd):
    with cli._quiet_import():
        os.write(2, b"chatter")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), cli._quiet_import():
        os.write(2, b"the reason")
        raise ImportError
    os.write(2, b", and more")
    assert capfd.readouterr().err == "the reason, and more"


@pytest.fixture(scope="module")
def helps(tmp_path_factory):
    place = tmp_path_factory.mktemp("help")
    return {name: run_script(name, "--help", cwd=place) for name in ("train.py", "export.py")}


def test_help_shows_every_flag(helps):
    for name in (*FIELDS, "run_dir"):
        assert f"--{name}:" in helps["train.py"].stdout.replace("--[no]", "--")
    for name in ("run_dir", "output"):
        assert f"--{name}:" in helps["export.py"].stdout
    assert "Traceback" not in helps["train.py"].stderr + helps["export.py"].stderr


def test_readme_names_every_flag():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    others = [field.name for field in dataclasses.fields(EvaluationRequest)]
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
