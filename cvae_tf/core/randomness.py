"""Where a seed becomes noise: pure functions of (seed, purpose, step or image), no hidden state.

What is drawn for an image depends on the image's number, never on its batch.
"""

import enum
import hashlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cvae_tf.core import replicas

_PHILOX, _VALUES_OF_COUNTER = 1, 4  # TensorFlow's generator, and how many values a count gives


class Purpose(enum.IntEnum):
    """What random numbers are for; each purpose has its own numbers for a seed."""

    DATA_ORDER = 1
    TRAINING_NOISE = 2
    EVALUATION_NOISE = 3
    PICTURES = 4
    AUGMENTATION = 5
    BINARIZATION = 6
    EVALUATION_BINARIZATION = 7
    SAMPLES = 8
    SCORE_NOISE = 9
    SCORE_BINARIZATION = 10
    NEIGHBOURS = 11
    CLASS_SAMPLES = 12
    FLIPPED_PIXELS = 13
    DENOISING_PROPOSALS = 14
    SCORES = 15
    HELD_OUT = 16
    MIRRORING = 17
    INPUT_NOISE = 18
    DROPOUT = 19
    STYLES = 20
    CLASSIFIER = 21
    DIFFERENTIABLE_AUGMENTATION = 22
    GRADIENT_PENALTY = 23
    NORMALIZATION_STATISTICS = 24
    DRAWN_IMAGES = 25
    FITTED_LATENTS = 26
    COMPARED_IMAGES = 27
    HELD_OUT_SCORES = 28
    SHARED_LATENTS = 29


def derived_key(seed: int | tf.Tensor, purpose: Purpose, index: int | tf.Tensor = 0) -> tf.Tensor:
    """Derives the key for one use of random numbers.

    Args:
        seed: a whole number, or int32 [2] as the exported models take.
        purpose: what the numbers are for.
        index: which use it is: a step, an epoch, the number of a sample.

    Returns:
        int32 [2], a seed for the functions in `tf.random` whose names begin with `stateless_`.
    """
    number = tf.constant(int(purpose), tf.int32)
    seed = tf.cast(seed, tf.int32)
    key = tf.stack([seed, number]) if seed.shape.rank == 0 else tf.random.fold_in(seed, number)
    return tf.random.fold_in(key, tf.cast(index, tf.int32))


def normal_of_batch(
    key: tf.Tensor, num: int | tf.Tensor, shape: Sequence[int], num_samples: int = 1
) -> tf.Tensor:
    """Draws standard Gaussian numbers for a batch, or for this replica's rows of a shared one.

    Args:
        key: int32 [2], as `derived_key` makes it; the same on all replicas.
        num: B, the images on this replica.
        shape: of the numbers for one image.
        num_samples: K, how often they are drawn for each image.

    Returns:
        float32 [K * B, *shape]: for the first samples of all images, the second, ...
    """
    return replicas.own_rows(
        lambda rows: tf.random.stateless_normal([num_samples * rows, *shape], key),
        num,
        num_samples,
    )


def uniform_of_batch(key: tf.Tensor, num: int | tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """Draws numbers from 0 to 1; otherwise as `normal_of_batch`, without samples."""
    return replicas.own_rows(lambda rows: tf.random.stateless_uniform([rows, *shape], key), num)


def normal_of_images(
    key: tf.Tensor, first: int | tf.Tensor, num: int | tf.Tensor, width: int
) -> tf.Tensor:
    """Draws standard Gaussian noise for images, by the numbers of the images.

    Args:
        key: int32 [2], as `derived_key` makes it.
        first: number of the first image; the others follow.
        num: B, how many images.
        width: W, how much noise for each image.

    Returns:
        float32 [B, W]; each row is a function of the key and of the number of its image.
    """
    return _by_image(tf.raw_ops.StatelessRandomNormalV2, key, first, num, width)


def normal_of_samples(
    key: tf.Tensor, first: int | tf.Tensor, num: int | tf.Tensor, width: int,
    first_sample: int | tf.Tensor, num_samples: int,
) -> tf.Tensor:  # fmt: skip
    """Draws noise as `normal_of_images` does, for K samples of each image, by the samples' numbers.

    Returns:
        float32 [K * B, W]: the first samples of all images, the second, ...
    """

    def draw(sample: tf.Tensor) -> tf.Tensor:
        return normal_of_images(tf.random.fold_in(key, sample), first, num, width)

    samples = first_sample + tf.range(num_samples)
    return tf.reshape(tf.map_fn(draw, samples, fn_output_signature=tf.float32), [-1, width])


def uniform_of_images(
    key: tf.Tensor, first: int | tf.Tensor, num: int | tf.Tensor, width: int
) -> tf.Tensor:
    """Draws numbers from 0 to 1; otherwise as `normal_of_images`."""
    return _by_image(tf.raw_ops.StatelessRandomUniformV2, key, first, num, width)


def _by_image(draw, key, first, num, width: int) -> tf.Tensor:
    """Starts the counter where the first image's numbers begin; each image takes whole counts."""
    counts = -(-width // _VALUES_OF_COUNTER)
    generator_key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=key)
    ahead = tf.cast(first, tf.uint64) * tf.constant(counts, tf.uint64)
    numbers = draw(
        shape=[num, counts * _VALUES_OF_COUNTER],
        key=generator_key,
        counter=counter + tf.stack([ahead, tf.constant(0, tf.uint64)]),
        alg=_PHILOX,
    )
    return numbers[:, :width]


def numpy_generator(seed: int, purpose: Purpose) -> np.random.Generator:
    """A NumPy generator for one purpose and a seed."""
    return np.random.default_rng([seed, int(purpose)])


def layer_seed(seed: int, network: str, layer: str) -> int:
    """The seed of a layer's initial weights, by the names of its network and of itself."""
    digest = hashlib.sha256(f"{seed}/{network}/{layer}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1
