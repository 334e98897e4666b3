"""The data sets of Keras, made small: what is cached is read, checked, left alone, or fetched."""

import dataclasses
import gzip
import hashlib
import io
import pickle
import subprocess
import tarfile
from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pytest
from folder_helpers import grey

from cvae_tf.core.errors import UserError
from cvae_tf.data import keras_sets
from cvae_tf.data.datasets import IMAGES_AND_LABELS
from cvae_tf.data.keras_sets import IDX_FILES
from cvae_tf.data.loading import DATASETS, load_dataset

NAMES = [b"kind %d" % number for number in range(10)]
LABELS = np.arange(10, dtype=np.uint8)[::-1]
GREY = [grey(10, 28, 28), LABELS, grey(3, 28, 28, seed=1), LABELS[[0, 9, 6]]]
COLOUR = [grey(10, 32, 32, 3), LABELS, grey(3, 32, 32, 3, seed=1), LABELS[[0, 9, 6]]]
HTML = b"<html>404</html>"


# Each puts a data set into a folder; returns the sum that it is then known by.


def _save_mnist(place):
    named = dict(zip(IMAGES_AND_LABELS, GREY, strict=True))
    np.savez_compressed(place / "mnist.npz", **dict(reversed(named.items())))
    return hashlib.sha256(b"".join(array.tobytes() for array in GREY)).hexdigest()


def _idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def _save_fashion_mnist(place):
    (place / "fashion-mnist").mkdir()
    for name, array in zip(IDX_FILES, GREY, strict=True):
        (place / "fashion-mnist" / name).write_bytes(_idx(array))


def _python_2_pickle(images, labels):
    """What Python 2 wrote of {"data": planes, "labels": list}: protocol 2, all texts as bytes."""
    pixels = images.transpose(0, 3, 1, 2).tobytes()
    return (
        b"\x80\2}(U\4datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R(K\1"
        b"K" + bytes([len(images)]) + b"M\0\x0c\x86cnumpy\ndtype\nU\2u1K\0K\1\x87R(K\3U\1|NNNJ\xff"
        b"\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89T" + len(pixels).to_bytes(4, "little") + pixels
        + b"tbU\6labels](" + b"".join(b"K" + bytes([label]) for label in labels) + b"eu."
    )  # fmt: skip


def _python_3_pickle(images, labels):
    planes = np.asfortranarray(images.transpose(0, 3, 1, 2).reshape(len(images), -1))
    return pickle.dumps({b"data": planes, b"fine_labels": labels.tolist(), b"coarse": [1]}, 4)


def _archive(path, folder, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, contents in members.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _save_cifar10(place):
    images, labels, *test = COLOUR
    members = {"test_batch": _python_2_pickle(*test), "readme.html": HTML}
    for i in (4, 1, 0, 3, 2):  # the archive need not have them in their order
        members[f"data_batch_{i + 1}"] = _python_2_pickle(images[2 * i :][:2], labels[2 * i :][:2])
    members["batches.meta"] = pickle.dumps({b"label_names": NAMES}, 4)
    path = place / "cifar-10-batches-py-target_archive"
    return _archive(path, "cifar-10-batches-py", members)


def _save_cifar100(place):
    members = {"train": _python_3_pickle(*COLOUR[:2]), "test": _python_3_pickle(*COLOUR[2:]),
               "meta": pickle.dumps({b"fine_label_names": NAMES}, 4)}  # fmt: skip
    path = place / "cifar-100-python.tar.gz"  # as older versions of Keras call it
    return _archive(path, "cifar-100-python", members)


SAVES = {"mnist": _save_mnist, "fashion_mnist": _save_fashion_mnist, "cifar10": _save_cifar10,
         "cifar100": _save_cifar100}  # fmt: skip


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    no_download = Mock(side_effect=AssertionError("no download may start"))
    monkeypatch.setattr(subprocess, "run", no_download)
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


def _known_by(monkeypatch, name, sha256):
    load = dataclasses.replace(getattr(keras_sets, name.upper()), sha256=sha256).load
    monkeypatch.setitem(DATASETS, name, load)


@pytest.mark.parametrize(
    ("name", "title", "arrays", "first_class"),
    [
        ("mnist", "MNIST", GREY, None),
        ("fashion_mnist", "Fashion-MNIST", GREY, "Ankle boot"),
        ("cifar10", "CIFAR-10", COLOUR, "kind 9"),
        ("cifar100", "CIFAR-100", COLOUR, "kind 9"),
    ],
)
def test_cached_data_sets_are_used_without_the_network(
    cache, monkeypatch, name, title, arrays, first_class
):
    _known_by(monkeypatch, name, SAVES[name](cache))
    dataset = load_dataset(name)
    assert (dataset.name, dataset.key) == (title, name)
    for found, wanted in zip((*dataset.train, *dataset.test), arrays, strict=True):
        np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)
    assert (dataset.class_names and dataset.class_names[dataset.test.labels[0]]) == first_class


