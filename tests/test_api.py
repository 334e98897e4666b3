"""The package as a program or a notebook uses it."""

import json
import shutil
import signal
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers import PROJECT, VAE_SETTINGS, create_run, run_python

import cvae_tf
from cvae_tf import api
from cvae_tf.core.errors import UserError
from cvae_tf.reporting import page
from cvae_tf.training import building
from cvae_tf.training.pictures import RunPictures
from cvae_tf.training.run_directory import SAVED_MODEL

SMALL = {"network": "mlp", "hidden": "8", "preset": "fast", "epochs": 1, "batch_size": 32}


@pytest.fixture
def home(tmp_path, monkeypatch, small_npz):
    """A home directory with images, in which everything happens."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copy(small_npz, tmp_path / "images.npz")
    return tmp_path


def test_a_run_from_a_thread_is_returned_and_a_page_that_fails_costs_nothing(
    home, monkeypatch, capsys
):
    ended = []

    def fail(*_, **__):
        raise ZeroDivisionError("no picture today")

    def export(run, *_):
        ended.append("export")
        return run.directory / SAVED_MODEL

    monkeypatch.setattr(api, "fit_after_training", lambda *_: ended.append("scores"))
    monkeypatch.setattr(api, "export_run", export)
    monkeypatch.setattr(RunPictures, "draw_summary", lambda *_: ended.append("pictures"))
    monkeypatch.setattr(page, "write", fail)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with ThreadPoolExecutor() as pool:
        given = {"data_path": "~/images.npz", "run_dir": "~/my run", **SMALL}
        run = pool.submit(cvae_tf.train, **given).result()
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert ended == ["scores", "export", "pictures"]
    assert "report.html is missing (no picture today)" in capsys.readouterr().err
    assert (run.directory, run.saved_model) == (home / "my run", home / "my run" / "export" / "1")
    assert run.config == cvae_tf.Config.create(data_path=home / "images.npz", **SMALL)
    (row,) = run.history
    header, values = (run.directory / "metrics.csv").read_text().splitlines()
    assert dict(zip(header.split(","), map(float, values.split(",")), strict=True)) == row

    given = {"data_path": "images.npz", "batch_size": np.int64(32), "verbose": 0}
    assert cvae_tf.resume(Path("~/my run"), **given) == run


def test_images_and_the_trained_model_leave_the_memory_before_the_export(
    home, monkeypatch, training_only
):
    given, held, kept = [], [], []
    build, make_arrays = building.build_trainer, api.training_arrays

    def arrays(*images):
        given.append(make_arrays(*images))
        return given[-1]

    def built(config, dataset, distribution):
        trainer = build(config, dataset, distribution)
        held[:] = map(weakref.ref, (dataset.train.images, trainer.model))
        return trainer

    def export(run, *_):
        kept.append([given[-1], *(each() for each in held)])
        return run.directory / SAVED_MODEL

    monkeypatch.setattr(api, "training_arrays", arrays)
    monkeypatch.setattr(building, "build_trainer", built)
    monkeypatch.setattr(api, "export_run", export)
    with np.load("images.npz") as images:
        grey = images["x_train"] / 255
    cvae_tf.resume(cvae_tf.train(grey, **SMALL), grey, epochs=2)
    assert kept == [[{}, None, None]] * 2


def test_arrays_make_the_run_of_their_file_and_are_known_again(
    home, vae_run, training_only, capsys
):
    with np.load("images.npz") as file:
        arrays = {**file}
    run = cvae_tf.train(**arrays, run_dir="run", verbose=0, **VAE_SETTINGS)
    scores = [[row["test_elbo"] for row in each.history] for each in (run, vae_run)]
    assert scores[0] == scores[1]
    drawn = [
        cvae_tf.generate(each, "reconstruct", num=4, **images).arrays["images"]
        for each, images in (
            (vae_run, {"data_path": "images.npz"}),
            (run, {"images": arrays["x_test"], "labels": arrays["y_test"]}),
        )
    ]
    np.testing.assert_allclose(*drawn, atol=1e-6)
    assert capsys.readouterr().out.count("reconstructions.png (replaced)\n") == 1
    assert cvae_tf.resume(run, **arrays, verbose=0) == run
    for call, message in (
        (lambda: cvae_tf.resume(run), "were arrays, which are not kept: give them again, as in"),
        (lambda: cvae_tf.evaluate(run), "were arrays, which are not kept: .*=images.npz"),
        (lambda: cvae_tf.resume(run, arrays["x_test"]), "not those of the training .in the order"),
    ):
        with pytest.raises(UserError, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)
    moved = cvae_tf.resume(run, data_path="images.npz", epochs=3, verbose=0)
    assert (moved.config.dataset, len(moved.history)) == ("auto", 3)
    assert cvae_tf.resume(run, **arrays, verbose=0) == moved


ZEROS = np.zeros((3, 8, 8), np.uint8)
WRONG = [
    ("train", {"epoch": 3}, "epoch: is no setting; there are activation, augment, background, "),
    ("train", {"data_path": "images.npz", "run_dir": "~nobody-at-all/x"}, "no such home"),
    ("train", {"config": cvae_tf.Config.create(), "epochs": 3}, "or settings by name"),
    ("train", {"data_path": "large.npz", "network": "tutorial"}, "28 x 28 .* images are 32 x 32"),
    ("resume", {"run_dir": "started", "seed": 3}, "--seed=3 contradicts --seed=0"),
    ("export", {"run_dir": "started"}, "no checkpoint yet"),
    ("generate", {"model": "started"}, "started: the run has no checkpoint yet"),
    ("report", {"model": "nowhere"}, "holds neither"),
    ("train", {"x_train": ZEROS, "data_path": "images.npz"}, "x_train and data_path=.*: give one"),
    ("train", {"x_train": ZEROS, "config": cvae_tf.Config.create(dataset="mnist")}, "=mnist: give"),
    ("train", {"x_train": ZEROS, "image_size": "8"}, "for a folder of pictures, and x_train is no"),
    ("train", {"epochs": ZEROS}, "--epochs=<ndarray>: must be a whole number"),
    ("generate", {"model": "started", "mode": ZEROS}, "--mode=<ndarray>: unknown"),
    ("generate", {"model": "started", "images": ZEROS}, "--images does nothing with --mode=sam"),
    ("evaluate", {"model": ZEROS}, "a finished run, is needed; this is of the type ndarray"),
    ("evaluate", {"model": "started", "labels": ZEROS}, "labels is given without images"),
]  # fmt: skip


def test_wrong_calls_are_refused_in_a_line_and_leave_nothing(home, digits):
    random = np.random.default_rng(0)
    np.savez("large.npz", x_train=random.integers(0, 256, (9, 32, 32), np.uint8))
    create_run("started", cvae_tf.Config.create(dataset="digits"), digits)
    before = sorted(home.rglob("*"))
    for function, given, message in WRONG:
        with pytest.raises(UserError, match=message) as refusal:
            getattr(cvae_tf, function)(verbose=0, **given)
        assert "\n" not in str(refusal.value)
        assert sorted(home.rglob("*")) == before, function


def test_an_evaluation_is_returned_and_written_into_the_run_or_where_it_is_told_to(
    home, conditional_run, monkeypatch
):
    run = shutil.copytree(conditional_run.directory, home / "run")
    how = {"importance_samples": "1,5", "samples": 2, "measures": "likelihood", "verbose": 0}
    found = cvae_tf.evaluate("~/run", **how)
    assert found.elbo.shape == (32,) and np.isfinite(found.elbo).all()
    numbers = json.loads((run / "evaluation.json").read_text())["numbers"]
    (elbo,) = [number for number in numbers if number["quantity"] == "pseudo-ELBO"]
    assert elbo["nats_per_image"] == pytest.approx(found.elbo.mean(), rel=1e-5)
    row = conditional_run.history[-1]
    assert found.elbo.mean() == pytest.approx(row["test_pseudo_elbo"], rel=0.02)

    monkeypatch.setattr(api.evaluating, "evaluate", lambda *_: found)
    before = set(home.rglob("*"))
    assert cvae_tf.evaluate(run / "export" / "1", **how) is found
    assert set(home.rglob("*")) == before
    cvae_tf.evaluate(run / "export" / "1", "~/numbers/all.json", **how)
    assert (home / "numbers" / "all.json").exists()


_SILENT = """
import sys
sys.path.insert(0, sys.argv[1])
sys.ps1 = ">>> "  # as in a notebook, where TensorFlow says more
import cvae_tf
cvae_tf.train  # now TensorFlow is there, imported quietly
from cvae_tf import distances

distances._FEWEST_STEPS = 3
cvae_tf.train(data_path="images.npz", network="mlp", hidden="8", latent_dim=3, epochs=1, verbose=0)
assert str(cvae_tf.load("runs/latest").image_shape) == "(28, 28, 1)"
cvae_tf.resume("runs/latest", verbose=0)
cvae_tf.export("runs/latest", verbose=0)
cvae_tf.generate("runs/latest", verbose=0)
cvae_tf.evaluate("runs/latest", samples=1, importance_samples="1", verbose=0)
cvae_tf.report("runs/latest", verbose=0)
"""


@pytest.mark.slow
def test_silence_is_silence(home):
    done = run_python("-c", _SILENT, PROJECT, cwd=home, KERAS_HOME=str(home / "keras"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
