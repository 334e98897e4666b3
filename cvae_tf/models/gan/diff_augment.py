"""Random changes of real and drawn images alike, through which the generator still learns.

Zhao et al., "Differentiable augmentation for data-efficient GAN training" (2020): the losses know
nothing else, so that few training images are not learned by heart. Gradient penalties are found at
the images as they are.
"""

from collections.abc import Iterable

import tensorflow as tf

from cvae_tf.core.randomness import uniform_of_batch

KINDS = ("mirror", "translation", "cutout", "colour")  # their order decides their noise
_LARGEST_SHIFT = 1 / 8  # of a side
_HOLE = 1 / 2  # of a side


def kinds_of(diff_augment: str) -> tuple[str, ...]:
    """The kinds of change that a setting names; none of "auto", before images have settled it."""
    return () if diff_augment in ("none", "auto") else tuple(diff_augment.split(","))


def augment(images: tf.Tensor, kinds: Iterable[str], key: tf.Tensor) -> tf.Tensor:
    """Changes each image by chance.

    Args:
        images: [B, H, W, C] in [0, 1].
        kinds: some of `KINDS`.
        key: int32 [2], decides the changes.

    Returns:
        [B, H, W, C]; colours may leave [0, 1].
    """
    for number, kind in enumerate(KINDS):
        if kind in kinds:
            images = _CHANGES[kind](images, tf.random.fold_in(key, number))
    return images


def _uniform(images: tf.Tensor, key: tf.Tensor, number: int) -> tf.Tensor:
    """A number from 0 to 1 for each image, [B, 1, 1, 1]."""
    key = tf.random.fold_in(key, number)
    return uniform_of_batch(key, tf.shape(images)[0], [1, 1, 1])


def _mirror(images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    return tf.where(_uniform(images, key, 0) < 0.5, tf.reverse(images, axis=[2]), images)


def _translate(images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Shifts by matrix products, whose gradients are matrix products too; black comes in."""
    height, width, channels = images.shape[1:]
    rows, columns = (
        _shifts(side, _uniform(images, key, number)) for number, side in enumerate((height, width))
    )
    moved = tf.matmul(rows, tf.reshape(images, [-1, height, width * channels]))
    moved = tf.reshape(moved, [-1, height, width, channels])
    return tf.einsum("bvw,bhwc->bhvc", columns, moved)


def _shifts(side: int, uniform: tf.Tensor) -> tf.Tensor:
    """Matrices [B, side, side] that shift by whole pixels, up to an eighth of the side."""
    largest = int(side * _LARGEST_SHIFT + 0.5)
    shift = tf.cast(tf.floor(uniform[:, 0, 0] * (2 * largest + 1)), tf.int32) - largest  # [B, 1]
    return tf.one_hot(tf.range(side) + shift, side)


def _cut_out(images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Makes a rectangle of half the sides black; its centre is anywhere."""
    inside = True
    for number, side in enumerate(images.shape[1:3]):
        centre = _uniform(images, key, number)[:, 0, 0] * side  # [B, 1]
        is_near = tf.abs(tf.range(side, dtype=tf.float32) + 0.5 - centre) < side * _HOLE / 2
        inside = inside & (is_near[:, :, None] if number == 0 else is_near[:, None, :])
    return tf.where(inside[..., None], 0.0, images)


def _colour(images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Changes brightness, saturation and contrast."""
    images += (_uniform(images, key, 0) - 0.5) / 2
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = grey + (images - grey) * 2 * _uniform(images, key, 1)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * (0.5 + _uniform(images, key, 2))


_CHANGES = {
    "mirror": _mirror,
    "translation": _translate,
    "cutout": _cut_out,
    "colour": _colour,
}
