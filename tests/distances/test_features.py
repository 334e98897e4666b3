"""Features of images: which ones a data set gets, kept classifiers, random and Inception ones."""

from unittest.mock import Mock

import keras
import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.distances import classifier, features, inception


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache, and a training of few steps."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(classifier, "_FEWEST_STEPS", 24)
    monkeypatch.setattr(classifier, "_EPOCHS", {3: 2})
    return tmp_path / "keras"


def _small_network(image_shape, num_classes):
    """In the place of the convolutions of the real one."""
    images = keras.Input(image_shape)
    flat = keras.layers.Flatten()(images)
    values, logits = (
        keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(units))(flat)
        for units in (classifier.NUM_FEATURES, num_classes)
    )
    return keras.Model(images, [values, logits])


def _dataset(labelled=True):
    """Bright upper or bright lower halves, in colours: classifiers see those mirrored."""
    random, splits = np.random.default_rng(0), []
    for size in (60, 20):
        labels = np.arange(size) % 2
        images = random.integers(0, 60, (size, 8, 6, 3)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4 * label : 4 * label + 4] += 150
        splits.append(Split(images, np.array(["upper", "lower"])[labels] if labelled else None))
    return Dataset("halves", "Invented.", *splits)


@pytest.mark.parametrize(
    "network", [_small_network, pytest.param(classifier.build, marks=pytest.mark.slow)]
)
def test_a_classifier_is_trained_once_the_same_every_time_and_kept(
    cache, capsys, monkeypatch, network
):
    monkeypatch.setattr(classifier, "build", network)
    dataset = _dataset()
    first = features.for_dataset(dataset)
    assert "trained once" in capsys.readouterr().out
    assert first.name == "classifier" and "knows 100.0 % of the test images" in first.title
    found = first.of(dataset.test.images)
    assert found.shape == (20, classifier.NUM_FEATURES)
    again = features.for_dataset(dataset)
    assert capsys.readouterr().out == "" and again.title == first.title
    np.testing.assert_array_equal(again.of(dataset.test.images), found)
    (path,) = cache.rglob("*.npz")
    path.write_bytes(b"nonsense")
    repeated = features.for_dataset(dataset)  # a damaged file is made again
    assert "trained once" in capsys.readouterr().out
    np.testing.assert_array_equal(repeated.of(dataset.test.images), found)
    turned = dataset._replace(train=dataset.train._replace(labels=dataset.train.labels[::-1]))
    monkeypatch.setattr(classifier, "fit", lambda *_: None)
    features.for_dataset(turned)  # other labels: another classifier
    assert len(list(cache.rglob("*.npz"))) == 2


def test_without_labels_a_random_network_tells_images_apart():
    dataset, is_upper = _dataset(labelled=False), np.arange(20) % 2 == 0
    found, again = (features.for_dataset(dataset) for _ in range(2))
    assert found.name == "random" and "random weights" in found.title
    values = found.of(dataset.test.images)
    np.testing.assert_array_equal(again.of(dataset.test.images), values)
    between = np.linalg.norm(values[is_upper].mean(axis=0) - values[~is_upper].mean(axis=0))
    assert between > 3 * values[is_upper].std(axis=0).mean()
    with pytest.raises(UserError, match="--features=classifier: the images .* have no labels"):
        features.for_dataset(dataset, "classifier")


def test_inception_sees_large_colours_in_its_range_or_says_why_it_cannot_be_had(monkeypatch):
    white, seen = np.full((2, 8, 6, 1), 255, np.uint8), []

    def network(images):
        seen.append(images.shape)
        return images[:, 0, 0]

    monkeypatch.setattr(keras.applications, "InceptionV3", lambda **options: network)
    grey = _dataset()._replace(train=Split(white, None), test=Split(white, None))
    np.testing.assert_allclose(inception.load(grey).of(white), np.ones((2, 3)), atol=1e-6)
    assert seen[0][1:] == (299, 299, 3)
    unreachable = Mock(side_effect=ValueError("URL fetch failure\nmore"))
    monkeypatch.setattr(keras.applications, "InceptionV3", unreachable)
    with pytest.raises(UserError, match="not in the Keras cache .*URL fetch failure[^\n]*$"):
        features.for_dataset(grey, "inception")
