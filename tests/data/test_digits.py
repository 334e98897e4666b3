from pathlib import Path

import numpy as np

from cvae_tf.data import loading
from cvae_tf.data.datasets import fingerprint
from cvae_tf.data.loading import load_dataset


def test_digits_are_those_of_earlier_versions_and_say_whose_they_are(digits):
    """Else runs of theirs could not be resumed."""
    sha256 = "63656c17bf2563718ca1277a13ff7a4191674533eb23ef772f795a6306671e1b"
    assert fingerprint(digits) == sha256  # of all images
    with np.load(Path(loading.__file__).with_name("digits.npz")) as arrays:
        labels = arrays["labels"]
    np.testing.assert_array_equal(digits.test.labels, labels[1500:])
    np.testing.assert_array_equal(digits.train.labels, np.tile(labels[:1500], 16))
    assert digits.key == "digits"
    assert "Alpaydin" in digits.licence and "CC BY 4.0" in digits.licence


def test_the_seed_decides_the_variations_alone(digits, monkeypatch):
    monkeypatch.setattr(loading, "_COPIES", 2)  # of 16
    other = load_dataset("digits", seed=np.int64(1))
    np.testing.assert_array_equal(other.test.images, digits.test.images)
    ours, theirs = digits.train.images, other.train.images
    np.testing.assert_array_equal(ours[:1500], theirs[:1500])
    assert np.any(ours[1500:3000] != theirs[1500:], axis=(1, 2, 3)).all()