def test_data_sets_are_known_by_the_sums_and_names_that_keras_has():
    for name in ("cifar10", "cifar100"):
        code = Path(getattr(keras.datasets, name).load_data.__code__.co_filename).read_text()
        ours = getattr(keras_sets, name.upper())
        place = ours.places[0][0].removesuffix("_archive")
        assert ours.sha256 in code and f'"{place}"' in code


DAMAGES = [  # what becomes of a file, whether its sum is the right one then, what is said
    ("mnist", lambda data: HTML, False, "not an .npz"),
    ("cifar10", lambda data: data + b"\0", False, "does not hold CIFAR-10 as it was published"),
    ("cifar10", lambda data: data[:-4000], True, "cannot be read"),
    ("fashion_mnist", lambda data: _idx(np.zeros((2, 2))), True, "not a file of images"),
    ("fashion_mnist", lambda data: HTML, True, "cannot be read"),
    ("fashion_mnist", lambda data: gzip.compress(gzip.decompress(data) + b"\0"), True, "or less"),
]


@pytest.mark.parametrize(("name", "damage", "is_sum_right", "message"), DAMAGES)
def test_damaged_caches_are_refused_and_left_as_they_are(
    cache, monkeypatch, name, damage, is_sum_right, message
):
    SAVES[name](cache)
    path = cache / getattr(keras_sets, name.upper()).places[0][0]
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    if is_sum_right:
        _known_by(monkeypatch, name, hashlib.sha256(damaged).hexdigest())
    with pytest.raises(UserError, match=f"{cache}(?s:.*){message}(?s:.*)\n.*--dataset=digits"):
        load_dataset(name)
    assert path.read_bytes() == damaged


def test_downloaded_archives_are_kept_without_what_keras_has_unpacked(cache, monkeypatch):
    def download(command, env, **_):
        assert "keras.datasets.cifar10.load_data()" in command[-1]
        place = Path(env["KERAS_HOME"]) / "datasets"
        (place / "cifar-10-batches-py-target").mkdir(parents=True)
        sums.append(_save_cifar10(place))

    sums = []
    monkeypatch.setattr(subprocess, "run", download)
    with pytest.raises(UserError, match="does not hold CIFAR-10"):
        load_dataset("cifar10")
    assert [path.name for path in cache.iterdir()] == ["cifar-10-batches-py-target_archive"]
    _known_by(monkeypatch, "cifar10", sums[0])
    assert len(load_dataset("cifar10").train.images) == 10 and len(sums) == 1


def test_downloads_that_bring_nothing_leave_nothing_and_say_so(cache, monkeypatch):
    monkeypatch.setattr(subprocess, "run", Mock())
    with pytest.raises(UserError, match="is not in the Keras cache and cannot be downloaded"):
        load_dataset("mnist")
    assert list(cache.iterdir()) == []


def test_pickles_of_anything_else_are_refused_and_nothing_in_them_is_called():
    for contents, message in (
        (b"cbuiltins\nexec\n(V1 / 0\ntR.", "names builtins.exec, which is never called"),
        (pickle.dumps({"data": np.zeros(3)}, 4), "something else than uint8"),
        (HTML, "no pickle of plain values"),
    ):
        with pytest.raises(ValueError, match=message):
            keras_sets.load_pickle(io.BytesIO(contents))
