import hashlib
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data import datasets
from cvae_tf.data.datasets import load_dataset, load_npz
from cvae_tf.training.run_directory import describe_data


def _grey(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def _save(directory, **arrays):
    np.savez(directory / "mine.npz", **arrays)
    return directory / "mine.npz"


# A user's own file


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_uint8_images_are_taken_as_they_are(tmp_path, channels):
    train, test = _grey(5, 4, 6, *channels), _grey(3, 4, 6, *channels, seed=1)
    dataset = load_npz(_save(tmp_path, x_train=train, x_test=test))
    assert dataset.image_shape == (4, 6, *(channels or (1,)))
    np.testing.assert_array_equal(dataset.train.images.ravel(), train.ravel())
    np.testing.assert_array_equal(dataset.test.images.ravel(), test.ravel())
    assert dataset.train.labels is None and dataset.test.labels is None
    assert (dataset.name, str(tmp_path / "mine.npz") in dataset.origin) == ("mine.npz", True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_become_the_nearest_of_256_levels(tmp_path, dtype):
    levels = np.linspace(0, 1, 256).astype(dtype).reshape(1, 16, 16)
    dataset = load_npz(_save(tmp_path, x_train=levels, x_test=levels))
    assert dataset.train.images.dtype == np.uint8
    np.testing.assert_array_equal(dataset.train.images.ravel(), np.arange(256))


def test_labels_come_with_their_images(tmp_path):
    path = _save(tmp_path, x_train=_grey(4, 3, 3), y_train=[3, 1, 4, 1], x_test=_grey(2, 3, 3),
                 y_test=["five", "nine"])  # fmt: skip
    dataset = load_npz(path)
    assert dataset.train.labels.tolist() == [3, 1, 4, 1]
    assert dataset.test.labels.tolist() == ["five", "nine"]


def _held_out(tmp_path, num, seed):
    """Splits images whose every pixel is their number and whose label is 100 more."""
    numbers = np.arange(10, num + 10, dtype=np.uint8)
    images = np.tile(numbers[:, None, None], (1, 2, 2))
    return load_npz(_save(tmp_path, x_train=images, y_train=numbers + 100), seed)


@pytest.mark.parametrize(("num", "held_out"), [(50, 5), (2, 1), (14, 1), (16, 2)])
def test_a_tenth_of_a_lone_x_train_is_held_out(tmp_path, num, held_out):
    dataset = _held_out(tmp_path, num, seed=0)
    train, test = (split.images[:, 0, 0, 0] for split in (dataset.train, dataset.test))
    assert len(test) == held_out
    np.testing.assert_array_equal(np.sort([*train, *test]), np.arange(num) + 10)
    np.testing.assert_array_equal(dataset.train.labels, train + 100)
    np.testing.assert_array_equal(dataset.test.labels, test + 100)
    assert "held out" in dataset.origin


def test_the_seed_decides_what_is_held_out(tmp_path):
    held_out = [tuple(_held_out(tmp_path, 50, seed).test.labels) for seed in (0, 0, 1, 2)]
    assert held_out[0] == held_out[1]
    assert len(set(held_out)) == 3


_IMAGES = _grey(6, 4, 4)
_IMAGES[2, 1, 3] = 44
BAD_ARRAYS = {
    "no x_train": ({"x_test": _IMAGES}, "holds no array x_train"),
    "no image": ({"x_train": _IMAGES[:0]}, r"x_train is empty \(shape \(0, 4, 4\)\)"),
    "no pixel": ({"x_train": _IMAGES[:, :0]}, "x_train is empty"),
    "no test image": ({"x_train": _IMAGES, "x_test": _IMAGES[:0]}, "x_test is empty"),
    "flat": ({"x_train": _IMAGES.reshape(6, 16)}, r"x_train has the shape \(6, 16\); it must be"),
    "5-D": ({"x_train": _IMAGES[None, None]}, r"x_train has the shape \(1, 1, 6, 4, 4\)"),
    "scalar": ({"x_train": np.uint8(3)}, r"x_train has the shape \(\)"),
    "int64": ({"x_train": _IMAGES.astype(np.int64)}, "x_train is int64; it must be uint8"),
    "bool": ({"x_train": _IMAGES > 3}, "x_train is bool; it must be uint8"),
    "text": ({"x_train": _IMAGES.astype(str)}, "x_train is <U3; it must be uint8"),
    "complex": ({"x_train": _IMAGES * 1j}, "x_train is complex128; it must be uint8"),
    "up to 255.0": ({"x_train": _IMAGES * 1.0}, r"x_train has floats from .*lie in \[0, 1\]"),
    "below 0": ({"x_train": _IMAGES / 255 - 0.1}, "x_train has floats from -0.1"),
    "NaN": ({"x_train": np.where(_IMAGES == 44, np.nan, 0.5)}, "from nan to nan.*without NaN"),
    "infinity": ({"x_train": np.where(_IMAGES == 44, np.inf, 0.5)}, "from 0.5 to inf"),
    "0 and 1": ({"x_train": _IMAGES % 2}, "values 0 and 1 only; white must be 255"),
    "other size": ({"x_train": _IMAGES, "x_test": _grey(2, 5, 4)}, r"\(4, 4, 1\).*\(5, 4, 1\)"),
    "other channels": ({"x_train": _IMAGES, "x_test": _grey(2, 4, 4, 3)}, "must agree"),
    "few labels": ({"x_train": _IMAGES, "y_train": np.arange(5)}, r"y_train has the shape \(5,\)"),
    "one-hot": ({"x_train": _IMAGES, "y_train": np.eye(6)}, "one label for each of the 6 images"),
    "one image": ({"x_train": _IMAGES[:1]}, "x_train has one image"),
}  # fmt: skip


@pytest.mark.parametrize(("arrays", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_arrays_are_refused_with_the_file_and_the_reason(tmp_path, arrays, message):
    with pytest.raises(UserError, match=f"mine.npz: .*{message}"):
        load_npz(_save(tmp_path, **arrays))


def _object_array():
    array = np.empty(1, object)
    array[0] = [1]
    return array


def test_files_that_are_no_npz_or_hold_pickles_are_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere.npz: no such file"):
        load_dataset(data_path=str(tmp_path / "nowhere.npz"))
    (tmp_path / "mine.npz").write_bytes(pickle.dumps({"x_train": _IMAGES}))
    with pytest.raises(UserError, match="mine.npz: not an .npz"):
        load_dataset(data_path=str(tmp_path / "mine.npz"))
    np.savez(tmp_path / "mine.npz", allow_pickle=True, x_train=_object_array())
    with pytest.raises(UserError, match="pickled"):
        load_dataset(data_path=str(tmp_path / "mine.npz"))


def test_one_test_image_is_enough(tmp_path):
    dataset = load_npz(_save(tmp_path, x_train=_IMAGES[:1], x_test=_IMAGES[1:2]))
    assert len(dataset.train.images) == len(dataset.test.images) == 1


# The bundled digits


@pytest.fixture(scope="module")
def digits_of_seed_1():
    return load_dataset("digits", seed=1)


@pytest.fixture(scope="module")
def scans():
    with np.load(Path(datasets.__file__).with_name("digits.npz"), allow_pickle=False) as arrays:
        return arrays["images"].astype(float), arrays["labels"]


def test_digits_have_the_shapes_that_they_promise(digits):
    assert digits.train.images.shape == (24_000, 28, 28, 1)
    assert digits.test.images.shape == (297, 28, 28, 1)
    assert digits.train.images.dtype == digits.test.images.dtype == np.uint8
    assert digits.train.labels.shape == (24_000,) and digits.test.labels.shape == (297,)


def test_labels_of_digits_are_those_of_the_scans_again_and_again(digits, scans):
    labels = scans[1]
    np.testing.assert_array_equal(digits.test.labels, labels[1500:])
    for copy in np.split(digits.train.labels, 16):
        np.testing.assert_array_equal(copy, labels[:1500])
    assert set(labels.tolist()) == set(range(10))


def _standardised(images):
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def _areas(images):
    """Averages the 20 x 20 pixels in the middle over 8 x 8 equal areas."""
    middle = images[:, 4:24, 4:24, 0].astype(float)
    fine = middle.repeat(2, 1).repeat(2, 2)
    return fine.reshape(-1, 8, 5, 8, 5).mean(axis=(2, 4))


def test_images_show_the_scans_of_their_places(digits, scans):
    """Test images the last 297 scans, training images the first 1,500, in their order."""
    for images, first in ((digits.test.images, 1500), (digits.train.images[:300], 0)):
        alike = _standardised(_areas(images)) @ _standardised(scans[0]).T
        np.testing.assert_array_equal(alike.argmax(axis=1), first + np.arange(len(images)))


def test_test_digits_do_not_depend_on_the_seed(digits, digits_of_seed_1):
    np.testing.assert_array_equal(digits.test.images, digits_of_seed_1.test.images)


def test_first_1500_training_digits_are_unvaried(digits, digits_of_seed_1):
    unvaried, others = digits.train.images[:1500], digits.train.images[1500:]
    np.testing.assert_array_equal(unvaried, digits_of_seed_1.train.images[:1500])
    differ = np.any(others != digits_of_seed_1.train.images[1500:], axis=(1, 2, 3))
    assert differ.all()
    assert np.all(unvaried[:, :4] == 0) and np.all(unvaried[:, :, 24:] == 0)


def test_variations_of_a_digit_differ_but_resemble_it(digits):
    copies = digits.train.images.reshape(16, 1500, -1)[:, :100].astype(float)
    for copy in range(1, 16):
        assert np.all(np.any(copies[copy] != copies[copy - 1], axis=1))
        alike = np.sum(_standardised(copies[copy]) * _standardised(copies[0]), axis=1)
        assert 0.7 < alike.mean() < 0.97


def test_digits_are_a_pure_function_of_the_seed(digits_of_seed_1):
    again = load_dataset("digits", seed=1)
    np.testing.assert_array_equal(again.train.images, digits_of_seed_1.train.images)


def test_digits_lie_in_the_middle_in_white_on_black(digits):
    for images in (digits.train.images, digits.test.images):
        ink = images[..., 0].mean(axis=0) / 255
        places = np.arange(28)
        assert places @ ink.sum(axis=1) / ink.sum() == pytest.approx(13.5, abs=0.6)
        assert places @ ink.sum(axis=0) / ink.sum() == pytest.approx(13.5, abs=0.6)
        assert ink[[0, -1]].max() < 0.01 and ink[:, [0, -1]].max() < 0.01
    white = np.mean(digits.test.images > 127, axis=(1, 2, 3))
    assert white.min() > 0.05 and white.max() < 0.35


# MNIST


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
    monkeypatch.setattr(datasets, "_MNIST_SHA256", digest)
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
    assert dataset.name == "MNIST"
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


def test_auto_waits_less_then_takes_the_digits_and_says_so(keras_home, monkeypatch, digits):
    waits = []

    def run(*_, timeout, **__):
        waits.append(timeout)
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(datasets, "load_digits", lambda seed: digits)
    dataset = load_dataset("auto")
    assert waits == [30]
    assert dataset.name == "bundled digits"
    assert "bundled digits" in dataset.origin and "Not MNIST" in dataset.origin
    assert "cannot be downloaded" in dataset.origin


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


def test_auto_with_a_damaged_cache_names_it_and_takes_the_digits(keras_home, monkeypatch, digits):
    _put_into_cache(keras_home, x_train=_grey(2, 28, 28))
    monkeypatch.setattr(datasets, "load_digits", lambda seed: digits)
    assert "mnist.npz does not hold MNIST" in load_dataset("auto").origin


def test_arrays_stored_column_by_column_are_the_same_images(tmp_path, digits):
    images = digits.train.images[:20, ..., 0]
    np.savez(tmp_path / "rows.npz", x_train=images)
    np.savez(tmp_path / "columns.npz", x_train=np.asfortranarray(images))
    rows, columns = (load_npz(tmp_path / name) for name in ("rows.npz", "columns.npz"))
    np.testing.assert_array_equal(rows.train.images, columns.train.images)
    assert describe_data(rows)["sha256"] == describe_data(columns)["sha256"]
