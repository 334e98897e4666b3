"""From a folder of pictures to a trained model: in memory or streamed, stopped or not."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import PROJECT, run_script
from PIL import Image

import cvae_tf
from cvae_tf import workflows
from cvae_tf.core.errors import UserError
from cvae_tf.data import feeding
from cvae_tf.data.picture_images import PictureImages

SETTINGS = {"preset": "fast", "binarize": "none", "likelihood": "gaussian", "batch_size": 8}


@pytest.fixture(scope="module", autouse=True)
def _cache_of_its_own(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield


def _write_pictures(folder, classes=("cat", "dog"), each=40, channels=3, side=12):
    """Smooth pictures, those of a class alike."""
    generator = np.random.default_rng(5)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            coarse = generator.uniform(60 * number, 255 - 60 * number, (3, 3, channels))
            levels = np.kron(coarse, np.ones((side // 3, side // 3, 1))).astype(np.uint8)
            Image.fromarray(levels.squeeze()).save(folder / name / f"{i:03}.png")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return _write_pictures(tmp_path_factory.mktemp("pictures") / "animals")


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("memory")
    return workflows.train(run_dir=place / "run", data_path=folder, epochs=2, verbose=0, **SETTINGS)


def _results(run_dir):
    """The bytes of the newest checkpoint and the numbers of each epoch without its timings."""
    newest = max((run_dir / "checkpoints").glob("step_*"))
    with np.load(newest / "state.npz") as arrays:
        weights = {name: arrays[name].tobytes() for name in arrays if name != "state"}
    rows = (run_dir / "metrics.csv").read_text().splitlines()
    return weights, [row.split(",")[:6] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("disk_mb", [None, 0], ids=["flat file", "pictures"])
def test_streamed_training_is_the_same_to_the_last_bit(
    folder, trained, tmp_path, monkeypatch, disk_mb
):
    monkeypatch.setattr(feeding, "_PART_BYTES", 8 * 12 * 12 * 3 * 2)  # two steps
    if disk_mb == 0:  # what is in the cache already would be used
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    run = workflows.train(
        run_dir=tmp_path / "run", data_path=folder, epochs=2, verbose=0,
        cache_mb=0, disk_mb=disk_mb, **SETTINGS,
    )  # fmt: skip
    assert _results(run.directory) == _results(trained.directory)


_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from cvae_tf import workflows
from cvae_tf.core.threads import set_threads
from cvae_tf.data import feeding
from cvae_tf.training import checkpoint_files

set_threads(0)
feeding._PART_BYTES = 1
save = checkpoint_files.save_checkpoint

def save_and_die(*arguments):
    path = save(*arguments)
    if path.name == "step_00000005":
        os.kill(os.getpid(), signal.SIGKILL)
    return path

checkpoint_files.save_checkpoint = save_and_die
workflows.train(
    run_dir=sys.argv[3], data_path=sys.argv[2], epochs=2, checkpoint_every="1", cache_mb=0,
    preset="fast", binarize="none", likelihood="gaussian", batch_size=8,
)
"""


@pytest.mark.slow
def test_streamed_run_that_is_killed_within_an_epoch_ends_the_same(folder, trained, tmp_path):
    run_dir = tmp_path / "run"
    command = [sys.executable, "-c", _KILLED, str(PROJECT), str(folder), str(run_dir)]
    killed = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (run_dir / "checkpoints" / "step_00000005").exists()  # of nine in an epoch
    run = workflows.resume(run_dir, cache_mb=0, verbose=0)
    assert _results(run.directory) == _results(trained.directory)


def test_run_records_what_it_was_made_from(trained):
    contents = json.loads((trained.directory / "config.json").read_text())
    data = contents["data"]
    assert data["class_names"] == ["cat", "dog"] and data["image_shape"] == [12, 12, 3]
    assert (data["train_images"], data["test_images"]) == (72, 8)


def test_images_of_a_class_are_drawn_by_its_name(trained, tmp_path):
    made = cvae_tf.generate(trained.directory, "class", tmp_path, label="dog", num=3, verbose=0)
    assert made.arrays["images"].shape == (3, 12, 12, 3)


def test_picture_that_breaks_stops_the_run_with_its_name_and_a_good_checkpoint(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(feeding, "_PART_BYTES", 1)
    folder = _write_pictures(tmp_path / "breaking", each=12)
    read, original = [], PictureImages.__getitem__

    def break_one(self, index):
        read.append(index)
        if len(read) == 12:
            for picture in sorted((folder / "dog").iterdir()):
                picture.write_bytes(b"no picture any more")
        return original(self, index)

    monkeypatch.setattr(PictureImages, "__getitem__", break_one)
    settings = {"data_path": folder, "cache_mb": 0, "disk_mb": 0, "epochs": 9, "verbose": 0}
    with pytest.raises(UserError, match=r"dog/\d+.png: cannot be read any more"):
        workflows.train(run_dir=tmp_path / "run", **settings, **SETTINGS)
    assert list((tmp_path / "run" / "checkpoints").glob("step_*"))


# What is chosen for which images


@pytest.mark.slow
def test_colours_get_the_preset_photo_and_are_told_so(folder, tmp_path, capsys):
    run = workflows.train(
        run_dir=tmp_path / "run", data_path=folder, epochs=1, network="patches", latent_dim=3
    )
    config = run.config
    assert (config.preset, config.binarize, config.network) == ("photo", "none", "patches")
    assert "preset:  photo, because the images have colours" in capsys.readouterr().out


@pytest.mark.parametrize("settings", [{"binarize": "threshold"}, {"preset": "tutorial"}])
def test_colours_are_never_thresholded(folder, tmp_path, settings):
    with pytest.raises(UserError, match=r"^--binarize=threshold: the images have colours") as told:
        workflows.train(run_dir=tmp_path / "run", data_path=folder, verbose=0, **settings)
    assert "\n" not in str(told.value) and not (tmp_path / "run").exists()


def test_flags_for_folders_are_refused_where_there_is_none(tmp_path):
    np.savez(tmp_path / "images.npz", x_train=np.zeros((9, 8, 8), np.uint8))
    with pytest.raises(UserError, match="^--image_size is for a folder of pictures"):
        workflows.train(data_path=tmp_path / "images.npz", image_size="32", verbose=0)


@pytest.mark.slow
def test_script_trains_on_a_folder_with_nothing_else_given(folder, tmp_path):
    small = ["--epochs=1", "--latent_dim=4"]
    done = run_script("train.py", f"--data_path={folder}", *small, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "80 pictures of 2 classes, 12 x 12 in colour" in done.stdout
    assert "bits/dim" in done.stdout
    done = run_script("generate.py", "--mode=reconstruct", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
