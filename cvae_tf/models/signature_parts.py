"""What the signatures of all families share: `sample`, `decode`, checks, batches of no images."""

from typing import Any

import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key

LARGEST_SAMPLE = 10_000  # a gigabyte for one feature map of the tutorial's decoder


def decoding_signatures(model: Any) -> dict[str, Any]:
    """The signatures `sample` and `decode` of any `GenerativeModel`."""
    num = tf.TensorSpec([], tf.int32, "num")
    seed = tf.TensorSpec([2], tf.int32, "seed")
    latents = tf.TensorSpec([None, model.latent_dim], tf.float32, "latents")

    def sample(num: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        limit = tf.debugging.Assert(
            (num >= 0) & (num <= LARGEST_SAMPLE),
            [f"num must be from 0 to {LARGEST_SAMPLE}; ask in parts, with other seeds. Got", num],
        )
        with tf.control_dependencies([limit]):
            key = derived_key(seed, Purpose.SAMPLES)
            return {"images": model.sample(tf.maximum(num, 1), key)[:num]}

    def decode(latents: tf.Tensor) -> dict[str, tf.Tensor]:
        return first_results({"images": model.decode_mean(with_latents(latents))}, latents)

    return {"sample": (sample, [num, seed]), "decode": (decode, [latents])}


def with_latents(latents: tf.Tensor) -> tf.Tensor:
    """Refuses latents that are not finite, and adds a row to an empty batch."""
    return _at_least_one(tf.debugging.assert_all_finite(latents, "latents must be finite."))


def with_an_image(images: tf.Tensor) -> tf.Tensor:
    """Refuses what is no grey level, and adds an image to an empty batch."""
    valid = tf.debugging.Assert(
        tf.reduce_all((images >= 0) & (images <= 1)),
        ["images must be grey levels in [0, 1], as in training, without NaN."],
    )
    with tf.control_dependencies([valid]):
        return _at_least_one(images)


def first_results(results: dict[str, tf.Tensor], batch: tf.Tensor) -> dict[str, tf.Tensor]:
    """Drops the results for a row that was added to an empty batch."""
    return {name: result[: tf.shape(batch)[0]] for name, result in results.items()}


def _at_least_one(batch: tf.Tensor) -> tf.Tensor:
    """Adds a row of zeros to an empty batch, because some kernels refuse those."""
    missing = tf.cast(tf.shape(batch)[0] == 0, tf.int32)
    return tf.pad(batch, [[0, missing]] + [[0, 0]] * (batch.shape.rank - 1))
