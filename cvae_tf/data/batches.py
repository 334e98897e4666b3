"""From uint8 images to shuffled, warped batches: a pure function of (seed, epoch, step).

Images reach the compiled loops all at once from memory, or part by part from a mapped file. Either
way the same images come in the same order, so the result is the same to the last bit.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.core.randomness import Purpose, derived_key, uniform_of_batch

_STEPS_PER_CALL = 100  # enough to hide the cost of a call, few enough to answer within a second
_PART_BYTES = 2**21  # of images from a file; larger parts are no faster, and fragment the memory
_READ_AT_ONCE = 2  # parts
_ALIGNMENT = 64  # bytes, of memory that TensorFlow takes as it is
_PIXELS_AT_ONCE = 2**18  # of images: 256 of 32 x 32, which is enough for full speed


def effective_batch_size(num_images: int, batch_size: int) -> int:
    """The number of images in a training step: what was asked for, if there are enough."""
    return min(num_images, batch_size)


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Counts the full batches of an epoch; the images left over differ from epoch to epoch."""
    return num_images // effective_batch_size(num_images, batch_size)


def epoch_order(num_images: int, seed: int, epoch: int) -> tf.Tensor:
    """Shuffles the indices of the training images for one epoch.

    Returns:
        int32 [N], each index once.
    """
    key = derived_key(seed, Purpose.DATA_ORDER, epoch)
    return tf.random.experimental.stateless_shuffle(tf.range(num_images), key)


