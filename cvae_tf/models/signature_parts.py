"""What the signatures of all families share: `sample`, `decode`, checks, batches of no images."""

import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key

NO_GREY_LEVELS = "images must be grey levels in [0, 1], as in training, without NaN."
OTHER_NUMBER_OF_LABELS = "labels must be as many as there are images."
LARGEST_SAMPLE = 10_000  # a gigabyte for one feature map of the tutorial's decoder


def decoding_signatures(model: Any, draws_latents: bool = False) -> dict[str, Any]:
    """The signatures `sample` and `decode` of any `GenerativeModel`.

    And `sample_latents`, if it draws them from elsewhere than the prior, which needs no model.
    """
    num = tf.TensorSpec([], tf.int32, "num")
    seed = tf.TensorSpec([2], tf.int32, "seed")
    latents = tf.TensorSpec([None, model.latent_dim], tf.float32, "latents")

    def sample(num: tf.Tensor, seed: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        fits = tf.debugging.Assert(
            (num >= 0) & (num <= LARGEST_SAMPLE),
            [f"num must be from 0 to {LARGEST_SAMPLE}; ask in parts, with other seeds. Got", num],
        )
        with tf.control_dependencies([fits]):
            key = derived_key(seed, Purpose.SAMPLES)
            drawn = model.sample(tf.maximum(num, 1), key, checked_labels(model, labels, num))
            return {"images": drawn[:num]}

    def decode(latents: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        decoded = model.decode(
            with_latents(latents), checked_labels(model, labels, tf.shape(latents)[0])
        )
        return first_results({"images": decoded}, latents)

    def sample_latents(num: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"latents": model.sample_latents(num, seed)}

    own = {"sample_latents": (sample_latents, [num, seed])} if draws_latents else {}
    return {
        "sample": with_label_argument(model, sample, [num, seed]),
        "decode": with_label_argument(model, decode, [latents]),
        **own,
    }


def with_label_argument(
    model: Any, function: Callable[..., Any], arguments: list[tf.TensorSpec]
) -> tuple[Callable[..., Any], list[tf.TensorSpec]]:
    """A signature of a function, which for a conditional model has one more argument, `labels`.

    Args:
        model: a `GenerativeModel`.
        function: of the arguments, and `*labels` behind them.
        arguments: without labels.

    Returns:
        The function and its arguments, each of them named.
    """
    names = [spec.name for spec in arguments]
    if model.num_classes:
        names.append("labels")
        arguments = [*arguments, tf.TensorSpec([None], tf.int32, "labels")]

    def named(*values: tf.Tensor) -> Any:
        return function(*values)

    parameters = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names
    ]
    named.__signature__ = inspect.Signature(parameters)
    return named, arguments


def checked_labels(model: Any, labels: tuple[tf.Tensor, ...], num: tf.Tensor) -> tf.Tensor | None:
    """The labels that a signature was given, if any; refuses what is no class of the model.

    There must be `num` of them, one for each row of the batch.

    An empty batch gets one, as `with_latents` and `with_an_image` add a row to it.
    """
    if not labels:
        return None
    with tf.control_dependencies(class_checks(labels[0], num, model.num_classes)):
        return _at_least_one(labels[0])


def class_checks(labels: tf.Tensor, num: tf.Tensor, num_classes: int) -> list[tf.Operation]:
    """Assertions that labels are numbers of classes, and `num` of them."""
    whole = tf.round(labels) if labels.dtype.is_floating else labels
    valid = tf.reduce_all((labels >= 0) & (labels < num_classes) & (labels == whole))
    return [
        tf.debugging.Assert(valid, [no_classes(num_classes)]),
        tf.debugging.Assert(tf.size(labels) == num, [OTHER_NUMBER_OF_LABELS]),
    ]


def no_classes(num_classes: int) -> str:
    """What is said of labels that are no numbers of classes."""
    return f"labels must be numbers of classes, from 0 to {num_classes - 1}."


def with_latents(latents: tf.Tensor) -> tf.Tensor:
    """Refuses latents that are not finite, and adds a row to an empty batch."""
    return _at_least_one(tf.debugging.assert_all_finite(latents, "latents must be finite."))


def with_an_image(images: tf.Tensor) -> tf.Tensor:
    """Refuses what is no grey level, and adds an image to an empty batch."""
    with tf.control_dependencies([image_check(images)]):
        return _at_least_one(images)


def image_check(images: tf.Tensor, what: str = NO_GREY_LEVELS) -> tf.Operation:
    """An assertion, that says `what`, that images are grey levels; a NaN is the smallest of all."""
    fits = (tf.reduce_min(images) >= 0) & (tf.reduce_max(images) <= 1)
    return tf.debugging.Assert(fits, [what])


def first_results(results: dict[str, tf.Tensor], batch: tf.Tensor) -> dict[str, tf.Tensor]:
    """Drops the results for a row that was added to an empty batch."""
    return {name: result[: tf.shape(batch)[0]] for name, result in results.items()}


def _at_least_one(batch: tf.Tensor) -> tf.Tensor:
    """Adds a row of zeros to an empty batch, because some kernels refuse those."""
    missing = tf.cast(tf.shape(batch)[0] == 0, tf.int32)
    return tf.pad(batch, [[0, missing]] + [[0, 0]] * (batch.shape.rank - 1))
