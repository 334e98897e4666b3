import importlib
import subprocess
import sys

import numpy as np
import pytest

from cvae_tf import registry
from cvae_tf.core.errors import UserError
from cvae_tf.data import tfds_sets
from cvae_tf.data.datasets import (
    Dataset,
    Split,
    fingerprint,
    load_again,
    load_dataset,
    margin_brightness,
)
from cvae_tf.reading import ReadingSettings


def _grey(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def _dataset(name, value=7):
    images = np.full((4, 3, 3, 1), value, np.uint8)
    return Dataset(name, f"{name}.", Split(images, None), Split(images[:2], None))


@pytest.fixture
def table(monkeypatch):
    """The table of data sets with small ones for its entries, and the seeds they were asked for."""
    seeds = []

    def loader(name):
        def load(seed, seconds=None):
            seeds.append(seed)
            return _dataset(name)

        return load

    entries = {name: registry.Entry(loader(title)) for name, title in
               (("mnist", "MNIST"), ("digits", "bundled digits"))}  # fmt: skip
    monkeypatch.setattr(
        registry.DATASETS, "_entries", {"auto": registry.DATASETS["auto"], **entries}
    )
    return seeds


# By name


@pytest.mark.parametrize("name", ["cifar", "MNIST", "", "tfds:"])
def test_unknown_names_are_refused_with_those_that_are_known(name):
    with pytest.raises(UserError, match=f"{name}: unknown; choose from auto, mnist, digits"):
        load_dataset(name)


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A data set as someone else would add it: one file, and one line in the table."""
    (tmp_path / "stripes.py").write_text(
        "import numpy as np\n"
        "from cvae_tf.data.datasets import Dataset, Split\n"
        "def load(seed):\n"
        "    images = np.full((9, 4, 4, 1), seed, np.uint8)\n"
        "    return Dataset('Stripes', 'Made up.', Split(images, None), Split(images, None))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry.DATASETS.add("stripes", registry.Entry("stripes:load", "stripes"))
    yield
    registry.DATASETS.remove("stripes")
    sys.modules.pop("stripes", None)


def test_a_data_set_is_one_file_and_one_line_in_the_table(own_module):
    dataset = load_dataset("stripes", seed=5)
    assert (dataset.name, dataset.key, dataset.image_shape) == ("Stripes", "stripes", (4, 4, 1))
    assert np.all(dataset.train.images == 5)
    again = load_again({"name": "Stripes", "key": "stripes"}, None, 5)
    assert fingerprint(again) == fingerprint(dataset)


def test_names_of_another_package_say_how_to_get_it(monkeypatch):
    def import_module(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(UserError) as error:
        tfds_sets.load("kmnist")
    assert str(error.value) == (
        "--dataset=tfds:kmnist needs other packages: "
        "pip install tensorflow-datasets importlib_resources"
    )


@pytest.mark.parametrize("flag", [{"image_size": "32"}, {"skip_bad": True}])
def test_what_is_wrong_with_a_path_comes_before_the_flags_of_folders(tmp_path, flag):
    reading, name = ReadingSettings(**flag), next(iter(flag))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "a.csv").write_text("1,2")
    np.save(tmp_path / "a.npy", _grey(3, 8, 8))
    for path, reason in (
        ("pictrues", "pictrues: no such file or folder. Did you mean .*pictures"),
        ("a.csv", "a.csv: a table"),
        ("a.npy", f"--{name} is for a folder of pictures, and .*a.npy is a file of arrays"),
    ):
        with pytest.raises(UserError, match=reason):
            load_dataset(data_path=tmp_path / path, reading=reading, cache_mb=3)
    with pytest.raises(UserError, match=f"--{name} is for a folder of pictures, in --data_path"):
        load_dataset("digits", reading=reading)


# Whatever is there


def test_auto_takes_mnist_and_remembers_that_it_did(table):
    dataset = load_dataset("auto", seed=4)
    assert (dataset.name, dataset.key) == ("MNIST", "mnist")
    assert table == [4]


@pytest.fixture
def without_mnist(tmp_path, monkeypatch):
    """No MNIST in the cache and no network; the waits for a download."""
    waits = []

    def run(*_, timeout, **__):
        waits.append(timeout)
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", run)
    return waits


@pytest.fixture
def small_digits(monkeypatch):
    home = "cvae_tf.data.digits.load"
    monkeypatch.setattr(home, lambda seed: _dataset("bundled digits"))


def test_auto_waits_less_then_takes_the_digits_and_says_so(without_mnist, small_digits):
    dataset = load_dataset("auto")
    assert without_mnist == [30]
    assert (dataset.name, dataset.key) == ("bundled digits", "digits")
    assert "bundled digits" in dataset.origin and "Not MNIST" in dataset.origin
    assert "cannot be downloaded" in dataset.origin and "\n" not in dataset.origin


def test_auto_with_a_damaged_cache_names_it_and_takes_the_digits(
    tmp_path, without_mnist, small_digits
):
    (tmp_path / "datasets").mkdir()
    np.savez(tmp_path / "datasets" / "mnist.npz", x_train=_grey(2, 28, 28))
    assert "mnist.npz does not hold MNIST" in load_dataset("auto").origin


# Again


@pytest.mark.parametrize(
    ("recorded", "title"),
    [
        ({"name": "MNIST"}, "MNIST"),
        ({"name": "bundled digits"}, "bundled digits"),
        ({"name": "a new title", "key": "mnist"}, "MNIST"),
        ({"name": "bundled digits", "key": None}, "bundled digits"),
    ],
)
def test_data_are_found_again_by_their_key_or_by_the_title_that_older_runs_recorded(
    table, recorded, title
):
    dataset = load_again(recorded, None, 3)
    assert dataset.name == title
    assert table == [3]


def test_a_file_is_found_again_whatever_it_is_called(tmp_path, table):
    np.savez(tmp_path / "MNIST", x_train=_grey(5, 3, 3))
    dataset = load_again({"name": "MNIST"}, str(tmp_path / "MNIST.npz"), 0)
    assert dataset.name == "MNIST.npz" and dataset.key is None and table == []


def test_data_that_cannot_be_known_again_are_not_guessed(table):
    with pytest.raises(UserError, match="not recorded which images"):
        load_again({"name": "toy"}, None, 0)
    assert table == []


@pytest.fixture
def moved(tmp_path):
    """What a run recorded of a file, where that was, and where it is now."""
    now = tmp_path / "new.npz"
    np.savez(now, x_train=_grey(5, 3, 3), x_test=_grey(2, 3, 3))
    known = fingerprint(load_dataset(data_path=now))
    return {"name": "old.npz", "key": None, "sha256": known}, str(tmp_path / "old.npz"), str(now)


def test_images_that_were_moved_are_known_again(moved):
    recorded, before, now = moved
    with pytest.raises(UserError, match=r"old.npz: no such .* --resume .* --data_path=NEW_PLACE"):
        load_again(recorded, before, 0)
    dataset = load_again(recorded, before, 0, moved_to=now)
    assert fingerprint(dataset) == recorded["sha256"]


def test_other_images_are_not_taken_for_those_that_were_moved(moved, tmp_path):
    recorded, before, now = moved
    np.savez(tmp_path / "others.npz", x_train=_grey(5, 3, 3, seed=1), x_test=_grey(2, 3, 3))
    with pytest.raises(UserError, match="others.npz: the images are not those of the training"):
        load_again(recorded, before, 0, moved_to=str(tmp_path / "others.npz"))
    with pytest.raises(UserError, match=r"nowhere: no such file or folder\.$"):
        load_again(recorded, before, 0, moved_to=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="not recorded which images"):
        load_again({**recorded, "sha256": None}, before, 0, moved_to=now)


def test_fingerprint_is_that_of_the_bytes_of_all_images():
    import hashlib

    dataset = _dataset("toy")._replace(test=Split(_grey(2, 3, 3, 1), None))
    expected = hashlib.sha256(bytes([7] * 36) + _grey(2, 3, 3, 1).tobytes()).hexdigest()
    assert fingerprint(dataset) == expected
    assert fingerprint(dataset._replace(test=Split(_grey(2, 3, 3, 1, seed=1), None))) != expected


# How they look


def test_brightness_is_that_of_the_margins_alone():
    images = np.zeros((2, 6, 9, 1), np.uint8)
    images[:, 1:-1, 1:-1] = 255
    assert margin_brightness(images) == 0.0
    assert margin_brightness(255 - images) == 1.0
    images[0] = 255
    assert margin_brightness(images) == pytest.approx(0.5)
    assert type(margin_brightness(images)) is float


def test_every_side_counts_for_a_quarter():
    for side in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        images = np.zeros((3, 100, 100, 3), np.uint8)
        images[side] = 255
        assert margin_brightness(images) == pytest.approx(0.255, abs=0.01)


def test_digits_have_black_margins(digits):
    assert margin_brightness(digits.train.images) < 0.01
    assert margin_brightness(255 - digits.train.images) > 0.99
