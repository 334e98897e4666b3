"""Runs that are stopped, killed or run out of disk, and end as if they had not been."""

import errno
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import PROJECT, run_script

import cvae_tf
from cvae_tf import workflows
from cvae_tf.config import Config
from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.data import feeding
from cvae_tf.exporting import export_run
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.training import checkpoint_files, run_directory
from cvae_tf.training.run_pictures import RunPictures
from cvae_tf.training.trainer import Trainer

EVERY_STEP = {"checkpoint_every": 1}


@pytest.fixture(scope="module")
def config(small_npz):
    return Config.create("tutorial", data_path=str(small_npz), epochs=2, batch_size=32, seed=5)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run that nothing disturbed."""
    return workflows.train(config, str(tmp_path_factory.mktemp("whole") / "run")).directory


def _results(run_dir):
    """What must be the same in each run: state, metrics without timings, pictures, by name."""
    newest = checkpoint_files.list_checkpoints(run_dir / "checkpoints")[-1]
    with np.load(newest / "state.npz") as arrays:
        results = {name: arrays[name].tobytes() for name in arrays if name != "state"}
    rows = (run_dir / "metrics.csv").read_text().splitlines()
    results["metrics"] = [row.split(",")[:-3] for row in rows]
    for path in [*run_dir.rglob("*.png"), run_dir / "progress.gif"]:
        results[str(path.relative_to(run_dir))] = path.read_bytes()
    return results


def _leftovers(run_dir):
    return [path.name for path in run_dir.rglob(".*")]


def _flags(config, run_dir):
    return [
        f"--run_dir={run_dir}", f"--data_path={config.data_path}", "--preset=tutorial",
        "--epochs=2", "--batch_size=32", "--seed=5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "number", "code"), [("run:", signal.SIGINT, 130), ("epoch 1/2", signal.SIGTERM, 143)]
)
@pytest.mark.slow
def test_stopped_process_tells_how_to_go_on_and_ends_the_same(
    tmp_path, config, whole, line, number, code
):
    run_dir = tmp_path / "a run"
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "train.py"), *_flags(config, run_dir)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for said in process.stdout:
        if said.startswith(line):
            process.send_signal(number)
            break
    _, told = process.communicate()
    assert process.returncode == code
    script = shlex.quote(str(PROJECT / "train.py"))
    advice = f"go on with: python {script} --resume --run_dir={shlex.quote(str(run_dir))}\n"
    assert told.endswith(advice) and told.count("\n") == 2
    assert "Traceback" not in told
    assert _leftovers(run_dir) == []
    done = run_script("train.py", "--resume", f"--run_dir={run_dir}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert _results(run_dir) == _results(whole)


STRIKES = [
    (Trainer, "evaluate", 1),  # before there is anything to keep
    (Trainer, "_train_steps", 2),  # a call has taken its steps, nobody has counted them
    (RunPictures, "draw_epoch", 1),  # the first epoch is trained, and not yet done
    (run_directory, "write_metrics", 1),
    (checkpoint_files, "save_checkpoint", 1),
    (Trainer, "_train_steps", 1),
    (RunPictures, "draw_summary", 1),
    (export_run, "export", 1),
]


def _strike(monkeypatch, owner, name, number):
    """Lets Ctrl-C come during a call, at the `number`-th time."""
    calls, original = itertools.count(1), getattr(owner, name)

    def struck(*arguments, **options):
        result = original(*arguments, **options)
        if next(calls) == number:
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(owner, name, struck)


@pytest.mark.slow
def test_ctrl_c_from_python_may_strike_anywhere(tmp_path, config, whole):
    run_dir = tmp_path / "run"
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    steps = []
    for owner, name, number in STRIKES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(feeding, "_STEPS_PER_CALL", 1)
            _strike(patch, owner, name, number)
            with pytest.raises(KeyboardInterrupt, match=re.escape(f"resume({str(run_dir)!r})")):
                if run_dir.exists():
                    workflows.resume(run_dir, verbose=0)
                else:
                    workflows.train(config, run_dir, verbose=0)
        kept = checkpoint_files.list_checkpoints(run_dir / "checkpoints")
        steps.append(int(kept[-1].name[5:]) if kept else 0)
    assert steps == [0, 2, 4, 4, 4, 5, 8, 8]
    assert _leftovers(run_dir) == []
    workflows.resume(run_dir, verbose=0)
    assert _results(run_dir) == _results(whole)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_all_but_configuration_and_checkpoints_can_be_made_again(tmp_path, whole):
    run_dir = tmp_path / "run"
    shutil.copytree(whole, run_dir)
    for path in run_dir.iterdir():
        if path.is_dir() and path.name != "checkpoints":
            shutil.rmtree(path)
        elif path.is_file() and path.name != "config.json":
            path.unlink()
    workflows.resume(run_dir, verbose=0)
    again, before = _results(run_dir), _results(whole)
    (before.pop("images/image_at_epoch_0001.png"), before.pop("progress.gif"))  # those of the past
    assert again.pop("progress.gif")
    assert again == before
    assert (run_dir / "export" / "1" / "saved_model.pb").exists()


@pytest.mark.slow
@pytest.mark.parametrize("write", [14, 30])
def test_full_disk_is_told_and_nothing_is_lost(tmp_path, monkeypatch, config, whole, write):
    counter, flush = itertools.count(), files._flush

    def sometimes_full(path):
        if next(counter) == write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(path)

    run_dir = tmp_path / "run"
    monkeypatch.setattr(files, "_flush", sometimes_full)
    with pytest.raises(UserError, match="cannot be written .No space left on device"):
        workflows.train(config, str(run_dir), **EVERY_STEP)
    assert _leftovers(run_dir) == []
    workflows.resume(run_dir, **EVERY_STEP)
    assert _results(run_dir) == _results(whole)


def test_loss_that_is_not_finite_stops_the_run_and_exports_nothing(tmp_path, small_npz):
    run_dir = tmp_path / "run"
    done = run_script(
        "train.py", f"--run_dir={run_dir}", f"--data_path={small_npz}", "--preset=tutorial",
        "--learning_rate=1e30", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: epoch 1, step 2: the training ELBO is ")
    assert done.stderr.count("\n") == 1
    assert not (run_dir / "export").exists()


def test_second_process_on_a_run_is_refused(whole, tmp_path):
    with run_directory.locked(run_directory.load_run(str(whole))):
        done = run_script("train.py", "--resume", f"--run_dir={whole}", cwd=tmp_path)
    assert done.returncode == 1
    assert "another process is using it" in done.stderr


def test_extended_run_says_how_its_schedule_goes_on(whole, tmp_path, capsys):
    before = _results(whole)
    run_dir = tmp_path / "run"
    subprocess.run(["cp", "-r", str(whole), str(run_dir)], check=True)
    run = workflows.resume(run_dir, epochs=3)
    told = capsys.readouterr().out
    assert "extended from 2 to 3 epochs. Its learning rate stays constant." in told
    assert run_directory.load_run(str(run_dir)).config.epochs == run.config.epochs == 3
    after = _results(run_dir)
    assert after["metrics"][:3] == before["metrics"] and len(after["metrics"]) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 6}, "--seed=6 contradicts --seed=5 of the run"),
        ({"epochs": 1}, "--epochs=1 contradicts --epochs=2 of the run"),
        ({"preset": "fast"}, "--preset=fast contradicts --preset=tutorial"),
    ],
)
def test_contradicting_settings_are_refused(whole, settings, message):
    with pytest.raises(UserError, match=message):
        workflows.resume(whole, **settings)


def test_other_images_under_the_same_name_are_refused(tmp_path, digits):
    path = tmp_path / "images.npz"
    np.savez(path, x_train=digits.train.images[:64], x_test=digits.test.images[:8])
    config = Config.create("tutorial", data_path=str(path), epochs=1, batch_size=32)
    run = workflows.train(config, str(tmp_path / "run"))
    np.savez(path, x_train=digits.train.images[1:65], x_test=digits.test.images[:8])
    with pytest.raises(UserError, match="the images are not those of the training"):
        workflows.resume(run.directory)


def test_a_run_goes_on_with_its_images_elsewhere(whole, small_npz, tmp_path, capsys):
    run_dir, before = tmp_path / "run", _results(whole)
    shutil.copytree(whole, run_dir)
    contents = files.read_json(run_dir / "config.json")
    contents["config"]["data_path"] = str(tmp_path / "gone.npz")
    files.write_json(run_dir / "config.json", contents)
    with pytest.raises(UserError, match=r"gone.npz: no such .* --resume .* --data_path=NEW_PLACE"):
        workflows.resume(run_dir)
    np.savez(tmp_path / "others.npz", x_train=np.zeros((160, 28, 28), np.uint8))
    with pytest.raises(UserError, match="others.npz: the images are not those of the training"):
        workflows.resume(run_dir, data_path=tmp_path / "others.npz")
    assert files.read_json(run_dir / "config.json") == contents
    moved = tmp_path / "moved" / small_npz.name
    moved.parent.mkdir()
    shutil.copy(small_npz, moved)
    workflows.resume(run_dir, data_path=moved)
    assert f"are at {moved} now" in capsys.readouterr().out
    for path in (run_dir / "config.json", run_dir / "export" / "1" / "model.json"):
        written = files.read_json(path)
        assert written["config"]["data_path"] == str(moved)
        assert str(moved) in written["data"]["origin"]
        assert written["data"]["sha256"] == contents["data"]["sha256"]
    assert _results(run_dir) == before


@pytest.mark.slow
def test_other_objectives_and_drawn_pixels_go_on_as_well(tmp_path, small_npz):
    settings = {"data_path": str(small_npz), "epochs": 2, "batch_size": 32, "binarize": "dynamic"}
    settings |= {"objective": "iwae", "importance_samples": 2, "kl_warmup_epochs": 2, "beta": 0.7}
    config = Config.create("tutorial", **settings)
    whole = workflows.train(config, str(tmp_path / "whole")).directory
    part = workflows.train(config, str(tmp_path / "part"), **EVERY_STEP).directory
    newest = checkpoint_files.list_checkpoints(part / "checkpoints")
    for path in newest[1:]:
        shutil.rmtree(path)
    for path in [*part.glob("images/*0002.png"), part / "progress.gif"]:
        path.unlink()
    workflows.resume(part)
    assert _results(part) == _results(whole)
    assert "train_objective" in (part / "metrics.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "discretized_logistic"])
def test_runs_on_grey_levels_have_everything(tmp_path, small_npz, likelihood):
    settings = {"data_path": str(small_npz), "epochs": 2, "batch_size": 32, "binarize": "none"}
    config = Config.create("tutorial", **settings, likelihood=likelihood)
    run_dir = workflows.train(config, str(tmp_path / "run")).directory
    header = (run_dir / "metrics.csv").read_text().splitlines()[0]
    card = (run_dir / "export" / "1" / "README.md").read_text(encoding="utf-8")
    is_likelihood = likelihood != "bernoulli"
    assert ("test_log_likelihood" in header) == is_likelihood
    assert ("a lower bound on log p(x)" in card) == is_likelihood
    assert ("test_pseudo_elbo" in header) != is_likelihood
    model = cvae_tf.load(run_dir)
    is_of_levels = likelihood == "discretized_logistic"
    assert ("bits/dim" in card) == ("bits" in model.metadata) == is_of_levels
    scores = model.score(np.zeros((2, 28, 28, 1)))
    names = [measure.name for measure in Pixels("none", likelihood).terms.values()]
    elbo, log_likelihood, kl = (scores[name] for name in names)
    assert elbo.shape == (2,)
    np.testing.assert_allclose(elbo, log_likelihood - kl, rtol=1e-5)
    assert (run_dir / "curves.png").exists()
