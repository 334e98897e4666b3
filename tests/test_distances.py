"""Distances between sets of features, against SciPy and slow ways; which features images have."""

import keras
import numpy as np
import pytest
import scipy.linalg

from cvae_tf import distances
from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.distances import Statistics, for_dataset, frechet_distance, statistics


def _gaussian(random, size, rank=None):
    factor = random.standard_normal((size, rank or size))
    return Statistics(random.standard_normal(size), factor @ factor.T)


@pytest.mark.parametrize("size", [1, 64])
def test_the_frechet_distance_is_that_of_the_matrix_root(size):
    random = np.random.default_rng(size)
    first, second = (_gaussian(random, size) for _ in range(2))
    root = scipy.linalg.sqrtm(first.covariance @ second.covariance).real
    expected = np.sum((first.mean - second.mean) ** 2) + np.trace(
        first.covariance + second.covariance - 2 * root
    )
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_equal_sets_have_no_frechet_distance_however_singular():
    random = np.random.default_rng(0)
    for rank in (1, 5, 32):
        own = _gaussian(random, 32, rank)
        assert frechet_distance(own, own) == pytest.approx(0, abs=1e-5 * np.trace(own.covariance))
    assert np.isnan(frechet_distance(own, Statistics(own.mean * np.nan, own.covariance)))


def test_statistics_are_those_of_numpy_in_float64():
    values = np.random.default_rng(1).normal(1000, 1, (500, 3)).astype(np.float32)
    found = statistics(values)
    np.testing.assert_allclose(found.mean, values.astype(np.float64).mean(axis=0))
    np.testing.assert_allclose(found.covariance, np.cov(values.astype(np.float64).T))
    np.testing.assert_array_equal(statistics(np.ones((1, 3))).covariance, np.zeros((3, 3)))


def _share(points, others, neighbours):
    """Of the paper: the share of points within the radius of one of the others."""
    between = np.linalg.norm(others[:, None] - others, axis=-1)
    radii = np.sort(between, axis=1)[:, neighbours]
    return np.mean((np.linalg.norm(points[:, None] - others, axis=-1) <= radii).any(axis=1))


def test_precision_and_recall_are_what_the_paper_says(monkeypatch):
    random = np.random.default_rng(0)
    real, drawn = random.standard_normal((60, 4)), 0.7 * random.standard_normal((45, 4)) + 1.2
    monkeypatch.setattr(distances, "_AT_ONCE", 7)
    found = distances.precision_recall(real, drawn)
    assert found == pytest.approx((_share(drawn, real, 3), _share(real, drawn, 3)))
    assert 0 < found.recall < found.precision < 1
    of_one_kind = distances.precision_recall(real, np.tile(real[:1], (20, 1)) + 1e-4)
    assert of_one_kind.precision == 1 and of_one_kind.recall < 0.05
    assert distances.precision_recall(real, real + 100) == (0, 0)
    assert distances.precision_recall(np.eye(2), np.eye(2)) == (1, 1)  # two images are enough


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache, and a training of few steps."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(distances, "_FEWEST_STEPS", 24)
    monkeypatch.setattr(distances, "_EPOCHS", {3: 2})
    return tmp_path / "keras"


def _small_network(image_shape, num_classes):
    """In the place of the convolutions of the real one."""
    images = keras.Input(image_shape)
    flat = keras.layers.Flatten()(images)
    units = (distances.NUM_FEATURES, num_classes)
    layers = [keras.layers.Dense(num, kernel_initializer="ones") for num in units]
    return keras.Model(images, [layer(flat) for layer in layers])


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
    "network", [_small_network, pytest.param(distances.build_classifier, marks=pytest.mark.slow)]
)
def test_a_classifier_is_trained_once_the_same_and_kept(cache, capsys, monkeypatch, network):
    monkeypatch.setattr(distances, "build_classifier", network)
    dataset = _dataset()
    first = for_dataset(dataset)
    assert " once, to compare images by it" in capsys.readouterr().out
    assert first.name == "classifier" and "knows 100.0 % of the test images" in first.title
    found = first.of(dataset.test.images)
    again = for_dataset(dataset)
    assert capsys.readouterr().out == "" and again.title == first.title
    np.testing.assert_array_equal(again.of(dataset.test.images), found)
    (path,) = cache.rglob("*.npz")
    path.write_bytes(b"nonsense")
    repeated = for_dataset(dataset)  # a damaged file is made again
    assert " once, to compare images by it" in capsys.readouterr().out
    np.testing.assert_array_equal(repeated.of(dataset.test.images), found)
    turned = dataset._replace(train=dataset.train._replace(labels=dataset.train.labels[::-1]))
    monkeypatch.setattr(distances, "fit_classifier", lambda *_: None)
    for_dataset(turned)  # other labels: another classifier
    assert len(list(cache.rglob("*.npz"))) == 2


def test_without_labels_a_random_network_tells_images_apart():
    dataset, is_upper = _dataset(labelled=False), np.arange(20) % 2 == 0
    found, again = (for_dataset(dataset) for _ in range(2))
    assert found.name == "random" and "random weights" in found.title
    values = found.of(dataset.test.images)
    np.testing.assert_array_equal(again.of(dataset.test.images), values)
    between = np.linalg.norm(values[is_upper].mean(axis=0) - values[~is_upper].mean(axis=0))
    assert between > 3 * values[is_upper].std(axis=0).mean()
    with pytest.raises(UserError, match="--features=classifier: the images .* have no labels"):
        for_dataset(dataset, "classifier")
