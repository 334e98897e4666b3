"""Folders made at random: each is a data set, or ends in one line."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.data import folder
from cvae_tf.reading import ReadingSettings
from cvae_tf.training import building
from cvae_tf.training.trainer import Trainer

CLASSES = ["a", "b c", "猫", "x\ny", "a/deep/er", "\udcff", ".hidden", "Train"]
LAYOUTS = {
    "flat": [""],
    "classes": CLASSES,
    "splits": [f"{split}/{each}" for split in ("train", "Test") for each in CLASSES[:4]],
    "split": ["TRAIN", "val"],
    "synonyms": ["x/Training/a", "x/Testing/a", "x/Training/e\u0301", "x/Testing/\u00e9", "x/pred"],
    "within": [f"{each}/{split}" for each in ("a", "b") for split in ("trn", "tst", "masks")],
    "masks": ["images", "masks", "images/a", "masks/a", "labels"],
    "anything": ["", "train", "test/a", "valid", *CLASSES],
}
MODES = ["1", "L", "P", "LA", "RGB", "RGBA", "I;16", "CMYK", "F"]
SUFFIXES = {"CMYK": "jpg", "F": "tif"}


@st.composite
def files(draw, layout):
    """Where a file is, and what is in it: a picture, a damaged one, or something else."""
    directory = draw(st.sampled_from(LAYOUTS[layout]))
    mode = draw(st.sampled_from(["L", "RGB", *MODES]))
    size = draw(st.sampled_from([(8, 8), (8, 8), (8, 8), (1, 30), (17, 9)]))
    damage = draw(
        st.sampled_from(["", "", "", "", "cut", "text", "empty", "pipe", "loop", "folder"])
    )
    name = draw(st.sampled_from(["1", "2", "3", "é", " ", "\n"]))
    suffix = draw(st.sampled_from(["right", "right", "PNG", "txt", ""]))
    return directory, name, suffix, mode, size, damage


def _write(root, file):
    directory, name, suffix, mode, size, damage = file
    right = SUFFIXES.get(mode, "png")
    directory = root / directory
    path = directory / (name + (f".{right}" if suffix == "right" else f".{suffix}"))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return
        if damage == "folder":
            path.mkdir()
        elif damage == "loop":
            path.symlink_to(root)
        elif damage == "pipe":
            os.mkfifo(path)
        else:
            picture = Image.new(mode, size, 1)
            with path.open("wb") as target:
                picture.save(target, {"jpg": "JPEG", "tif": "TIFF"}.get(right, "PNG"))
            content = path.read_bytes()
            changed = {"cut": content[: len(content) // 2], "text": b"a text", "empty": b""}
            path.write_bytes(changed.get(damage, content))
    except OSError:  # such as a folder where a file is
        return


FOLDERS = {
    "made": st.sampled_from(list(LAYOUTS)).flatmap(
        lambda layout: st.lists(files(layout), min_size=3, max_size=14)
    ),
    "image_size": st.sampled_from(["8", "9x12", "8", None]),
    "fit": st.sampled_from(["crop", "pad", "stretch"]),
    "channels": st.sampled_from([0, 0, 1, 3]),
    "skip_bad": st.sampled_from([True, True, False]),
    "rooms": st.sampled_from([(None, None), (0, None), (0, 0)]),
}
ALWAYS = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=100, **ALWAYS)
@given(**FOLDERS)
def test_every_folder_is_a_data_set_or_ends_in_one_line(monkeypatch, made, rooms, **reading):
    _try(monkeypatch, made, rooms, ReadingSettings(**reading, background=9), _check)


@pytest.mark.slow
@settings(max_examples=12, **ALWAYS)
@given(**FOLDERS)
def test_every_folder_trains_two_steps_or_ends_in_one_line(monkeypatch, made, rooms, **reading):
    _try(monkeypatch, made, rooms, ReadingSettings(**reading), _train_two_steps)


def _try(monkeypatch, made, rooms, reading, use):
    """Makes a folder and uses its data set, if it is one."""
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setenv("KERAS_HOME", str(Path(directory) / "keras"))
        root = Path(directory) / "root"
        root.mkdir()
        for file in made:
            _write(root, file)
        try:
            dataset = folder.load(root, 0, reading, *rooms)
        except UserError as error:
            lines = str(error).splitlines()
            assert 1 <= len(lines) <= 2 and all(len(line) < 1500 for line in lines)
            str(error).encode()  # can be printed
        else:
            use(dataset, reading)


def _train_two_steps(dataset, _):
    num_images = len(dataset.train.images)
    config = Config.create("photo", latent_dim=2, epochs=1, batch_size=max(num_images // 2, 1))
    model = building.build_model(config, dataset.image_shape, num_images)
    (result,) = Trainer(model, dataset, config.batch_size).run_epochs(1)
    assert result.step == min(num_images, 2) + (num_images == 3)
    assert np.isfinite(result.test["elbo"])


def _check(dataset, reading):
    for split in (dataset.train, dataset.test):
        images = split.images[:]
        assert len(images) >= 1 and images.dtype == np.uint8 and images.shape == split.images.shape
        assert images.shape[1:] == dataset.image_shape and images.shape[3] in (1, 3)
        assert reading.channels in (0, images.shape[3])
        assert reading.image_size is None or images.shape[1:3] == reading.height_and_width
        assert (split.labels is None) == (dataset.class_names is None)
        if split.labels is not None:
            assert split.labels.shape == (len(images),) and split.labels.dtype == np.int64
            assert split.labels.min() >= 0 and split.labels.max() < len(dataset.class_names)
    assert len(dataset.sha256) == 64 and 0 <= dataset.margins <= 1
    dataset.origin.encode()
