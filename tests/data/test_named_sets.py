"""The data sets of Keras, made small: what is cached is checked, loaded, left alone, or fetched;
and the bundled digits.
"""

import dataclasses
import gzip
import hashlib
import socket
import subprocess
from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pytest
from folder_helpers import grey

from cvae_tf.core.errors import UserError
from cvae_tf.data import named_sets
from cvae_tf.data.datasets import fingerprint
from cvae_tf.data.loading import DATASETS, load_dataset

LABELS = np.arange(10, dtype=np.uint8)[::-1]
GREY = (grey(10, 28, 28), LABELS), (grey(3, 28, 28, seed=1), LABELS[[0, 9, 6]])
COLOUR = (grey(10, 32, 32, 3), LABELS[:, None]), (grey(3, 32, 32, 3, seed=1), LABELS[:3, None])
HTML = b"<html>404</html>"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    no_download = Mock(side_effect=AssertionError("no download may start"))
    monkeypatch.setattr(subprocess, "run", no_download)
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", no_download)
    monkeypatch.setattr(socket, "create_connection", Mock())
    (tmp_path / "datasets").mkdir()
    yield tmp_path / "datasets"
    keras.config.set_image_data_format("channels_last")


def _known_by(monkeypatch, name, contents):
    """Makes a data set known by the sum of these contents of its file."""
    known = getattr(named_sets, name.upper())
    files = dict.fromkeys(known.files, hashlib.sha256(contents).hexdigest())
    monkeypatch.setitem(DATASETS, name, dataclasses.replace(known, files=files).load)
    return next(iter(files))


def _idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def _save_fashion_mnist(cache):
    arrays = [array for split in GREY for array in split]
    for name, array in zip(named_sets.FASHION_MNIST.files, arrays, strict=True):
        (cache / name).parent.mkdir(exist_ok=True)
        (cache / name).write_bytes(_idx(array))


def _assert_is(dataset, arrays):
    for split, (images, labels) in zip((dataset.train, dataset.test), arrays, strict=True):
        np.testing.assert_array_equal(split.images.reshape(images.shape), images)
        assert split.labels.tolist() == labels.ravel().tolist()


@pytest.mark.parametrize(
    ("name", "title", "arrays", "last_class"),
    [
        ("mnist", "MNIST", GREY, None),
        ("cifar10", "CIFAR-10", COLOUR, "truck"),
        ("cifar100", "CIFAR-100", COLOUR, "worm"),
    ],
)
def test_cached_data_sets_are_used_without_the_network(
    cache, monkeypatch, name, title, arrays, last_class
):
    def load():
        assert keras.config.image_data_format() == "channels_last"
        return arrays

    (cache / _known_by(monkeypatch, name, b"packed")).write_bytes(b"packed")
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", load)
    keras.config.set_image_data_format("channels_first")  # as keras.json may say
    dataset = load_dataset(name)
    assert (dataset.name, dataset.key) == (title, name)
    assert (dataset.class_names and dataset.class_names[-1]) == last_class
    assert last_class is None or len(dataset.class_names) == int(name.removeprefix("cifar"))
    _assert_is(dataset, arrays)


def test_fashion_mnist_is_read_from_its_four_files(cache):
    _save_fashion_mnist(cache)
    dataset = load_dataset("fashion_mnist")
    assert dataset.name == "Fashion-MNIST" and dataset.class_names[9] == "Ankle boot"
    _assert_is(dataset, GREY)


def test_files_have_the_sums_and_names_that_keras_knows():
    for name in ("mnist", "fashion_mnist", "cifar10", "cifar100"):
        code = Path(getattr(keras.datasets, name).load_data.__code__.co_filename).read_text()
        known = getattr(named_sets, name.upper())
        assert f"https://{known.host}/" in code
        for file, sha256 in known.files.items():
            assert f'"{Path(file).name.removesuffix("_archive")}"' in code
            assert sha256 is None or f'"{sha256}"' in code


def test_damaged_caches_are_refused_and_left_as_they_are(cache, monkeypatch):
    _save_fashion_mnist(cache)
    for name in ("mnist", "fashion_mnist"):
        path = cache / next(iter(getattr(named_sets, name.upper()).files))
        path.write_bytes(HTML)
        with pytest.raises(UserError, match=f"{cache}[^\n]*move it away.\n.*--dataset=digits"):
            load_dataset(name)
        assert path.read_bytes() == HTML
    monkeypatch.setenv("KERAS_HOME", str(path))  # a file, in which nothing can be written
    with pytest.raises(UserError, match=f"^MNIST cannot be had: [^\n]*{path}[^\n]*\n.*=digits"):
        load_dataset("mnist")


def test_downloads_keep_the_archive_and_those_that_bring_nothing_say_so(cache, monkeypatch):
    def download(command, env, timeout, **_):
        assert "keras.datasets.cifar10.load_data()" in command[-1] and timeout == 1800
        place = Path(env["KERAS_HOME"]) / "datasets"
        (place / "cifar-10-batches-py-target").mkdir(parents=True)
        (place / archive).write_bytes(b"packed")

    archive = _known_by(monkeypatch, "cifar10", b"packed")
    monkeypatch.setattr(subprocess, "run", download)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: COLOUR)
    assert len(load_dataset("cifar10").train.images) == 10
    assert [path.name for path in cache.iterdir()] == [archive]
    monkeypatch.setattr(subprocess, "run", Mock())  # which brings nothing
    for calls in (1, 1):  # without a network it is not even tried
        with pytest.raises(UserError, match="is not in the Keras cache, and cannot be downloaded"):
            load_dataset("mnist")
        assert [path.name for path in cache.iterdir()] == [archive]
        assert subprocess.run.call_count == calls
        monkeypatch.setattr(socket, "create_connection", Mock(side_effect=OSError))


def test_digits_are_those_of_earlier_versions_and_say_whose_they_are(digits):
    """Else runs of theirs could not be resumed."""
    sha256 = "63656c17bf2563718ca1277a13ff7a4191674533eb23ef772f795a6306671e1b"
    assert fingerprint(digits) == sha256  # of all images
    with np.load(Path(named_sets.__file__).with_name("digits.npz")) as arrays:
        labels = arrays["labels"]
    np.testing.assert_array_equal(digits.test.labels, labels[1500:])
    np.testing.assert_array_equal(digits.train.labels, np.tile(labels[:1500], 16))
    assert digits.key == "digits"
    assert "Alpaydin" in digits.licence and "CC BY 4.0" in digits.licence


def test_the_seed_decides_the_variations_alone(digits, monkeypatch):
    monkeypatch.setattr(named_sets, "_COPIES", 2)  # of 16
    other = load_dataset("digits", seed=np.int64(1))
    np.testing.assert_array_equal(other.test.images, digits.test.images)
    ours, theirs = digits.train.images, other.train.images
    np.testing.assert_array_equal(ours[:1500], theirs[:1500])
    assert np.any(ours[1500:3000] != theirs[1500:], axis=(1, 2, 3)).all()
