"""How far apart two sets of images are in features: Frechet distance, precision, recall.

Features are those of a network. For images without labels it has random weights, always the same.
With labels it is a small classifier, trained once for a data set and kept in the folder
`cvae-tf/classifiers` of the Keras cache (you may remove it; it is trained again when needed).

The Frechet distance is that between Gaussians: Heusel et al., "GANs trained by a two time-scale
update rule" (2017), equation 6. It is not called FID, which is a distance in the features of one
published network. Precision and recall say how many drawn images look real, and how much of what is
real is drawn: Kynkaanniemi et al., "Improved precision and recall metric for assessing generative
models" (2019).
"""

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core import files, paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key, layer_seed, numpy_generator
from cvae_tf.core.settings import find
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.core.terminal import progress, say
from cvae_tf.data import batches
from cvae_tf.data.batches import batch_slices
from cvae_tf.data.datasets import Dataset, Split, fingerprint
from cvae_tf.data.labels import MOST_CLASSES

MOST_IMAGES = 10_000  # of each kind: the distance depends on how many are compared
NEIGHBOURS = 3  # as in the paper on precision and recall
_AT_ONCE = 1000  # rows of a matrix of distances
_RANDOM_FILTERS = 32, 64, 64
NUM_FEATURES = 64  # of the classifier
_VERSION = 2  # of its recipe, so that classifiers of another one are not used
_SEED, _BATCH, _LEARNING_RATE = 0, 128, 3e-3
_EPOCHS = {1: 3, 3: 4}  # by channels: colours are harder than grey levels
_FEWEST_STEPS, _MOST_IMAGES = 500, 60_000  # in training; images in an epoch
_WEIGHTS, _ACCURACY = "weight_{:02d}", "accuracy"


class Features(NamedTuple):
    """Maps images to features, with their name."""

    name: str  # in `FEATURES`
    title: str  # for people: "those of a classifier of ... (99.0 % of the test images right)"
    function: Callable[[tf.Tensor], tf.Tensor]  # float32 [B, H, W, C] in [0, 1] -> [B, F]

    def of(self, images: Any, rows: np.ndarray | None = None) -> np.ndarray:
        """Finds the features [N, F] of images [N, H, W, C], or of those with these numbers."""
        rows = np.arange(len(images)) if rows is None else rows
        return self.of_parts(images[rows[own]] for own in batch_slices(len(rows), images.shape[1:]))

    def of_parts(self, parts: Iterable[np.ndarray]) -> np.ndarray:
        """Finds the features of images, uint8 or float32 in [0, 1], that come some at a time."""
        return np.concatenate([self.function(_grey(part)).numpy() for part in parts])


def _grey(images: np.ndarray | tf.Tensor) -> tf.Tensor:
    images = tf.convert_to_tensor(images)
    return tf.cast(images, tf.float32) / 255 if images.dtype == tf.uint8 else images


def load_random(dataset: Dataset) -> Features:
    """Makes features of a network with random weights."""
    title = "of a network with random weights, always the same"
    return Features("random", title, _graph(build_random(dataset.image_shape), dataset))


def _graph(function: Callable, dataset: Dataset) -> Callable:
    spec = tf.TensorSpec([None, *dataset.image_shape], tf.float32)
    return tf.function(function, [spec], autograph=False)


@usual_settings()
def build_random(image_shape: tuple[int, int, int]) -> keras.Model:
    """Builds the network: strided convolutions, with the mean and spread of each one's output."""
    images = keras.Input(image_shape)
    features, found = images - 0.5, []
    for number, filters in enumerate(_RANDOM_FILTERS):
        seed = layer_seed(_SEED, "random_features", f"conv_{number}")
        initializer = keras.initializers.Orthogonal(gain=2.0, seed=seed)
        options = {"activation": "leaky_relu", "kernel_initializer": initializer}
        features = keras.layers.Conv2D(filters, 4, 2, "same", **options)(features)
        found += [op(features, axis=(1, 2)) for op in (keras.ops.mean, keras.ops.std)]
    return keras.Model(images, keras.layers.Concatenate()(found))


