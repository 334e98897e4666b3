"""Features of images: which ones a data set gets, kept classifiers, random and Inception ones."""

import keras
import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.distances import classifier, features, inception, random_network


@pytest.fixture(autouse=True)
def short(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(classifier, "_FEWEST_STEPS", 40)


def _dataset(labelled=True, channels=1, num=60):
    """Bright upper or bright lower halves: classifiers see colours mirrored."""
    random = np.random.default_rng(0)
    splits = []
    for size in (num, 20):
        labels = np.arange(size) % 2
        images = random.integers(0, 60, (size, 12, 10, channels)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[6 * label : 6 * label + 6] += 150
        splits.append(Split(images, np.array(["upper", "lower"])[labels] if labelled else None))
    return Dataset("halves", "Invented.", *splits)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_classifier_is_trained_once_and_kept(tmp_path, capsys, channels):
    dataset = _dataset(channels=channels)
    first = features.for_dataset(dataset)
    assert "trained once" in capsys.readouterr().out
    assert first.name == "classifier" and "knows 100.0 % of the test images" in first.title
    again = features.for_dataset(dataset)
    assert capsys.readouterr().out == "" and again.title == first.title
    found = first.of(dataset.test.images)
    assert found.shape == (20, classifier.NUM_FEATURES)
    np.testing.assert_array_equal(found, again.of(dataset.test.images))
    grey = dataset.test.images.astype(np.float32) / 255
    np.testing.assert_allclose(first.of(grey), found, atol=1e-5)


def test_training_is_the_same_every_time_and_leaves_the_generators_alone(tmp_path, monkeypatch):
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    found = []
    for home in ("a", "b"):
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / home))
        found.append(features.for_dataset(_dataset()).of(_dataset().test.images))
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_a_damaged_file_is_made_again(tmp_path, capsys):
    features.for_dataset(_dataset())
    (path,) = (tmp_path / "keras").rglob("*.npz")
    path.write_bytes(b"nonsense")
    capsys.readouterr()
    features.for_dataset(_dataset())
    assert "trained once" in capsys.readouterr().out


def test_other_labels_are_another_classifier(tmp_path):
    dataset = _dataset()
    turned = dataset._replace(train=dataset.train._replace(labels=dataset.train.labels[::-1]))
    for each in (dataset, turned):
        features.for_dataset(each)
    assert len(list((tmp_path / "keras").rglob("*.npz"))) == 2


def test_without_labels_a_random_network_does():
    dataset = _dataset(labelled=False)
    found = features.for_dataset(dataset)
    assert found.name == "random" and "random weights" in found.title
    again = random_network.load(dataset).of(dataset.test.images)
    np.testing.assert_array_equal(found.of(dataset.test.images), again)
    with pytest.raises(UserError, match="--features=classifier: the images .* have no labels"):
        features.for_dataset(dataset, "classifier")


def test_random_features_tell_images_apart():
    dataset = _dataset()
    found = random_network.load(dataset).of(dataset.test.images)
    is_upper = dataset.test.labels == "upper"
    between = np.linalg.norm(found[is_upper].mean(axis=0) - found[~is_upper].mean(axis=0))
    assert between > 3 * found[is_upper].std(axis=0).mean()


def test_inception_that_cannot_be_had_is_an_error_in_a_line(monkeypatch):
    def unreachable(**options):
        raise ValueError("URL fetch failure\nmore")

    monkeypatch.setattr(keras.applications, "InceptionV3", unreachable)
    with pytest.raises(UserError, match="not in the Keras cache .*URL fetch failure[^\n]*$"):
        features.for_dataset(_dataset(), "inception")


def test_inception_sees_large_colours_in_its_range(monkeypatch):
    seen = []

    def network(images):
        seen.append(images)
        return images[:, 0, 0]

    monkeypatch.setattr(keras.applications, "InceptionV3", lambda **options: network)
    made = inception.load(_dataset())
    white = np.full((2, 12, 10, 1), 255, np.uint8)
    np.testing.assert_allclose(made.of(white), np.ones((2, 3)), atol=1e-6)
    assert seen[0].shape[1:] == (299, 299, 3)
