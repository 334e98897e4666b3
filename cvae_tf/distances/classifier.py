"""Features of a small classifier, which is trained once for a data set and kept.

It is in the folder `cvae-tf/classifiers` of the Keras cache, in a file for each data set; you may
remove it, and it is trained again when it is needed.
"""

import contextlib
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core import files, paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key, layer_seed, numpy_generator
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.core.terminal import progress, say
from cvae_tf.data import batches
from cvae_tf.data.batches import batch_slices
from cvae_tf.data.datasets import Dataset, Split, fingerprint
from cvae_tf.data.labels import MOST_CLASSES
from cvae_tf.distances.distances import Features

NUM_FEATURES = 64
_VERSION = 1  # of this recipe, so that what another one has trained is not taken
_SEED, _BATCH, _LEARNING_RATE = 0, 128, 3e-3
_EPOCHS = {1: 3, 3: 6}  # by channels: colours are harder than grey levels
_FEWEST_STEPS, _MOST_IMAGES = 500, 60_000  # in training; images in an epoch
_WEIGHTS, _ACCURACY = "weight_{:02d}", "accuracy"


def has_classes(dataset: Dataset) -> bool:
    """Whether the labels are such that a classifier can be trained: classes, not values."""
    train, test = dataset.train.labels, dataset.test.labels
    if train is None or test is None or train.dtype.kind == "f":
        return False
    return 2 <= len(np.unique(train)) <= min(MOST_CLASSES, len(train) // 2)


def load(dataset: Dataset) -> Features:
    """Takes the classifier of a data set from the cache, or trains it.

    Args:
        dataset: with labels of at least two classes.

    Raises:
        UserError: if there are none.
    """
    if not has_classes(dataset):
        raise UserError(
            f"--features=classifier: the images ({dataset.name}) have no labels of at least two "
            "classes; give --features=random."
        )
    network, accuracy = _trained(dataset)

    def features(images: tf.Tensor) -> tf.Tensor:
        return network(images, training=False)[0]

    spec = tf.TensorSpec([None, *dataset.image_shape], tf.float32)
    title = (
        f"of a small classifier of {dataset.name}, which knows {100 * accuracy:.1f} % of "
        "the test images"
    )
    return Features("classifier", title, tf.function(features, input_signature=[spec]))


def _trained(dataset: Dataset) -> tuple[keras.Model, float]:
    """A classifier, and the share of the test images that it knows."""
    names, train, test = _numbered(dataset)
    network = build(dataset.image_shape, len(names))
    path = _path_of(dataset, train.labels)
    accuracy = _restore(path, network)
    if accuracy is None:
        say(f"A small classifier of {dataset.name} is trained once, to compare images by.")
        with progress("classifier") as show:
            fit(network, train, show)
        accuracy = measure_accuracy(network, test)
        say(f"It knows {100 * accuracy:.1f} % of the test images.")
        with contextlib.suppress(UserError):  # without a cache it is trained again the next time
            _keep(path, network, accuracy)
    return network, accuracy


def _numbered(dataset: Dataset) -> tuple[np.ndarray, Split, Split]:
    """Labels as numbers of classes; those that no training image has get one beyond."""
    names = np.unique(dataset.train.labels)
    splits = []
    for images, labels in (dataset.train, dataset.test):
        numbers = np.searchsorted(names, labels).clip(max=len(names) - 1)
        splits.append(Split(images, np.where(names[numbers] == labels, numbers, len(names))))
    return names, *splits


@usual_settings()
def build(image_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Builds the network: images [B, H, W, C] in [0, 1] to features [B, F] and logits [B, Y]."""
    layers, seeds = keras.layers, (layer_seed(_SEED, "classifier", str(i)) for i in range(10))

    def conv(filters: int, strides: int = 1) -> list[keras.Layer]:
        initializer = keras.initializers.HeNormal(seed=next(seeds))
        convolution = layers.Conv2D(
            filters, 3, strides, "same", use_bias=False, kernel_initializer=initializer
        )
        return [convolution, layers.BatchNormalization(), layers.ReLU()]

    images = keras.Input(image_shape)
    result = images - 0.5
    side = max(image_shape[:2])
    while side > 64:  # larger images are made smaller first
        result, side = layers.AveragePooling2D(padding="same")(result), side // 2
    for layer in (*conv(32, 2), *conv(64), layers.MaxPooling2D(padding="same"), *conv(96),
                  *conv(96), layers.MaxPooling2D(padding="same"), layers.Flatten()):  # fmt: skip
        result = layer(result)
    glorot = keras.initializers.GlorotUniform(seed=next(seeds))
    features = layers.Dense(NUM_FEATURES, activation="relu", kernel_initializer=glorot)(result)
    glorot = keras.initializers.GlorotUniform(seed=next(seeds))
    logits = layers.Dense(num_classes, kernel_initializer=glorot)(features)
    return keras.Model(images, [features, logits])


def _training_batches(
    split: Split, epochs: int, steps: int
) -> Iterator[tuple[tf.Tensor, np.ndarray]]:
    """Images in an order of their own in each epoch, shifted and mirrored, with their labels."""
    random, num = numpy_generator(_SEED, Purpose.CLASSIFIER), len(split.images)
    size = min(_BATCH, num)
    for epoch in range(epochs + 1):
        orders = [random.permutation(num) for _ in range(math.ceil(steps * size / num))]
        if epoch == 0:  # figures were first found without this order, and are to stay
            continue
        order = np.concatenate(orders)
        for step in range(steps):
            rows, number = order[step * size : (step + 1) * size], epoch * steps + step
            images = batches.to_unit_floats(tf.constant(split.images[rows]))
            if images.shape[-1] == 3:
                images = batches.mirror(images, _SEED, tf.constant(number))
            yield _shifted(images, number), split.labels[rows]


def _shifted(images: tf.Tensor, number: int) -> tf.Tensor:
    """Shifts a batch by up to two pixels each way, all of it alike."""
    height, width = images.shape[1:3]
    padded = tf.pad(images, [[0, 0], [2, 2], [2, 2], [0, 0]], mode="SYMMETRIC")
    key = derived_key(_SEED, Purpose.CLASSIFIER, number)
    top, left = tf.random.stateless_uniform([2], key, 0, 5, tf.int32)
    return padded[:, top : top + height, left : left + width]


def fit(network: keras.Model, split: Split, show: Any) -> None:
    """Trains the network on images with numbers of classes; the same every time."""
    epochs = _EPOCHS[split.images.shape[-1]]
    per_epoch = min(len(split.images), _MOST_IMAGES) // min(_BATCH, len(split.images))
    steps = max(per_epoch, math.ceil(_FEWEST_STEPS / epochs))
    learner, total = _learner(network, epochs * steps), epochs * steps
    done = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: show(int(learner.optimizer.iterations) / total)
    )
    amounts = {"epochs": epochs, "steps_per_epoch": steps}
    examples = _training_batches(split, epochs, steps)
    learner.fit(examples, **amounts, shuffle=False, verbose=0, callbacks=[done])


@usual_settings()
def _learner(network: keras.Model, steps: int) -> keras.Model:
    """The network with logits alone, compiled to learn in so many steps."""
    learner = keras.Model(network.inputs[0], network.outputs[1])
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=_LEARNING_RATE, warmup_steps=steps // 10
    )
    learner.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    return learner


def measure_accuracy(network: keras.Model, split: Split) -> float:
    """The share of images that the network knows."""
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
    """Sets the weights to those that are kept; their accuracy, or None if there are none."""
    names = [_WEIGHTS.format(i) for i in range(len(network.weights))]
    try:
        arrays = files.read_npz(path, (_ACCURACY, *names))
        network.set_weights([arrays[name] for name in names])
        return float(arrays[_ACCURACY])
    except (UserError, KeyError, TypeError, ValueError):
        return None
