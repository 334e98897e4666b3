"""Data sets from an .npz or .npy of the user's."""

import io
import os
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from folder_helpers import grey

from cvae_tf.core.errors import MissingPathError, UserError
from cvae_tf.data.datasets import fingerprint, load_npz, to_uint8, training_arrays
from cvae_tf.data.labels import read_labels
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
    assert (dataset.name, dataset.origin) == ('"mine.npz"', f"{tmp_path / 'mine.npz'}.")
    np.save(tmp_path / "mine.npy", np.asfortranarray(grey(12, 9, 8)))
    dataset = load_dataset(data_path=tmp_path / "mine.npy")
    assert fingerprint(dataset) == fingerprint(load(x_train=grey(12, 9, 8)))


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
    values = [*range(1500), *range(100)]  # which are no classes
    assert len(load(x_train=grey(1600, 2, 2), y_train=values).test.images) == 160
    for num, held_out in ((2, 1), (14, 1), (16, 2)):
        test = load(1, x_train=_numbered(num)).test
        assert len(test.images) == held_out and _numbers(test) != _numbers(dataset.test)


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


def test_what_is_in_memory_is_as_the_file(load, capsys):
    images, labels = grey(12, 9, 8), np.arange(12) % 3
    wanted, texts = load(x_train=images, y_train=labels), np.array(["ape", "bee", "cat"])[labels]
    pairs = tf.data.Dataset.from_tensor_slices((images, labels))
    deep = pairs.map(lambda image, label: (image[..., None], tf.one_hot(label, 3)))
    for x, y in (
        (images, labels.tolist()), (images[..., None] / 255, np.eye(3)[labels]),
        (images.tolist(), texts), (tf.constant(images), texts.astype(object)),
        (list(images), labels[:, None]), (deep, None),
        (pairs, None), (pairs.batch(5), None), (deep.batch(4, drop_remainder=True), None),
        (pairs.map(lambda image, label: image), pairs.map(lambda image, label: label)),
    ):  # fmt: skip
        dataset = load_dataset(arrays=training_arrays(x, y, None, None, None))
        assert fingerprint(dataset) == fingerprint(wanted) and dataset.key == "arrays"
        np.testing.assert_array_equal(dataset.train.labels, wanted.train.labels)
    said = capsys.readouterr().out
    assert said == 3 * "y_train: one-hot, taken as the numbers of 3 classes.\n"


LARGER = grey(6, 8, 8)
PAIRS = tf.data.Dataset.from_tensor_slices((LARGER, np.arange(6)))
NO_ARRAYS = [  # x_train, y_train, x_test, y_test, class_names
    (("a.npz",), "x_train is a str; .* a file or a folder is given by data_path"),
    (([LARGER[0], LARGER[0, 1:]],), "x_train is a list whose parts differ"),
    ((iter(LARGER),), "x_train is a .*iterator; give an array, a list or a tf.data.Dataset"),
    ((LARGER[..., :1],), r"\(6, 8, 1\), that of one image; x_train\[np.newaxis\]"),
    ((PAIRS.repeat(),), "has no end; leave repeat"), ((PAIRS, [1]), "labels of its own; leave y_t"),
    ((PAIRS.map(lambda image, label: {"image": image}),), "of dictionaries becomes so by x_train"),
    ((PAIRS.map(lambda *pair: tf.io.decode_png("none")),), "cannot be read to its end"),
    ((None, [1]), "y_train is given without x_train"), ((None, None, LARGER), "x_test is given wi"),
    ((LARGER, None, None, None, ["a"]), "class_names is given without y_train"),
    ((LARGER, [1, None] * 3), "y_train is object; labels must be numbers, texts or one-hot"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "message"), NO_ARRAYS, ids=range(len(NO_ARRAYS)))
def test_what_cannot_be_arrays_is_refused_in_a_line(given, message):
    with pytest.raises(UserError, match=message) as refusal:
        load_dataset(arrays=training_arrays(*given, *[None] * (5 - len(given))))
    assert len(str(refusal.value).splitlines()) == 1 and "[[" not in str(refusal.value)


def _packed(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"")
    return file.getvalue()


