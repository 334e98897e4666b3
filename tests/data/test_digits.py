from pathlib import Path

import numpy as np
import pytest

from cvae_tf.data import digits as bundled
from cvae_tf.data.datasets import fingerprint, load_dataset


@pytest.fixture(scope="module")
def digits_of_seed_1():
    return load_dataset("digits", seed=1)


@pytest.fixture(scope="module")
def scans():
    with np.load(Path(bundled.__file__).with_name("digits.npz"), allow_pickle=False) as arrays:
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


def test_digits_are_those_of_earlier_versions(digits):
    """Else runs of theirs could not be resumed."""
    sha256 = "63656c17bf2563718ca1277a13ff7a4191674533eb23ef772f795a6306671e1b"
    assert fingerprint(digits) == sha256


def test_seeds_may_be_numbers_of_numpy(digits_of_seed_1):
    assert fingerprint(load_dataset("digits", seed=np.int64(1))) == fingerprint(digits_of_seed_1)


def test_digits_say_whose_they_are(digits):
    assert digits.key == "digits"
    assert "Alpaydin" in digits.licence and "CC BY 4.0" in digits.licence
