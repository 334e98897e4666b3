"""From uint8 images to shuffled, warped batches: a pure function of (seed, epoch, step)."""

import numpy as np
import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.data import safe_npz, warps

# At --augment=1; larger warps lose more on the test images than they help.
_AUGMENTATION = warps.WarpRange(degrees=5.0, scale=0.05, shear=0.05, shift=0.5)


def effective_batch_size(num_images: int, batch_size: int) -> int:
    """The images in a training step: as many as were asked for, if there are as many."""
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
    """Picks what belongs to one step.

    Args:
        order: the order of this epoch, int32 [N].
        step: number of the step within the epoch, from 0.
        batch_size: B, as `effective_batch_size` says; at most N.

    Returns:
        int32 [B], the numbers of images.
    """
    return tf.slice(order, [step * batch_size], [batch_size])


def mirror(images: tf.Tensor, seed: int, step: tf.Tensor) -> tf.Tensor:
    """Mirrors each image left to right with a probability of one half.

    Args:
        images: grey levels, float32 [B, H, W, C].
        seed: of the run.
        step: gradient steps so far; decides which ones together with the seed.

    Returns:
        Grey levels, float32 [B, H, W, C].
    """
    key = derived_key(seed, Purpose.MIRRORING, step)
    chances = replicas.own_rows(
        lambda num: tf.random.stateless_uniform([num, 1, 1, 1], key), tf.shape(images)[0]
    )
    return tf.where(chances < 0.5, tf.reverse(images, axis=[2]), images)


def augment(images: tf.Tensor, strength: float, seed: int, step: tf.Tensor) -> tf.Tensor:
    """Warps each image a little at random.

    Args:
        images: grey levels, float32 [B, H, W, C].
        strength: 0 leaves the images as they are.
        seed: of the run.
        step: gradient steps so far; decides the warps together with the seed.

    Returns:
        Grey levels, float32 [B, H, W, C].
    """
    if strength == 0:
        return images
    batch_size, height, width, _ = images.shape
    spread = warps.WarpRange(*(strength * deviation for deviation in _AUGMENTATION))
    key = derived_key(seed, Purpose.AUGMENTATION, step)
    size = height, width
    transforms = replicas.own_rows(
        lambda num: warps.random_transforms(num, key, spread, size, size), batch_size
    )
    return warps.warp(images, transforms, size)


def resident(images: np.ndarray) -> tf.Tensor:
    """Makes a tensor of all images of a data set, sharing their memory where that is possible.

    `tf.constant` would need room for two more copies. The array must not be changed afterwards.

    Args:
        images: uint8 [N, H, W, C].

    Returns:
        uint8 [N, H, W, C].
    """
    if tf.config.list_physical_devices("GPU"):
        return tf.constant(images)
    if images.ctypes.data % safe_npz.ALIGNMENT or not (
        images.flags.c_contiguous and images.flags.writeable
    ):
        copy = safe_npz.aligned_empty(images.size).reshape(images.shape)
        copy[:] = images
        images = copy
    return tf.experimental.dlpack.from_dlpack(images.__dlpack__())


def grey_levels(images: tf.Tensor) -> tf.Tensor:
    """Scales uint8 images to float32 in [0, 1]."""
    return tf.cast(images, tf.float32) / 255.0