CUT_OFF = _packed("x_train.npy")[:50]
OTHERS = "not a picture, an .npz or .npy, or a damaged one; give a folder of pictures, or write"
CONTENTS = {  # what a file of some name holds, and the beginning of what is said of it
    "cut_off.npz": (CUT_OFF, "cannot be read as arrays"),
    "pictures.zip": (_packed("cat"), "an archive; unpack it"),
    "cut_off.zip": (CUT_OFF, "an archive; unpack it"),
    "pictures.tar.gz": (b"\x1f\x8b\x08", "an archive; unpack it"),
    "a.PNG": (b"\x89PNG\r\n", "one picture; give the folder that holds all of them"),
    "page.npz": (b"\n <!DOCTYPE html><p>", "a web page; download the file itself"),
    "empty.npz": (b"", "empty; it may not have been copied"),
    "pickle.npz": (b"\x80\4\x95", OTHERS),
    "a.pt": (_packed("data.pkl"), "holds no array x_train; it holds data.pkl"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_each_kind_of_file_that_holds_no_arrays_is_told_what_to_do(tmp_path, name):
    content, expected = CONTENTS[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        load_npz(path)
    assert str(error.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_known_without_being_opened(tmp_path):
    (tmp_path / "pictures.zip").touch()
    with pytest.raises(MissingPathError, match="no such file or folder"):
        load_npz(tmp_path / "picture.zip")
    os.mkfifo(tmp_path / "pipe")  # which could be waited for without an end
    with pytest.raises(UserError, match="pipe: not a picture"):
        load_npz(tmp_path / "pipe")


LEVELS = np.arange(256).reshape(1, 16, 16)


def _zeros(*shape):
    return np.zeros(shape, np.uint8)


def _ramp(low, high, dtype):
    return np.linspace(low, high, 256).reshape(1, 16, 16).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i8", "f2", "f8", ">f4"])
def test_whole_numbers_and_floats_become_the_nearest_of_256_levels(dtype):
    levels = _ramp(0, 1, dtype) if "f" in dtype else LEVELS.astype(dtype)
    images = to_uint8(levels, "images")
    assert images.dtype == np.uint8 and images.shape == (1, 16, 16, 1)
    np.testing.assert_array_equal(images.ravel(), np.arange(256))
    assert np.shares_memory(images, levels) == (dtype == "u1")


def test_true_is_white_in_any_shape_that_is_in_order():
    drawn = np.arange(5 * 3 * 9 * 3).reshape(5, 3, 9, 3) % 2 > 0
    for bits in (drawn, np.ones((2, 9, 8), bool), np.zeros((2, 9, 8, 7), bool)):
        images = to_uint8(bits, "images").reshape(bits.shape)
        np.testing.assert_array_equal(images, np.where(bits, 255, 0))


REFUSED = [
    (_zeros(5, 3, 32, 32), "the shape (5, 3, 32, 32); it must be [N, H, W] or [N, H, W, C]"),
    (_zeros(500, 784), "x.reshape(-1, height, width) makes images of rows"),
    (_zeros(0, 8, 8), "the shape (0, 8, 8); it must be"),
    (LEVELS - 1, "int64 with values from -1 to 254; it must be whole numbers from 0"),
    (LEVELS + 1, "int64 with values from 1 to 256; it must be whole numbers from 0"),
    (_ramp(0, 255, "f4"), "such as x / 255;"),
    (_ramp(-0.97, 0.95, "f4"), "(x + 1) / 2"),
    (LEVELS % 2, "int64 with values from 0 to 1;"),
    (np.array([[[0.5, np.nan]]]), "values from nan to nan; it must be whole"),
]


@pytest.mark.parametrize(("images", "reason"), REFUSED, ids=str)
def test_other_orders_and_ranges_are_refused_with_what_to_do(images, reason):
    with pytest.raises(UserError) as error:
        to_uint8(images, "photos")
    assert reason in str(error.value) and str(error.value).startswith("photos ")


def test_labels_are_one_for_each_image_and_whole_floats_whole_numbers():
    for values, wanted in (
        (np.array([[7.0], [-2.0], [0.0]], ">f8"), ["7", "-2", "0"]),
        ([7.0, np.nan, np.inf], ["7.0", "nan", "inf"]),
    ):
        (labels,), _ = read_labels({"y": (np.array(values), 3)}, None, "")
        assert [str(label) for label in labels] == wanted
    for shape in ((), (5,), (4, 2), (1, 4)):
        with pytest.raises(UserError, match="a.npz: y has the shape .* label for each of the 4"):
            read_labels({"y": (np.zeros(shape), 4)}, None, "a.npz: ")
