"""The package as a program or a notebook uses it."""

import json
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import PROJECT, create_run, run_python

import cvae_tf
from cvae_tf import whole_run
from cvae_tf.core.errors import UserError
from cvae_tf.training.run_pictures import RunPictures

# Three latents: two are integrated over, which takes long for a model that has learned nothing.
SMALL = {"preset": "tutorial", "epochs": 1, "batch_size": 32, "latent_dim": 3}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home directory with images, in which everything below happens."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def trained(home, small_npz):
    """A run from another thread than the main one, by a path in the home directory."""
    (home / "images.npz").write_bytes(small_npz.read_bytes())
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    results = []

    def work():
        results.append(cvae_tf.train(data_path="~/images.npz", run_dir="~/my run", **SMALL))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return results[0]


@pytest.fixture(autouse=True)
def _at_home(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))


def test_results_of_training_are_returned_as_well_as_written(trained, home):
    assert trained.directory == home / "my run"
    assert trained.saved_model == home / "my run" / "export" / "1"
    assert trained.config == cvae_tf.Config.create(data_path=home / "images.npz", **SMALL)
    (row,) = trained.history
    header, values = (trained.directory / "metrics.csv").read_text().splitlines()
    assert dict(zip(header.split(","), map(float, values.split(",")), strict=True)) == row
    assert row["step"] == 4 and row["test_elbo"] < 0


def test_paths_are_recorded_as_they_hold_in_any_folder(trained, home):
    recorded = json.loads((trained.directory / "config.json").read_text())["config"]["data_path"]
    assert recorded == str(home / "images.npz")
    assert cvae_tf.Config.create(data_path="images.npz").data_path == recorded
    assert cvae_tf.Config.create(data_path=Path("~/images.npz")).data_path == recorded


def test_run_is_resumed_by_path_objects_and_numbers_of_numpy(trained):
    run = cvae_tf.resume(
        Path("~/my run"), data_path="images.npz", batch_size=np.int64(32), verbose=0
    )
    assert run == trained


def test_picture_that_fails_at_the_end_does_not_cost_the_model(trained, home, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    shutil.copytree(trained.directory, home / "copy")
    shutil.rmtree(home / "copy" / "export")
    monkeypatch.setattr(RunPictures, "draw_summary", fail)
    with pytest.raises(ZeroDivisionError):
        cvae_tf.resume("copy", verbose=0)
    assert tf.saved_model.contains_saved_model(str(home / "copy" / "export" / "1"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sed": 3}, "sed: is no setting"),
        ({"seed": 3}, "--seed=3 contradicts --seed=0"),
        ({"checkpoint_every": "soon"}, "--checkpoint_every=soon"),
    ],
)
def test_wrong_resumptions_are_refused(trained, settings, message):
    with pytest.raises(UserError, match=message):
        cvae_tf.resume(trained.directory, **settings)


def test_configuration_and_settings_are_not_mixed(trained):
    with pytest.raises(UserError, match="or settings by name"):
        cvae_tf.train(trained.config, epochs=3)


def test_export_goes_to_another_place(trained, home):
    assert cvae_tf.export("~/my run", "~/exported", verbose=0) == home / "exported" / "1"
    assert tf.saved_model.contains_saved_model(str(home / "exported" / "1"))
    with pytest.raises(UserError, match="--format=pdf: unknown; choose from saved_model, "):
        cvae_tf.export(trained.directory, format="pdf")


def test_printed_command_can_be_copied_into_a_shell(trained, capsys):
    cvae_tf.export(trained.directory, "another place")
    assert "--dir 'another place/1' --all" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["run", "export", "loaded"])
def test_generation_takes_runs_exports_and_loaded_models(trained, home, kind):
    models = {
        "run": "~/my run",
        "export": trained.saved_model,
        "loaded": cvae_tf.load(trained.saved_model),
    }
    cvae_tf.generate(models[kind], "samples", f"~/of {kind}", num=np.int32(4), verbose=0)
    assert [path.name for path in (home / f"of {kind}").iterdir()] == ["samples.png"]


def test_run_without_an_export_is_named_with_what_to_do(trained, home):
    started = create_run("started", trained.config, cvae_tf.load_dataset("digits"))
    with pytest.raises(UserError, match="started: this run has no exported model yet; export --"):
        cvae_tf.generate(started.directory)


@pytest.mark.parametrize(
    ("mode", "settings", "message"),
    [("portrait", {}, "--mode=portrait: unknown"), ("samples", {"nmu": 3}, "nmu: is no setting")],
)
def test_wrong_generations_are_refused_before_anything_is_made(trained, mode, settings, message):
    with pytest.raises(UserError, match=message):
        cvae_tf.generate(trained.saved_model, mode, "portraits", **settings)
    assert not Path("portraits").exists()


def test_evaluation_of_a_run_is_returned_and_written_into_it(trained, capsys):
    found = cvae_tf.evaluate(
        "~/my run", importance_samples="1,5", samples=np.int64(2), measures="likelihood"
    )
    assert found.elbo.shape == (32,) and np.isfinite(found.elbo).all()
    said = capsys.readouterr().out
    assert "ELBO" in said and "written: " in said
    numbers = json.loads((trained.directory / "evaluation.json").read_text())["numbers"]
    (elbo,) = [number for number in numbers if number["quantity"] == "ELBO"]
    assert elbo["nats_per_image"] == pytest.approx(found.elbo.mean(), rel=1e-5)


def test_evaluation_of_an_export_writes_only_where_it_is_told_to(trained, home):
    before = set(home.rglob("*"))
    settings = {"importance_samples": "1", "samples": 1, "measures": "likelihood", "verbose": 0}
    cvae_tf.evaluate(cvae_tf.load(trained.saved_model), **settings)
    assert set(home.rglob("*")) == before
    cvae_tf.evaluate(trained.saved_model, "~/numbers/all.json", **settings)
    assert (home / "numbers" / "all.json").exists()


@pytest.mark.parametrize(
    ("output", "settings", "message"),
    [
        ("numbers.txt", {}, "must end in .json"),
        (None, {"smaples": 3}, "smaples: is no setting"),
        (None, {"importance_samples": "0"}, "--importance_samples=0"),
    ],
)
def test_wrong_evaluations_are_refused(trained, output, settings, message):
    with pytest.raises(UserError, match=message):
        cvae_tf.evaluate(trained.directory, output, **settings)


_SILENT = """
import sys
sys.path.insert(0, sys.argv[1])
sys.ps1 = ">>> "  # as in a notebook, where TensorFlow says more
import cvae_tf
run = cvae_tf.train(
    data_path="images.npz", network="mlp", latent_dim=3, epochs=1, batch_size=32, verbose=0
)
assert str(cvae_tf.load("runs/latest").image_shape) == "(28, 28, 1)"
cvae_tf.resume("runs/latest", verbose=0)
cvae_tf.export("runs/latest", verbose=0)
cvae_tf.generate("runs/latest", verbose=0)
cvae_tf.evaluate("runs/latest", samples=1, importance_samples="1", verbose=0)
"""


@pytest.mark.slow
def test_silence_is_silence(trained, tmp_path):
    tmp_path.joinpath("images.npz").write_bytes(Path("images.npz").read_bytes())
    done = run_python("-c", _SILENT, PROJECT, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_threads_that_come_too_late_are_said_and_do_no_harm(monkeypatch, capsys):
    monkeypatch.setattr(whole_run.threads, "set_threads", lambda wanted: False)
    whole_run.set_threads(0)
    assert capsys.readouterr() == ("", "")
    whole_run.set_threads(3)
    assert "threads=3" in capsys.readouterr().out
