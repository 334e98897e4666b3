import pickle
from pathlib import Path

import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import fingerprint, load_dataset
from cvae_tf.data.own_file import load_npz


def _grey(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def _save(directory, **arrays):
    np.savez(directory / "mine.npz", **arrays)
    return directory / "mine.npz"


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
    assert dataset.class_names == ("1", "3", "4", "five", "nine")
    assert dataset.train.labels.tolist() == [1, 0, 2, 0]
    assert dataset.test.labels.tolist() == [3, 4]


def test_texts_become_numbers_of_classes_in_all_parts(tmp_path):
    labels = np.array(["dog", "cat", "dog", "ape"])
    train, test = _grey(4, 3, 3), _grey(2, 3, 3, seed=1)
    path = _save(tmp_path, x_train=train, y_train=labels, x_test=test, y_test=["cat", "dog"])
    dataset = load_npz(path)
    assert dataset.class_names == ("ape", "cat", "dog")
    assert dataset.train.labels.tolist() == [2, 1, 2, 0]
    assert dataset.test.labels.tolist() == [1, 2] and dataset.test.labels.dtype == np.int64
    path = _save(tmp_path, x_train=train, y_train=labels.astype(bytes))
    held_out = load_npz(path)
    assert held_out.class_names == dataset.class_names and len(held_out.test.labels) == 1


def test_names_of_classes_are_kept(tmp_path):
    labels = np.array([[2], [0], [2], [0]], np.uint8)
    path = _save(tmp_path, x_train=_grey(4, 3, 3), y_train=labels, x_test=_grey(2, 3, 3),
                 class_names=["cat", "dog", "ape"])  # fmt: skip
    dataset = load_npz(path)
    assert dataset.class_names == ("cat", "dog", "ape")
    assert dataset.train.labels.tolist() == [2, 0, 2, 0] and dataset.test.labels is None
    assert dataset.train.labels.dtype == np.int64


def test_names_change_no_fingerprint(tmp_path):
    images = {"x_train": _grey(4, 3, 3), "x_test": _grey(2, 3, 3)}
    plain = fingerprint(load_npz(_save(tmp_path, **images)))
    numbers = _save(tmp_path, **images, y_train=np.arange(4))
    assert fingerprint(load_npz(numbers)) == plain
    texts = _save(tmp_path, **images, y_train=["b", "a", "b", "a"])
    assert fingerprint(load_npz(texts)) == plain


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


def test_what_is_held_out_stays_the_same_from_version_to_version(tmp_path):
    """The orders are those of version 2e41088."""
    images = np.tile(np.arange(20, dtype=np.uint8)[:, None, None], (1, 2, 2)) + 100
    train = [6, 2, 13, 16, 3, 11, 10, 8, 0, 12, 7, 5, 18, 17, 14, 9, 1, 15]
    for labels in ({}, {"y_train": np.arange(20) % 3}, {"y_train": np.arange(20) / 7}):
        dataset = load_npz(_save(tmp_path, x_train=images, **labels), seed=0)
        assert (dataset.train.images[:, 0, 0, 0] - 100).tolist() == train
        assert (dataset.test.images[:, 0, 0, 0] - 100).tolist() == [4, 19]
    lone = {"y_train": np.arange(20) == 19}
    dataset = load_npz(_save(tmp_path, x_train=images, **lone), seed=0)
    assert (dataset.test.images[:, 0, 0, 0] - 100).tolist() == [4, 6]
    assert (dataset.train.images[:, 0, 0, 0] - 100).tolist() == [19, *train[1:]]


@pytest.mark.parametrize(
    ("labels", "num_test"),
    [
        (np.repeat(np.arange(100), 2), 20),
        (np.repeat(np.arange(100), 3).astype(str), 30),
        ([0, *range(99)], 1),  # all but one class have one image
    ],
)
def test_no_class_loses_its_last_image(tmp_path, labels, num_test):
    path = _save(tmp_path, x_train=_grey(len(labels), 2, 2), y_train=labels)
    for seed in range(5):
        dataset = load_npz(path, seed)
        assert len(dataset.test.images) == num_test
        assert len(np.unique(dataset.train.labels)) == len(np.unique(labels))


def test_values_are_held_out_as_they_come(tmp_path):
    """Of more than a thousand different ones few are there twice."""
    labels = np.concatenate([np.arange(1500), np.arange(100)])
    path = _save(tmp_path, x_train=_grey(1600, 2, 2), y_train=labels)
    assert len(load_npz(path).test.images) == 160


@pytest.mark.parametrize(
    ("labels", "warning"),
    [
        ({"y_train": [0, 1, 1], "y_test": [0, 2]}, "classes of the test images: 2. No image for"),
        ({"y_train": ["a", "b", "b"], "y_test": ["a", "c"]}, "test images: c. No image for"),
        ({"y_train": [0, 0, 1], "y_test": [0, 0]}, "No image for testing is of these classes: 1."),
    ],
)
def test_classes_of_one_split_alone_are_named(tmp_path, capsys, labels, warning):
    load_npz(_save(tmp_path, x_train=_grey(3, 2, 2), x_test=_grey(2, 2, 2), **labels))
    assert warning in capsys.readouterr().err


def test_the_seed_decides_what_is_held_out(tmp_path):
    held_out = [tuple(_held_out(tmp_path, 50, seed).test.labels) for seed in (0, 0, 1, 2)]
    assert held_out[0] == held_out[1]
    assert len(set(held_out)) == 3


_IMAGES = _grey(6, 4, 4)
_IMAGES[2, 1, 3], _IMAGES[0, 0, :2] = 44, (0, 250)
BAD_ARRAYS = {
    "no x_train": ({"x_test": _IMAGES}, "holds no array x_train"),
    "no image": ({"x_train": _IMAGES[:0]}, r"x_train is empty \(shape \(0, 4, 4\)\)"),
    "no pixel": ({"x_train": _IMAGES[:, :0]}, "x_train is empty"),
    "no test image": ({"x_train": _IMAGES, "x_test": _IMAGES[:0]}, "x_test is empty"),
    "flat": ({"x_train": _IMAGES.reshape(6, 16)}, r"x_train has the shape \(6, 16\); it must be"),
    "5-D": ({"x_train": _IMAGES[None, None]}, r"x_train has the shape \(1, 1, 6, 4, 4\)"),
    "scalar": ({"x_train": np.uint8(3)}, r"x_train has the shape \(\)"),
    "int64": ({"x_train": _IMAGES.astype(np.int64) + 9}, "x_train has values from 9 to 2.."),
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
    "labels in a row": ({"x_train": _IMAGES, "y_train": np.zeros((1, 6))}, r"the shape \(1, 6\)"),
    "label without a name": (
        {"x_train": _IMAGES, "y_train": np.arange(6), "class_names": ["a", "b", "c", "d", "e"]},
        "has labels from 0 to 5; with 5 class_names they must be whole numbers from 0 to 4",
    ),
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
    with pytest.raises(UserError, match="mine.npz: a pickle, which may run any code"):
        load_dataset(data_path=str(tmp_path / "mine.npz"))
    np.savez(tmp_path / "mine.npz", allow_pickle=True, x_train=_object_array())
    with pytest.raises(UserError, match="pickled"):
        load_dataset(data_path=str(tmp_path / "mine.npz"))


def test_one_test_image_is_enough(tmp_path):
    dataset = load_npz(_save(tmp_path, x_train=_IMAGES[:1], x_test=_IMAGES[1:2]))
    assert len(dataset.train.images) == len(dataset.test.images) == 1


def test_arrays_stored_column_by_column_are_the_same_images(tmp_path, digits):
    images = digits.train.images[:20, ..., 0]
    np.savez(tmp_path / "rows.npz", x_train=images)
    np.savez(tmp_path / "columns.npz", x_train=np.asfortranarray(images))
    rows, columns = (load_npz(tmp_path / name) for name in ("rows.npz", "columns.npz"))
    np.testing.assert_array_equal(rows.train.images, columns.train.images)
    assert fingerprint(rows) == fingerprint(columns)


def test_labels_as_keras_stores_those_of_cifar_are_taken(tmp_path):
    labels = np.array([[3], [0], [9], [3], [1], [1]])
    dataset = load_npz(_save(tmp_path, x_train=_IMAGES, y_train=labels, x_test=_IMAGES[:2]))
    assert dataset.train.labels.tolist() == [3, 0, 9, 3, 1, 1]


@pytest.mark.parametrize("kind", [str, Path])
def test_paths_may_be_of_any_kind_and_are_remembered_from_anywhere(tmp_path, monkeypatch, kind):
    _save(tmp_path, x_train=_IMAGES, x_test=_IMAGES)
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "mine.npz") in load_dataset(data_path=kind("mine.npz")).origin
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    assert str(tmp_path / "mine.npz") in load_dataset(data_path=kind("~/mine.npz")).origin


def test_seeds_may_be_numbers_of_numpy(tmp_path):
    _save(tmp_path, x_train=_IMAGES)
    plain, numpy = (load_npz(tmp_path / "mine.npz", seed) for seed in (3, np.int64(3)))
    assert fingerprint(plain) == fingerprint(numpy)


def test_licence_of_own_images_is_theirs(tmp_path):
    dataset = load_dataset(data_path=_save(tmp_path, x_train=_IMAGES))
    assert dataset.licence == "that of the images, which are not part of cvae-tf"
    assert dataset.key is None


def test_names_that_are_no_letters_are_recorded_so_that_they_can_be_written(tmp_path):
    path = tmp_path / "mine\udcff.npz"
    np.savez(path, x_train=_IMAGES)
    dataset = load_dataset(data_path=path)
    assert dataset.name == "mine\\udcff.npz" and dataset.name in dataset.origin
    dataset.origin.encode()
