from pathlib import Path

import numpy as np

from cvae_tf.data import digits as bundled
from cvae_tf.data.datasets import fingerprint, load_dataset


def _standardised(images):
    flat = images.reshape(len(images), -1).astype(float)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def _areas(images):
    """Averages the 20 x 20 pixels in the middle over 8 x 8 equal areas."""
    fine = images[:, 4:24, 4:24, 0].astype(float).repeat(2, 1).repeat(2, 2)
    return fine.reshape(-1, 8, 5, 8, 5).mean(axis=(2, 4))


def test_digits_are_those_of_earlier_versions_and_say_whose_they_are(digits):
    """Else runs of theirs could not be resumed."""
    sha256 = "63656c17bf2563718ca1277a13ff7a4191674533eb23ef772f795a6306671e1b"
    assert fingerprint(digits) == sha256
    assert digits.key == "digits"
    assert "Alpaydin" in digits.licence and "CC BY 4.0" in digits.licence


def test_images_and_labels_are_those_of_the_scans(digits):
    """Test images the last 297 scans, training images 16 times the first 1,500, in their order."""
    with np.load(Path(bundled.__file__).with_name("digits.npz")) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    assert digits.train.images.shape == (24_000, 28, 28, 1)
    assert digits.test.images.shape == (297, 28, 28, 1)
    np.testing.assert_array_equal(digits.test.labels, labels[1500:])
    np.testing.assert_array_equal(digits.train.labels, np.tile(labels[:1500], 16))
    for found, first in ((digits.test.images, 1500), (digits.train.images[:300], 0)):
        alike = _standardised(_areas(found)) @ _standardised(images).T
        np.testing.assert_array_equal(alike.argmax(axis=1), first + np.arange(len(found)))


def test_the_seed_decides_the_variations_alone(digits, monkeypatch):
    monkeypatch.setattr(bundled, "_COPIES", 2)  # of 16
    other = load_dataset("digits", seed=np.int64(1))
    np.testing.assert_array_equal(other.test.images, digits.test.images)
    ours, theirs = digits.train.images, other.train.images
    np.testing.assert_array_equal(ours[:1500], theirs[:1500])
    assert np.any(ours[1500:3000] != theirs[1500:], axis=(1, 2, 3)).all()
    copies = ours.reshape(16, 1500, -1)[:, :100]
    for copy in copies[1:]:
        alike = np.sum(_standardised(copy) * _standardised(copies[0]), axis=1)
        assert 0.7 < alike.mean() < 0.97
