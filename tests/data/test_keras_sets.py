import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data import mnist
from cvae_tf.data.datasets import load_dataset


def _grey(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


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
    monkeypatch.setattr(mnist, "_SHA256", digest)
    return arrays


def _names(directory):
    return [path.name for path in directory.iterdir()]


def _forbid_processes(monkeypatch, error=None):
    def run(*_, **__):
        raise error or AssertionError("no download may start")

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.parametrize("name", ["auto", "mnist"])
def test_cached_mnist_is_used_without_the_network(keras_home, monkeypatch, name):
    arrays = _pretend_mnist(monkeypatch)
    _put_into_cache(keras_home, **arrays)
    _forbid_processes(monkeypatch)
    dataset = load_dataset(name)
    assert (dataset.name, dataset.key) == ("MNIST", "mnist")
    assert "LeCun" in dataset.licence and "CC BY-SA 3.0" in dataset.licence
    np.testing.assert_array_equal(dataset.train.images[..., 0], arrays["x_train"])
    np.testing.assert_array_equal(dataset.test.labels, arrays["y_test"])


def test_mnist_is_known_however_it_was_packed(keras_home, monkeypatch):
    arrays = _pretend_mnist(monkeypatch)
    (keras_home / "datasets").mkdir()
    reversed_order = dict(reversed(arrays.items()))
    np.savez_compressed(keras_home / "datasets" / "mnist.npz", **reversed_order)
    assert load_dataset("mnist").name == "MNIST"


def test_download_goes_into_the_cache(keras_home, monkeypatch):
    arrays = _pretend_mnist(monkeypatch)

    def download(command, env, timeout, **_):
        assert timeout == 300
        _put_into_cache(Path(env["KERAS_HOME"]), **arrays)

    monkeypatch.setattr(subprocess, "run", download)
    assert load_dataset("mnist").name == "MNIST"
    assert _names(keras_home / "datasets") == ["mnist.npz"]


@pytest.mark.parametrize(
    "error",
    [
        subprocess.TimeoutExpired("python", 1),
        subprocess.CalledProcessError(1, "python"),
        OSError("no more processes"),
    ],
)
def test_failed_downloads_leave_nothing_and_say_how_to_get_on(keras_home, monkeypatch, error):
    _forbid_processes(monkeypatch, error)
    with pytest.raises(UserError, match="(?s)cannot be downloaded.*--data_path=.*--dataset=digits"):
        load_dataset("mnist")
    assert _names(keras_home / "datasets") == []


def test_without_a_network_mnist_is_refused_soon(keras_home, monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be downloaded"):
        load_dataset("mnist")


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
