"""Data sets by name, and known again."""

import socket
import subprocess
from unittest.mock import Mock

import numpy as np
import pytest
from folder_helpers import expand, grey, save_all

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, Split, fingerprint
from cvae_tf.data.inspection import margin_brightness
from cvae_tf.data.loading import DATASETS, load_again, load_dataset
from cvae_tf.data.pictures import ReadingSettings


def _dataset(name):
    images = np.full((4, 3, 3, 1), 7, np.uint8)
    return Dataset(name, f"{name}.", Split(images, None), Split(images[:2], None))


@pytest.mark.parametrize("name", ["cifar", "", "tfds:"])
def test_unknown_names_are_refused_with_those_that_are_known(name):
    with pytest.raises(UserError, match=f"{name}: unknown; choose from auto, mnist, digits"):
        load_dataset(name)


def test_what_is_wrong_with_a_path_comes_before_the_flags_of_folders(tmp_path):
    (tmp_path / "pictures").mkdir()
    np.save(tmp_path / "a.npy", grey(3, 8, 8))
    for path, reason in (
        (tmp_path / "pictrues", r"pictrues: no such file or folder\.$"),
        (tmp_path / "a.npy" / "b", "cannot be looked at .Not a directory"),
        ("gs://bucket/pictures", "what is read must be copied here first"),
        (tmp_path / "a.npy", "--skip_bad is for a folder of pictures, and .*a.npy is none"),
        (None, "--skip_bad is for a folder of pictures, in --data_path"),
    ):
        with pytest.raises(UserError, match=reason):
            load_dataset("digits", path, reading=ReadingSettings(skip_bad=True), cache_mb=3)


def test_auto_without_mnist_takes_the_digits_and_says_so(tmp_path, monkeypatch):
    failure = Mock(side_effect=subprocess.TimeoutExpired("python", 30))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setitem(DATASETS, "digits", lambda seed: _dataset("bundled digits"))
    monkeypatch.setattr(subprocess, "run", failure)
    monkeypatch.setattr(socket, "create_connection", Mock())
    dataset = load_dataset("auto")
    assert (dataset.name, dataset.key) == ("bundled digits", "digits")
    assert failure.call_args.kwargs["timeout"] == 30
    assert dataset.origin.startswith("bundled digits. Not MNIST: ")


def test_brightness_is_that_of_the_margins_each_side_a_quarter():
    for side in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        images = np.zeros((3, 100, 100, 3), np.uint8)
        images[:, 1:-1, 1:-1] = 100
        images[side] = 255
        assert margin_brightness(images) == pytest.approx(0.255, abs=0.01)


def test_data_are_found_again_by_their_key(monkeypatch):
    load = lambda seed, seconds=None: _dataset(f"mnist {seed}")  # noqa: E731
    monkeypatch.setitem(DATASETS, "mnist", load)
    dataset = load_dataset("auto", seed=4)
    assert (dataset.name, dataset.key) == ("mnist 4", "mnist")  # it remembers what it took
    assert load_again({"name": "a new title", "key": "mnist"}, None, 3).name == "mnist 3"


def test_images_that_were_moved_are_known_again_and_others_not_taken_for_them(tmp_path):
    def save(name, seed):
        np.savez(tmp_path / name, x_train=grey(5, 3, 3, seed=seed), x_test=grey(2, 3, 3))
        return str(tmp_path / name)

    before, now = str(tmp_path / "MNIST.npz"), save("new.npz", 0)
    sha256 = fingerprint(load_dataset(data_path=now))
    recorded = {"name": "MNIST", "key": None, "sha256": sha256}
    assert fingerprint(load_again(recorded, before, 0, moved_to=now)) == sha256
    for known, path, moved_to, message in (
        (recorded, before, None, r"MNIST.npz: no such .* --resume .* --data_path=NEW_PLACE"),
        (recorded, before, save("others.npz", 1), "others.npz: the images are not those of the"),
        ({**recorded, "sha256": None}, before, now, "not recorded which images"),
        ({"name": "toy"}, None, None, "not recorded which images"),
    ):
        with pytest.raises(UserError, match=message):
            load_again(known, path, 0, moved_to=moved_to)


# What earlier versions read of folders: pictures, the seed, the classes, and the sum.
OLDER = [
    ("{a,b}/{0,1}{0,1,2,3,4,5,6,7,8,9}.png c/1.png", 3, "a b c",
     "5cc033cf0f34d8ce14a938177208e677ffa862ff895cb374ae40638341c0d96e"),
    ("{train,test,val}/{a,b}/{1,2}.png", 0, "a b",
     "6fecbada26b676a1a52c8a90fff30796faf9c10caf69dc7a661de89daa21aac9"),
]  # fmt: skip


@pytest.mark.parametrize(("pictures", "seed", "names", "sha256"), OLDER)
def test_a_run_goes_on_with_the_splits_and_classes_that_it_began_with(
    tmp_path, monkeypatch, pictures, seed, names, sha256
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    path = str(tmp_path / "x")
    save_all(tmp_path / "x", expand(pictures))
    recorded = {"name": "x", "sha256": sha256, "class_names": names.split()}
    dataset = load_again(recorded, path, seed)
    assert dataset.sha256 == sha256 and dataset.class_names == tuple(names.split())
    save_all(tmp_path / "x", ["a.png"])
    with pytest.raises(UserError, match="the images are not those of the training"):
        load_again(recorded, path, seed)