def batch_indices(order: tf.Tensor, step: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Picks the images of a step, int32 [B], from the order of an epoch, int32 [N]."""
    return tf.slice(order, [step * batch_size], [batch_size])


def aligned_empty(size: int) -> np.ndarray:
    """Allocates bytes, uint8 [size], where TensorFlow can use them without a copy."""
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


def aligned(images: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C], copied if TensorFlow could not use their memory as it is."""
    flags = images.flags
    if flags.c_contiguous and flags.writeable and images.ctypes.data % _ALIGNMENT == 0:
        return images
    copy = aligned_empty(images.size).reshape(images.shape)
    copy[:] = images
    return copy


def resident(images: np.ndarray) -> tf.Tensor:
    """Makes a tensor of all images of a data set, sharing their memory where that is possible.

    `tf.constant` would need room for two more copies. The array, uint8 [N, H, W, C], must not be
    changed afterwards.
    """
    if tf.config.list_physical_devices("GPU"):
        return tf.constant(images)
    return tf.experimental.dlpack.from_dlpack(aligned(images).__dlpack__())


def to_unit_floats(images: tf.Tensor) -> tf.Tensor:
    """Scales uint8 images to float32 in [0, 1]."""
    return tf.cast(images, tf.float32) / 255.0


def batch_slices(num: int, image_shape: Sequence[int]) -> Iterator[slice]:
    """Cuts many images into parts, so that memory stays small however large they are.

    Args:
        num: N, the number of images.
        image_shape: height, width, and further dimensions.

    Yields:
        The parts in their order; together they are `slice(0, num)`.
    """
    at_once = max(_PIXELS_AT_ONCE // (image_shape[0] * image_shape[1]), 1)
    for start in range(0, num, at_once):
        yield slice(start, min(start + at_once, num))


class TrainingPart(NamedTuple):
    """Some steps of an epoch, and the images that they take."""

    images: tf.Tensor  # uint8 [P, H, W, C]
    labels: tf.Tensor  # int32 [P]; zeros if there are none
    order: tf.Tensor  # int32: indices of the images, the first B for the first step, ...
    first: int  # step in this order to begin with
    last: int  # step in this order to end before
    begins: int  # step of the epoch at which this order begins


class BatchSource:
    """The images of a data set's split, for compiled loops."""

    def __init__(self, images: Any, labels: np.ndarray | None = None, evenly: bool = False):
        """Takes images and labels.

        Args:
            images: uint8 [N, H, W, C], an array or `MappedImages`.
            labels: numbers of classes, [N], if a model wants them.
            evenly: whether parts in memory are as long as those from a file, so that workers agree:
                some may hold in memory what others read.
        """
        self.shape = tuple(images.shape)
        self._labels = np.zeros(len(self), np.int32) if labels is None else np.int32(labels)
        self._in_memory, self._evenly = isinstance(images, np.ndarray), evenly
        self._images = resident(images) if self._in_memory else images

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
            last: the step to end before.
            batch_size: B, images in a step.
        """
        steps = min(self._batches_at_once(batch_size), _STEPS_PER_CALL)
        if self._in_memory:
            labels, steps = tf.constant(self._labels), steps if self._evenly else _STEPS_PER_CALL
            for step in range(first, last, steps):
                yield TrainingPart(self._images, labels, order, step, min(step + steps, last), 0)
            return
        wanted = order.numpy()[first * batch_size : last * batch_size]
        for begins, images, labels in self._read(wanted, steps * batch_size):
            count = len(images)
            step = first + begins // batch_size
            yield TrainingPart(images, labels, tf.range(count), 0, count // batch_size, step)

    def parts(self, multiple: int) -> Iterator[tuple[int, tf.Tensor, tf.Tensor]]:
        """Yields all in order: number of the first image, images [P, H, W, C], labels [P].

        Args:
            multiple: the size of each part but the last is a multiple of this.
        """
        if self._in_memory:
            yield 0, self._images, tf.constant(self._labels)
        else:
            yield from self._read(np.arange(len(self)), self._batches_at_once(multiple) * multiple)

    def _batches_at_once(self, batch_size: int) -> int:
        """The number of batches in a part from a file."""
        return max(_PART_BYTES // (batch_size * int(np.prod(self.shape[1:]))), 1)

    def _read(self, rows: np.ndarray, count: int) -> Iterator[tuple[int, tf.Tensor, tf.Tensor]]:
        """Reads images and labels `count` at a time, the next part while one is worked on."""

        def read(first: np.ndarray) -> np.ndarray:
            return self._images[rows[first : first + count]]

        parts = tf.data.Dataset.range(0, len(rows), count).map(
            lambda first: (first, tf.numpy_function(read, [first], tf.uint8)),
            num_parallel_calls=_READ_AT_ONCE,
            deterministic=True,
        )
        for start, images in parts.prefetch(1):
            images = tf.ensure_shape(images, [None, *self.shape[1:]])
            yield int(start), images, tf.constant(self._labels[rows[start : start + count]])


def mirror(images: tf.Tensor, seed: int, step: tf.Tensor) -> tf.Tensor:
    """Mirrors each image left to right with a probability of one half.

    Args:
        images: float32 [B, H, W, C].
        seed: of the run.
        step: gradient steps so far; decides together with the seed which ones.
    """
    key = derived_key(seed, Purpose.MIRRORING, step)
    chances = uniform_of_batch(key, tf.shape(images)[0], [1, 1, 1])
    return tf.where(chances < 0.5, tf.reverse(images, axis=[2]), images)


def augment(
    images: tf.Tensor, strength: float, seed: int, step: tf.Tensor, outside: float = 0.0
) -> tf.Tensor:
    """Warps each image a little at random.

    Args:
        images: float32 [B, H, W, C].
        strength: 0 leaves the images as they are.
        seed: of the run.
        step: gradient steps so far; decides the warps together with the seed.
        outside: the level of what comes in at the margins.
    """
    if strength == 0:
        return images
    batch_size, *size, _ = images.shape
    spread = WarpRange(*(strength * deviation for deviation in _AUGMENTATION))
    key = derived_key(seed, Purpose.AUGMENTATION, step)
    transforms = replicas.own_rows(
        lambda num: random_transforms(num, key, spread, size, size), batch_size
    )
    return warp(images, transforms, size, outside)


class WarpRange(NamedTuple):
    """Standard deviations of a random warp."""

    degrees: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0  # in pixels of the result


# At --augment=1; larger warps lose more on the test images than they help.
_AUGMENTATION = WarpRange(degrees=5.0, scale=0.05, shear=0.05, shift=0.5)


def random_transforms(
    count: int, seed: tf.Tensor, spread: WarpRange, from_size: tuple, to_size: tuple
) -> tf.Tensor:
    """Draws affine maps that also enlarge or shrink; the centre stays the centre.

    Args:
        count: how many.
        seed: int32 [2].
        spread: 0 gives the plain enlargement.
        from_size: height and width, in the images to warp, of what fills the result.
        to_size: height and width of the results.

    Returns:
        float32 [count, 8], maps from result to source pixels in the form `warp` takes.
    """
    noise = tf.random.stateless_normal([count, 6], seed)
    angle, row_scale, column_scale, shear, row_shift, column_shift = tf.unstack(noise, axis=1)
    angle = angle * spread.degrees * np.pi / 180
    rows_per_row = from_size[0] / to_size[0] * (1 + row_scale * spread.scale)
    columns_per_column = from_size[1] / to_size[1] * (1 + column_scale * spread.scale)
    return tf.stack(
        [
            columns_per_column * tf.cos(angle),
            columns_per_column * (shear * spread.shear - tf.sin(angle)),
            columns_per_column * column_shift * spread.shift,
            rows_per_row * tf.sin(angle),
            rows_per_row * tf.cos(angle),
            rows_per_row * row_shift * spread.shift,
            tf.zeros_like(angle),
            tf.zeros_like(angle),
        ],
        axis=1,
    )


def warp(
    images: tf.Tensor, transforms: tf.Tensor, to_size: tuple, outside: float = 0.0
) -> tf.Tensor:
    """Warps each image by its own affine map, bilinearly.

    Args:
        images: float32 [B, H, W, C].
        transforms: float32 [B, 8], relative to the centres of image and result.
        to_size: height and width of the results.
        outside: the level of what lies outside the image; by default black.

    Returns:
        float32 [B, to_size[0], to_size[1], C].
    """
    from_centre = [(side - 1) / 2 for side in images.shape[1:3]]
    to_centre = [(side - 1) / 2 for side in to_size]
    a, b, c, d, e, f, g, h = tf.unstack(transforms, axis=1)
    absolute = [
        a, b, c + from_centre[1] - a * to_centre[1] - b * to_centre[0],
        d, e, f + from_centre[0] - d * to_centre[1] - e * to_centre[0],
        g, h,
    ]  # fmt: skip
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(absolute, axis=1),
        output_shape=list(to_size),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=outside,
    )
