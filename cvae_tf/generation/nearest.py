"""Samples beside the training images that are nearest to them: is it learned by heart?"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cvae_tf.data.batches import batch_slices
from cvae_tf.data.given_images import load_own
from cvae_tf.data.inspection import spread_rows
from cvae_tf.drawing import mosaics
from cvae_tf.exporting.black_and_white import as_known
from cvae_tf.generation.common import Generated, class_asked_for, num_shown
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws samples over the nearest training images, by the squared distance of their pixels.

    As many test images tell how near they are that were certainly not learned by heart.

    Raises:
        UserError: if the training images cannot be had.
    """
    label, num = class_asked_for(model, settings), num_shown(settings)
    labels = None if label is None else np.full(num, label)
    dataset = load_own(model.metadata, settings.data_path)
    samples = model.sample(num, settings.seed, labels)
    of_all = spread_rows(len(dataset.test.images), num)
    rows, distances = nearest(samples, dataset.train.images, model.metadata)
    _, of_test = nearest(dataset.test.images[of_all], dataset.train.images, model.metadata)
    images = _known(dataset.train.images[rows], model.metadata)
    path = mosaics.save_stacked(output / "nearest.png", [samples, images])
    note = (
        f"Root mean squared difference of a pixel from the nearest of {len(dataset.train.images):,}"
        f" training images: samples {_of_pixel(distances, samples):.3f}, test images "
        f"{_of_pixel(of_test, samples):.3f} (medians). Much less for samples would mean that they "
        "are learned by heart; blurred images are always nearer than sharp ones."
    )
    arrays = {"images": samples, "nearest": images, "rows": rows, "squared_distances": distances}
    return Generated([path], arrays, (note,))


def _of_pixel(squared_distances: np.ndarray, images: np.ndarray) -> float:
    return float(np.sqrt(np.median(squared_distances) / np.prod(images.shape[1:])))


def _known(images: np.ndarray, metadata: dict[str, Any]) -> np.ndarray:
    """Images, uint8 or in [0, 1], in [0, 1] as the model knows them."""
    images = as_known(images, metadata)
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images


def nearest(
    images: np.ndarray, candidates: Any, metadata: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest of many images, all as a model knows them.

    Args:
        images: uint8 or in [0, 1], [N, H, W, C].
        candidates: uint8 [M, H, W, C], an array or what reads them from the disk.
        metadata: of the model.

    Returns:
        For each image the number of the nearest candidate, and its squared distance, [N].
    """
    flat = _flat(_known(images, metadata))
    best, rows = np.full(len(images), np.inf), np.zeros(len(images), np.int64)
    for own in batch_slices(len(candidates), candidates.shape[1:]):
        part = _flat(_known(candidates[own], metadata))
        squares = tf.reduce_sum(part**2, axis=1) - 2 * tf.matmul(flat, part, transpose_b=True)
        numbers = tf.argmin(squares, axis=1).numpy()
        found = tf.gather(squares, numbers, batch_dims=1).numpy()
        is_nearer = found < best
        best[is_nearer], rows[is_nearer] = found[is_nearer], own.start + numbers[is_nearer]
    return rows, np.maximum(best + np.sum(flat.numpy() ** 2, axis=1), 0)


def _flat(images: np.ndarray) -> tf.Tensor:
    return tf.constant(images.reshape(len(images), -1))
