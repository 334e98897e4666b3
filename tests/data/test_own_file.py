"""Data sets from an .npz or .npy of the user's."""

import numpy as np
import pytest
from folder_helpers import grey

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import fingerprint, load_npz
from cvae_tf.data.loading import load_dataset


def _numbered(num):
    """Images whose every pixel is their number."""
    return np.tile(np.arange(num, dtype=np.uint8)[:, None, None], (1, 2, 2)) + 100


def _numbers(split):
    return (split.images[:, 0, 0, 0] - 100).tolist()


@pytest.fixture
def load(tmp_path):
    def load_saved(seed=0, **arrays):
        np.savez(tmp_path / "mine.npz", **arrays)
        return load_npz(tmp_path / "mine.npz", seed)

    return load_saved


@pytest.mark.parametrize("channels", [(), (3,)])
def test_images_are_taken_as_they_are_also_of_an_npy(load, tmp_path, monkeypatch, channels):
    train, test = grey(1, 4, 6, *channels), grey(3, 4, 6, *channels, seed=1)
    load(x_train=train, x_test=test)
    monkeypatch.setenv("HOME", str(tmp_path))
    dataset = load_dataset(data_path="~/mine.npz")
    for split, wanted in ((dataset.train, train), (dataset.test, test)):
        np.testing.assert_array_equal(split.images, wanted.reshape(-1, *dataset.image_shape))
        assert split.labels is None
    assert (dataset.name, dataset.origin) == ("mine.npz", f"{tmp_path / 'mine.npz'}.")
    np.save(tmp_path / "mine.npy", np.asfortranarray(grey(12, 9, 8)))
    dataset = load_dataset(data_path=tmp_path / "mine.npy")
    assert fingerprint(dataset) == fingerprint(load(x_train=grey(12, 9, 8)))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_floats_become_the_nearest_of_256_levels(load, dtype):
    levels = np.linspace(0, 1, 256).astype(dtype).reshape(1, 16, 16)
    images = load(x_train=levels, x_test=levels).train.images
    np.testing.assert_array_equal(images.ravel(), np.arange(256))


def test_labels_and_names_of_classes_come_with_their_images(load, capsys):
    images = {"x_train": grey(3, 3, 3), "x_test": grey(1, 3, 3)}
    cda = {"class_names": ["c", "d", "a"]}
    for train, test, more, names, numbers in (
        ([[2], [0], [2]], [1], cda, ("c", "d", "a"), ([2, 0, 2], [1])),
        (["dog", "cat", "ape"], ["dog"], {}, ("ape", "cat", "dog"), ([2, 1, 0], [2])),
        ([3, 1, 4], [b"five"], {}, ("1", "3", "4", "five"), ([1, 0, 2], [3])),
        (["e\u0301", "f", "f"], ["\u00e9"], {}, ("f", "\u00e9"), ([1, 0, 0], [1])),
        ([[3], [0], [3]], [9], {}, None, ([3, 0, 3], [9])),  # the last of which is warned
    ):
        dataset = load(**images, y_train=train, y_test=test, **more)
        assert dataset.class_names == names
        assert (dataset.train.labels.tolist(), dataset.test.labels.tolist()) == numbers
    warned = capsys.readouterr().err
    assert "No image for training is of these classes of the test images: 9." in warned
    assert "No image for testing is of these classes: 0, 3." in warned


def test_the_seed_holds_out_the_same_tenth_from_version_to_version(load):
    """The orders are those of version 2e41088."""
    train = [6, 2, 13, 16, 3, 11, 10, 8, 0, 12, 7, 5, 18, 17, 14, 9, 1, 15]
    for labels in (np.arange(20) % 3, np.arange(20) / 7):
        dataset = load(np.int64(0), x_train=_numbered(20), y_train=labels)
        assert _numbers(dataset.train) == train and _numbers(dataset.test) == [4, 19]
        assert dataset.train.labels.tolist() == labels[train].tolist()
        assert dataset.test.labels.tolist() == labels[[4, 19]].tolist()
    dataset = load(x_train=_numbered(20), y_train=np.arange(20) == 19)  # the last of its class
    assert _numbers(dataset.test) == [4, 6] and _numbers(dataset.train) == [19, *train[1:]]
    for num, held_out in ((2, 1), (14, 1), (16, 2)):
        test = load(1, x_train=_numbered(num)).test
        assert len(test.images) == held_out and _numbers(test) != _numbers(dataset.test)


def test_no_class_loses_its_last_image(load):
    dataset = load(x_train=grey(300, 2, 2), y_train=np.repeat(np.arange(100), 3).astype(str))
    assert len(dataset.test.images) == 30 and len(np.unique(dataset.train.labels)) == 100
    values = [*range(1500), *range(100)]  # of which few are there twice
    assert len(load(x_train=grey(1600, 2, 2), y_train=values).test.images) == 160


IMAGES = grey(6, 4, 4)
BAD_ARRAYS = [
    ({"x_train": IMAGES.astype(str)}, "x_train is <U3; it must be whole numbers"),
    ({"x_train": IMAGES, "x_test": grey(2, 5, 4)}, r"\(4, 4, 1\).*\(5, 4, 1\); they must agree"),
    ({"x_train": IMAGES, "y_train": np.arange(5)}, r"y_train has the shape \(5,\)"),
    ({"x_train": IMAGES[:1]}, "x_train has one image"),
    ({"pixels": IMAGES, "kinds": np.arange(6)}, "holds no array x_train; it holds pixels, kinds. "
     r"Call .* x_train=data\['pixels'\]\)\."),
]  # fmt: skip


@pytest.mark.parametrize(("arrays", "message"), BAD_ARRAYS)
def test_bad_arrays_are_refused_with_the_file_and_the_reason(load, arrays, message):
    with pytest.raises(UserError, match=f"mine.npz: .*{message}"):
        load(**arrays)