def has_classes(dataset: Dataset) -> bool:
    """Whether a classifier can be trained on the labels: classes, not values."""
    train, test = dataset.train.labels, dataset.test.labels
    if train is None or test is None or train.dtype.kind == "f":
        return False
    return 2 <= len(np.unique(train)) <= min(MOST_CLASSES, len(train) // 2)


def load_classifier(dataset: Dataset) -> Features:
    """Takes the classifier of a data set from the cache, or trains it.

    Raises:
        UserError: if there are no labels of at least two classes.
    """
    if not has_classes(dataset):
        raise UserError(
            f"--features=classifier: the images ({dataset.name}) have no labels of at least two "
            "classes; give --features=random."
        )
    names, train, test = _numbered(dataset)
    network = build_classifier(dataset.image_shape, len(names))
    path = _path_of(dataset, train.labels)
    accuracy = _restore(path, network)
    if accuracy is None:
        say(f"Training a small classifier of {dataset.name} once, to compare images by it ...")
        with progress("classifier") as show:
            fit_classifier(network, train, show)
        accuracy = measure_accuracy(network, test)
        say(f"It classifies {100 * accuracy:.1f} % of the test images correctly.")
        with contextlib.suppress(UserError):  # without a cache it is trained again next time
            _keep(path, network, accuracy)
    knows = f"which knows {100 * accuracy:.1f} % of the test images"
    title = f"of a small classifier of {dataset.name}, {knows}"
    function = _graph(lambda images: network(images, training=False)[0], dataset)
    return Features("classifier", title, function)


def _numbered(dataset: Dataset) -> tuple[np.ndarray, Split, Split]:
    """Labels as class numbers; a class without training images gets an extra number."""
    names = np.unique(dataset.train.labels)
    splits = []
    for images, labels in (dataset.train, dataset.test):
        numbers = np.searchsorted(names, labels).clip(max=len(names) - 1)
        splits.append(Split(images, np.where(names[numbers] == labels, numbers, len(names))))
    return names, *splits


@usual_settings()
def build_classifier(image_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Builds the network: images [B, H, W, C] in [0, 1] to features [B, F] and logits [B, Y]."""
    layers, seeds = keras.layers, (layer_seed(_SEED, "classifier", str(i)) for i in range(10))

    def conv(filters: int, strides: int = 1, pooled: bool = False) -> list[keras.Layer]:
        initializer = keras.initializers.HeNormal(seed=next(seeds))
        convolution = layers.Conv2D(
            filters, 3, strides, "same", use_bias=False, kernel_initializer=initializer
        )
        # Before the normalisation, to which it leaves a quarter.
        pool = [layers.MaxPooling2D(padding="same")] if pooled else []
        return [convolution, *pool, layers.BatchNormalization(), layers.ReLU()]

    images = keras.Input(image_shape)
    result = images - 0.5
    side = max(image_shape[:2])
    while side > 64:  # larger images are reduced first
        result, side = layers.AveragePooling2D(padding="same")(result), side // 2
    for layer in (*conv(32, strides=2), *conv(64, pooled=True), *conv(96),
                  *conv(96, pooled=True), layers.Flatten()):  # fmt: skip
        result = layer(result)
    glorot = keras.initializers.GlorotUniform
    features = layers.Dense(
        NUM_FEATURES, activation="relu", kernel_initializer=glorot(seed=next(seeds))
    )(result)
    logits = layers.Dense(num_classes, kernel_initializer=glorot(seed=next(seeds)))(features)
    return keras.Model(images, [features, logits])


def _training_batches(split: Split, epochs: int, steps: int) -> Iterator[Split]:
    """Images with labels, shuffled in each epoch."""
    random, num = numpy_generator(_SEED, Purpose.CLASSIFIER), len(split.images)
    size = min(_BATCH, num)
    for _ in range(epochs):
        orders = [random.permutation(num) for _ in range(math.ceil(steps * size / num))]
        order = np.concatenate(orders)
        for step in range(steps):
            rows = order[step * size : (step + 1) * size]
            yield Split(split.images[rows], split.labels[rows])


def _varied(images: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Mirrors colour images at random, and shifts a whole batch by up to two pixels each way."""
    if images.shape[-1] == 3:
        images = batches.mirror(images, _SEED, number)
    padded = tf.pad(images, [[0, 0], [2, 2], [2, 2], [0, 0]], mode="SYMMETRIC")
    key = derived_key(_SEED, Purpose.CLASSIFIER, number)
    top, left = tf.unstack(tf.random.stateless_uniform([2], key, 0, 5, tf.int32))
    return tf.slice(padded, [0, top, left, 0], images.shape)


def fit_classifier(network: keras.Model, split: Split, show: Any) -> None:
    """Trains the network on images with numbers of classes; the same every time."""
    epochs = _EPOCHS[split.images.shape[-1]]
    per_epoch = min(len(split.images), _MOST_IMAGES) // min(_BATCH, len(split.images))
    steps = max(per_epoch, math.ceil(_FEWEST_STEPS / epochs))
    total = epochs * steps
    learner = _learner(network, total)

    @tf.function(autograph=False)
    def train(images, labels, number):  # which is faster than Keras' `fit`
        learner.train_step((_varied(batches.to_unit_floats(images), number), labels))

    for number, batch in enumerate(_training_batches(split, epochs, steps)):
        train(*batch, tf.constant(number))
        show((number + 1) / total)


@usual_settings()
def _learner(network: keras.Model, steps: int) -> keras.Model:
    """The network with only the logits, compiled for this number of steps."""
    learner = keras.Model(network.inputs[0], network.outputs[1])
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=_LEARNING_RATE, warmup_steps=steps // 10
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(keras.optimizers.Adam(schedule), loss, jit_compile=False)
    learner.optimizer.build(learner.trainable_variables)  # else the first step is traced twice
    return learner


def measure_accuracy(network: keras.Model, split: Split) -> float:
    """The share of images that the network classifies correctly."""
    right = 0
    for own in batch_slices(len(split.images), split.images.shape[1:]):
        logits = network(batches.to_unit_floats(tf.constant(split.images[own])), training=False)[1]
        right += int(np.sum(np.argmax(logits, axis=1) == split.labels[own]))
    return right / len(split.images)


def _path_of(dataset: Dataset, labels: np.ndarray) -> Path:
    digest = hashlib.sha256(f"{_VERSION} {fingerprint(dataset)}".encode())
    digest.update(labels.astype("<i8").tobytes())
    return paths.keras_home() / "cvae-tf" / "classifiers" / f"{digest.hexdigest()[:32]}.npz"


def _keep(path: Path, network: keras.Model, accuracy: float) -> None:
    weights = {_WEIGHTS.format(i): weight for i, weight in enumerate(network.get_weights())}
    with files.replacing(path) as temporary:
        np.savez(temporary, **{_ACCURACY: accuracy}, **weights)


def _restore(path: Path, network: keras.Model) -> float | None:
    """Loads the stored weights; returns their accuracy, or None if there are none."""
    names = [_WEIGHTS.format(i) for i in range(len(network.weights))]
    try:
        arrays = files.read_npz(path, (_ACCURACY, *names))
        network.set_weights([arrays[name] for name in names])
        return float(arrays[_ACCURACY])
    except (UserError, KeyError, TypeError, ValueError):
        return None


FEATURES = {"classifier": load_classifier, "random": load_random}


def for_dataset(dataset: Dataset, name: str = "auto") -> Features:
    """Makes or loads features that suit a data set.

    Args:
        dataset: whose images are compared.
        name: one of `FEATURES`; or "auto": of a classifier if the images have labels of at
            least two classes, else of a random network.

    Raises:
        UserError: if the name is unknown, or such features cannot be made.
    """
    if name == "auto":
        name = "classifier" if has_classes(dataset) else "random"
    return find("features", FEATURES, name)(dataset)


class Statistics(NamedTuple):
    """Mean and covariance of features, in float64."""

    mean: np.ndarray  # [F]
    covariance: np.ndarray  # [F, F]


def statistics(features: np.ndarray) -> Statistics:
    """Describes features [N, F] of N images by a Gaussian; a single image has no covariance."""
    features = np.asarray(features, np.float64)
    mean = features.mean(axis=0)
    centred = features - mean
    return Statistics(mean, centred.T @ centred / max(len(features) - 1, 1))


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """The squared Frechet distance between two Gaussians, >= 0.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). The eigenvalues of C1 C2 are those of the symmetric
    C1^(1/2) C2 C1^(1/2), which has real roots even if the covariances are nearly singular.
    """
    if not all(np.isfinite(part).all() for part in (*first, *second)):
        return float("nan")
    root = _symmetric_root(first.covariance)
    eigenvalues = np.linalg.eigvalsh(root @ second.covariance @ root)
    of_root = np.sqrt(eigenvalues.clip(min=0)).sum()
    of_means = np.sum((first.mean - second.mean) ** 2)
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    return max(float(of_means + traces - 2 * of_root), 0.0)


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    """The square root of a symmetric matrix that has negative eigenvalues only by rounding."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


class PrecisionRecall(NamedTuple):
    """Shares from 0 to 1."""

    precision: float  # of drawn images that lie among real ones
    recall: float  # of real images that lie among drawn ones


def precision_recall(real: np.ndarray, drawn: np.ndarray) -> PrecisionRecall:
    """Compares real and drawn images by their features, [N, F] and [M, F].

    An image lies among others if one of them has it within the distance of its own third neighbour
    (equation 1 of the paper), or its last if there are fewer others.
    """
    real, drawn = (tf.constant(features, tf.float32) for features in (real, drawn))
    return PrecisionRecall(
        _share_among(drawn, real, _radii(real)), _share_among(real, drawn, _radii(drawn))
    )


def _radii(features: tf.Tensor) -> tf.Tensor:
    """The squared distance of each image from its third neighbour, [N]."""
    nearest = min(NEIGHBOURS, len(features) - 1) + 1  # the image itself is the first
    parts = _in_parts(features, features)
    return tf.concat([-tf.math.top_k(-part, nearest)[0][:, -1] for part in parts], axis=0)


def _share_among(features: tf.Tensor, others: tf.Tensor, radii: tf.Tensor) -> float:
    """The share of images [N, F] that lie within the radius [M] of one of the others [M, F]."""
    parts = _in_parts(features, others)
    return float(np.mean(np.concatenate([tf.reduce_any(part <= radii, axis=1) for part in parts])))


def _in_parts(first: tf.Tensor, second: tf.Tensor) -> Iterator[tf.Tensor]:
    """Squared distances between rows of [A, F] and [B, F], >= 0; some rows at a time, [., B]."""
    for start in range(0, len(first), _AT_ONCE):
        rows = first[start : start + _AT_ONCE]
        squares = tf.reduce_sum(rows**2, axis=1)[:, None] + tf.reduce_sum(second**2, axis=1)
        yield tf.maximum(squares - 2 * tf.matmul(rows, second, transpose_b=True), 0.0)
