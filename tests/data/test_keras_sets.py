import dataclasses
import gzip
import hashlib
import io
import pickle
import subprocess
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest
from test_plain_pickle import python_2_pickle

from cvae_tf.core.errors import UserError
from cvae_tf.data import keras_files, keras_sets
from cvae_tf.data.datasets import load_dataset

CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
FINE_CLASSES = tuple(f"kind {i}" for i in range(100))


def _grey(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


def _names(directory):
    return [path.name for path in directory.iterdir()]


def _forbid_processes(monkeypatch, error=None):
    def run(*_, **__):
        raise error or AssertionError("no download may start")

    monkeypatch.setattr(subprocess, "run", run)


def _known_by(monkeypatch, name, sha256):
    """Makes a data set one that is known by another sum."""
    of_keras = getattr(keras_sets, name.upper())
    load = dataclasses.replace(of_keras, sha256=sha256).load
    monkeypatch.setattr(keras_sets, f"load_{name}", load)


# MNIST: one .npz


def _put_into_cache(home, **arrays):
    (home / "datasets").mkdir()
    np.savez(home / "datasets" / "mnist.npz", **arrays)
    return home / "datasets" / "mnist.npz"


def _pretend_mnist(monkeypatch):
    """Arrays in the form of MNIST, which are taken for it."""
    arrays = {
        "x_train": _grey(6, 28, 28),
        "y_train": np.arange(6, dtype=np.uint8),
        "x_test": _grey(3, 28, 28, seed=1),
        "y_test": np.arange(3, dtype=np.uint8),
    }
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()
    _known_by(monkeypatch, "mnist", digest)
    return arrays


@pytest.mark.parametrize("name", ["auto", "mnist"])
def test_cached_mnist_is_used_without_the_network(keras_home, monkeypatch, name):
    arrays = _pretend_mnist(monkeypatch)
    path = _put_into_cache(keras_home, **arrays)
    _forbid_processes(monkeypatch)
    dataset = load_dataset(name)
    assert (dataset.name, dataset.key) == ("MNIST", "mnist")
    assert dataset.origin == f"MNIST, from {path}."
    assert dataset.licence == "MNIST (Y. LeCun, C. Cortes, C. J. C. Burges): CC BY-SA 3.0"
    np.testing.assert_array_equal(dataset.train.images[..., 0], arrays["x_train"])
    np.testing.assert_array_equal(dataset.test.labels, arrays["y_test"])
    assert dataset.test.labels.dtype == np.uint8 and dataset.class_names is None


def test_mnist_is_known_by_the_sum_of_its_published_arrays():
    expected = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
    assert keras_sets.MNIST.sha256 == expected


def test_mnist_is_known_however_it_was_packed(keras_home, monkeypatch):
    arrays = _pretend_mnist(monkeypatch)
    (keras_home / "datasets").mkdir()
    reversed_order = dict(reversed(arrays.items()))
    np.savez_compressed(keras_home / "datasets" / "mnist.npz", **reversed_order)
    assert load_dataset("mnist").name == "MNIST"


DAMAGES = {
    "text": lambda path, arrays: path.write_text("<html>404</html>"),
    "truncated": lambda path, arrays: path.write_bytes(path.read_bytes()[:3000]),
    "other pixels": lambda path, arrays: np.savez(path, **{**arrays, "x_train": arrays["x_test"]}),
    "lacks labels": lambda path, arrays: np.savez(path, x_train=arrays["x_train"]),
    "nothing": lambda path, arrays: np.savez(path),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_cached_mnist_is_refused_and_left_as_it_is(keras_home, monkeypatch, damage):
    arrays = _pretend_mnist(monkeypatch)
    path = _put_into_cache(keras_home, **arrays)
    damage(path, arrays)
    before = path.read_bytes()
    _forbid_processes(monkeypatch)
    with pytest.raises(UserError, match=f"{path}.*(?s:.*)--dataset=digits"):
        load_dataset("mnist")
    assert path.read_bytes() == before


# Fashion-MNIST: four files of bytes with a header


def _idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def _fashion(home):
    """Six and three images in the cache, as Keras keeps them."""
    arrays = [_grey(6, 28, 28), np.arange(6) + 4, _grey(3, 28, 28, seed=1), np.array([9, 0, 3])]
    folder = home / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    for name, array in zip(keras_files.IDX_FILES, arrays, strict=True):
        (folder / name).write_bytes(_idx(array.astype(np.uint8)))
    return folder, arrays


def test_cached_fashion_mnist_is_what_keras_reads(keras_home, monkeypatch):
    folder, (images, labels, *_) = _fashion(keras_home)
    _forbid_processes(monkeypatch)
    dataset = load_dataset("fashion_mnist")
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(keras_home))
    (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    np.testing.assert_array_equal(x_train, images)
    for split, of_keras in ((dataset.train, (x_train, y_train)), (dataset.test, (x_test, y_test))):
        np.testing.assert_array_equal(split.images[..., 0], of_keras[0])
        np.testing.assert_array_equal(split.labels, of_keras[1])
        assert split.labels.dtype == np.int64 and split.images.flags.writeable
    assert (dataset.name, dataset.key) == ("Fashion-MNIST", "fashion_mnist")
    assert dataset.origin == f"Fashion-MNIST, from {folder}." and "MIT" in dataset.licence
    assert [dataset.class_names[label] for label in dataset.test.labels] == [
        "Ankle boot", "T-shirt/top", "Dress",
    ]  # fmt: skip


FASHION_DAMAGES = {
    "text": lambda data: b"<html>404</html>",
    "truncated": lambda data: data[:-40],
    "no sum": lambda data: data[:-8] + bytes(8),
    "other kind": lambda data: gzip.compress(b"\0\0\x0d" + gzip.decompress(data)[3:]),
    "fewer": lambda data: gzip.compress(gzip.decompress(data)[:-1]),
    "more": lambda data: gzip.compress(gzip.decompress(data) + b"\0"),
    "header alone": lambda data: gzip.compress(gzip.decompress(data)[:6]),
    "nothing": lambda data: b"",
}


@pytest.mark.parametrize("name", keras_files.IDX_FILES[:2])
@pytest.mark.parametrize("damage", FASHION_DAMAGES.values(), ids=FASHION_DAMAGES)
def test_damaged_cached_fashion_mnist_is_refused(keras_home, monkeypatch, damage, name):
    path = _fashion(keras_home)[0] / name
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    _forbid_processes(monkeypatch)
    with pytest.raises(UserError, match=f"{path}: .*(?s:.*)--dataset=digits"):
        load_dataset("fashion_mnist")
    assert path.read_bytes() == before


def test_files_of_fashion_mnist_that_do_not_fit_each_other_are_refused(keras_home):
    folder, _ = _fashion(keras_home)
    (folder / keras_files.IDX_FILES[1]).write_bytes(_idx(np.zeros(5, np.uint8)))
    with pytest.raises(UserError, match="one label for each of the 6 images"):
        load_dataset("fashion_mnist")


# CIFAR: an archive of pickles


def _archive(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, contents in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _cifar10(path):
    """Ten training and two test images as published; their pixels [N, 3072] and labels."""
    pixels, labels = _grey(12, 3072), np.array([3, 9, 0, 1, 2, 4, 5, 6, 7, 8, 0, 3])
    folder = "cifar-10-batches-py"
    members = {f"{folder}/readme.html": b"<html>"}
    for i in reversed(range(5)):  # the archive need not have them in their order
        part = slice(2 * i, 2 * i + 2)
        members[f"{folder}/data_batch_{i + 1}"] = python_2_pickle(pixels[part], labels[part])
    members[f"{folder}/test_batch"] = python_2_pickle(pixels[10:], labels[10:])
    names = [name.encode() for name in CIFAR_CLASSES]
    members[f"{folder}/batches.meta"] = pickle.dumps({b"label_names": names}, 4)
    return _archive(path, members), pixels, labels


@pytest.fixture(params=["cifar-10-batches-py-target_archive", "cifar-10-batches-py.tar.gz"])
def cifar10(keras_home, monkeypatch, request):
    (keras_home / "datasets").mkdir()
    path = keras_home / "datasets" / request.param
    digest, pixels, labels = _cifar10(path)
    _known_by(monkeypatch, "cifar10", digest)
    _forbid_processes(monkeypatch)
    return path, pixels, labels


def test_cached_cifar10_is_read_from_its_archive(cifar10):
    path, pixels, labels = cifar10
    dataset = load_dataset("cifar10")
    assert (dataset.name, dataset.key, dataset.origin) == (
        "CIFAR-10", "cifar10", f"CIFAR-10, from {path}.",
    )  # fmt: skip
    assert dataset.class_names == CIFAR_CLASSES and "no licence" in dataset.licence
    images = np.concatenate([dataset.train.images, dataset.test.images])
    assert images.shape == (12, 32, 32, 3) and len(dataset.test.images) == 2
    for channel in range(3):  # stored one after the other, each row by row
        plane = pixels[:, 1024 * channel : 1024 * (channel + 1)].reshape(12, 32, 32)
        np.testing.assert_array_equal(images[..., channel], plane)
    np.testing.assert_array_equal(np.concatenate([dataset.train.labels, dataset.test.labels]),
                                  labels)  # fmt: skip
    assert _names(path.parent) == [path.name]


def test_cifar10_is_read_as_keras_reads_it(cifar10, keras_home, monkeypatch):
    """Keras wants 10,000 images in each batch, so its function for one batch is asked."""
    from keras.src.datasets.cifar import load_batch

    path, _, _ = cifar10
    with tarfile.open(path) as archive:
        archive.extractall(keras_home)  # made by the fixture; Python 3.11.2 knows no filter yet
    images, labels = load_batch(keras_home / "cifar-10-batches-py" / "test_batch")
    test = load_dataset("cifar10").test
    np.testing.assert_array_equal(test.images, images.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(test.labels, labels)


CIFAR_DAMAGES = {
    "text": (lambda data: b"<html>404</html>", False, "does not hold CIFAR-10 as it was published"),
    "one byte": (lambda data: data + b"\0", False, "does not hold CIFAR-10 as it was published"),
    "no archive": (lambda data: b"<html>404</html>", True, "cannot be read"),
    "truncated": (lambda data: data[:-4000], True, "cannot be read"),
}


@pytest.mark.parametrize(
    ("damage", "is_taken_for_it", "message"), CIFAR_DAMAGES.values(), ids=CIFAR_DAMAGES
)
def test_damaged_cached_cifar10_is_refused(cifar10, monkeypatch, damage, is_taken_for_it, message):
    path, _, _ = cifar10
    path.write_bytes(damage(path.read_bytes()))
    if is_taken_for_it:
        _known_by(monkeypatch, "cifar10", hashlib.sha256(path.read_bytes()).hexdigest())
    before = path.read_bytes()
    with pytest.raises(UserError, match=f"{path}.* {message}.*(?s:.*)--dataset=digits"):
        load_dataset("cifar10")
    assert path.read_bytes() == before


def test_cifar100_has_the_names_of_its_100_classes(keras_home, monkeypatch):
    (keras_home / "datasets").mkdir()
    pixels = _grey(5, 3072)
    batches = {
        "train": {b"data": pixels[:3], b"fine_labels": [99, 0, 7], b"coarse_labels": [1, 1, 1]},
        "test": {b"data": pixels[3:], b"fine_labels": [8, 8], b"coarse_labels": [1, 1]},
        "meta": {b"fine_label_names": [name.encode() for name in FINE_CLASSES]},
    }
    members = {f"cifar-100-python/{name}": pickle.dumps(batch, 4) for name, batch in
               batches.items()}  # fmt: skip
    path = keras_home / "datasets" / "cifar-100-python-target_archive"
    _known_by(monkeypatch, "cifar100", _archive(path, members))
    dataset = load_dataset("cifar100")
    assert (dataset.name, dataset.key) == ("CIFAR-100", "cifar100")
    assert dataset.class_names == FINE_CLASSES
    assert dataset.train.labels.tolist() == [99, 0, 7] and dataset.test.labels.tolist() == [8, 8]
    np.testing.assert_array_equal(dataset.test.images[1, 0, :, 2], pixels[4, 2048:2080])


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_archives_are_known_by_the_sums_and_names_that_keras_has(name):
    module = getattr(keras.datasets, name)
    code = Path(module.load_data.__code__.co_filename).read_text()
    ours = getattr(keras_sets, name.upper())
    assert ours.sha256 in code
    assert f'"{ours.places[0][0].removesuffix("_archive")}"' in code


# Downloads


def test_download_goes_into_the_cache(keras_home, monkeypatch):
    arrays = _pretend_mnist(monkeypatch)

    def download(command, env, timeout, **_):
        assert timeout == 300 and "keras.datasets.mnist.load_data()" in command[-1]
        _put_into_cache(Path(env["KERAS_HOME"]), **arrays)

    monkeypatch.setattr(subprocess, "run", download)
    assert load_dataset("mnist").name == "MNIST"
    assert _names(keras_home / "datasets") == ["mnist.npz"]


def test_downloads_of_several_files_replace_none_that_is_there(keras_home, monkeypatch):
    folder, _ = _fashion(keras_home)
    own = folder / keras_files.IDX_FILES[0]
    (folder / keras_files.IDX_FILES[2]).unlink()
    own.write_bytes(_idx(np.full((6, 28, 28), 77, np.uint8)))

    def download(command, env, **_):
        assert "keras.datasets.fashion_mnist.load_data()" in command[-1]
        _fashion(Path(env["KERAS_HOME"]))

    monkeypatch.setattr(subprocess, "run", download)
    dataset = load_dataset("fashion_mnist")
    assert np.all(dataset.train.images == 77) and len(dataset.test.images) == 3
    assert sorted(_names(folder)) == sorted(keras_files.IDX_FILES)
    assert _names(keras_home / "datasets") == ["fashion-mnist"]


def test_archives_are_kept_without_what_keras_has_unpacked(keras_home, monkeypatch):
    def download(command, env, timeout, **_):
        place = Path(env["KERAS_HOME"]) / "datasets"
        (place / "cifar-10-batches-py-target").mkdir(parents=True)
        digest, *_ = _cifar10(place / "cifar-10-batches-py-target_archive")
        seen.append((digest, timeout))

    seen = []
    monkeypatch.setattr(subprocess, "run", download)
    with pytest.raises(UserError, match="does not hold CIFAR-10"):
        load_dataset("cifar10")
    assert _names(keras_home / "datasets") == ["cifar-10-batches-py-target_archive"]
    assert seen[0][1] == 1800
    _known_by(monkeypatch, "cifar10", seen[0][0])
    assert len(load_dataset("cifar10").train.images) == 10 and len(seen) == 1


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
@pytest.mark.parametrize(
    "error",
    [
        subprocess.TimeoutExpired("python", 1),
        subprocess.CalledProcessError(1, "python"),
        OSError("no more processes"),
        None,
    ],
)
def test_failed_downloads_leave_nothing_and_say_how_to_get_on(keras_home, monkeypatch, error, name):
    _forbid_processes(monkeypatch, error)
    if error is None:  # the process ends well and has brought nothing
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    message = "(?s)is not in the Keras cache and cannot be downloaded.*--data_path=.*--dataset=dig"
    with pytest.raises(UserError, match=message):
        load_dataset(name)
    assert _names(keras_home / "datasets") == []


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_without_a_network_data_sets_are_refused_soon(keras_home, monkeypatch, name):
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be downloaded"):
        load_dataset(name)
    assert _names(keras_home / "datasets") == []
