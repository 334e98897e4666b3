"""How images reach the compiled loops: all at once from memory, or part by part from the disk.

Either way the same images come in the same order, so the result is the same to the last bit.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import LostImagesError
from cvae_tf.data import batches

_STEPS_PER_CALL = 100  # enough to hide the cost of a call, few enough to answer within a second
_PART_BYTES = 2**21  # of images from the disk; larger parts are no faster, and scatter the memory
_READ_AT_ONCE = 2  # parts


class TrainingPart(NamedTuple):
    """Some steps of an epoch, and the images that they take."""

    images: tf.Tensor  # uint8 [P, H, W, C]
    labels: tf.Tensor  # int32 [P]; [0] if there are none
    order: tf.Tensor  # int32: indices of the images, the first B for the first step, ...
    first: int  # step in this order with which to begin
    last: int  # step in this order before which to end
    begins: int  # step of the epoch at which this order begins


class Feed:
    """The images of a data set's split, for compiled loops."""

    def __init__(self, images: Any, labels: np.ndarray | None = None, evenly: bool = False):
        """Takes images and labels.

        Args:
            images: uint8 [N, H, W, C]: an array, or what reads them from the disk.
            labels: numbers of classes, [N], if a model wants them.
            evenly: whether parts in memory are as long as those from the disk: of several workers
                one may have room for what others read.
        """
        self._labels = np.zeros(0, np.int32) if labels is None else labels.astype(np.int32)
        self._in_memory, self._evenly = isinstance(images, np.ndarray), evenly
        self._images = batches.resident(images) if self._in_memory else images
        self.shape = tuple(images.shape)

    def __len__(self) -> int:
        """The number of images, N."""
        return self.shape[0]

    def training_parts(
        self, order: tf.Tensor, first: int, last: int, batch_size: int
    ) -> Iterator[TrainingPart]:
        """Yields the steps of an epoch, some at a time.

        Args:
            order: of the images in this epoch, int32 [N].
            first: the first step.
            last: the step before which to end.
            batch_size: B, images in a step.

        Raises:
            LostImagesError: if images cannot be read from the disk any more.
        """
        steps = min(max(_PART_BYTES // self._bytes(batch_size), 1), _STEPS_PER_CALL)
        if self._in_memory:
            labels, steps = tf.constant(self._labels), steps if self._evenly else _STEPS_PER_CALL
            for step in range(first, last, steps):
                yield TrainingPart(self._images, labels, order, step, min(step + steps, last), 0)
            return
        wanted = order.numpy()[first * batch_size : last * batch_size]
        for begins, images in self._read(wanted, steps * batch_size):
            count = len(images)
            step = first + begins // batch_size
            labels = self._labels_of(wanted[begins : begins + count])
            yield TrainingPart(images, labels, tf.range(count), 0, count // batch_size, step)

    def _labels_of(self, indices: np.ndarray) -> tf.Tensor:
        return tf.constant(self._labels[indices] if self._labels.size else self._labels)

    def parts(self, multiple: int) -> Iterator[tuple[int, tf.Tensor, tf.Tensor]]:
        """Yields all in their order: number of the first, images [P, H, W, C], labels [P] or [0].

        Args:
            multiple: each part but the last has a multiple of so many images.

        Raises:
            LostImagesError: as `training_parts` does.
        """
        if self._in_memory:
            yield 0, self._images, tf.constant(self._labels)
            return
        count = max(_PART_BYTES // self._bytes(multiple), 1) * multiple
        for first, images in self._read(np.arange(len(self)), count):
            yield first, images, self._labels_of(np.arange(first, first + len(images)))

    def _bytes(self, count: int) -> int:
        return count * int(np.prod(self.shape[1:]))

    def _read(self, indices: np.ndarray, count: int) -> Iterator[tuple[int, tf.Tensor]]:
        """Reads images `count` at a time, the next ones while these are worked on."""
        failures = []

        def read(first: np.ndarray) -> np.ndarray:
            try:
                return self._images[indices[first : first + count]]
            except LostImagesError as error:  # of which TensorFlow would keep a part of the text
                failures.append(error)
                raise

        firsts = tf.data.Dataset.range(0, len(indices), count)
        parts = firsts.map(
            lambda first: (first, tf.numpy_function(read, [first], tf.uint8)),
            num_parallel_calls=_READ_AT_ONCE,
            deterministic=True,
        )
        try:
            for first, images in parts.prefetch(1):
                yield int(first), tf.ensure_shape(images, [None, *self.shape[1:]])
        except tf.errors.OpError as error:
            raise (failures[0] if failures else error) from error
