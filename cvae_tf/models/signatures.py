"""The signatures of all families: `sample`, `decode`; checks, and batches without images."""

import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.inputs import class_checks, grey_checks

LARGEST_SAMPLE = 10_000  # a gigabyte for one feature map of the tutorial's decoder
SEED = tf.TensorSpec([2], tf.int32, "seed")

Signature = tuple[Callable[..., dict[str, tf.Tensor]], list[tf.TensorSpec]]
Signatures = dict[str, Signature]  # by name: a function, and its arguments


def decoding_signatures(model: Any) -> Signatures:
    """The signatures `sample` and `decode` of any `GenerativeModel`."""
    num = tf.TensorSpec([], tf.int32, "num")

    def sample(num: tf.Tensor, seed: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        fits = tf.debugging.Assert(
            (num >= 0) & (num <= LARGEST_SAMPLE),
            [f"num must be from 0 to {LARGEST_SAMPLE}; ask in parts, with other seeds. Got", num],
        )
        with tf.control_dependencies([fits]):
            key = derived_key(seed, Purpose.SAMPLES)
            drawn = model.sample(tf.maximum(num, 1), key, _checked_labels(model, labels, num))
            return {"images": drawn[:num]}

    def decode(latents: tf.Tensor, labels: tf.Tensor | None) -> dict[str, tf.Tensor]:
        return {"images": model.decode(latents, labels)}

    return {
        "sample": _with_label_argument(model, sample, [num, SEED]),
        "decode": batch_signature(model, "latents", decode),
    }


def batch_signature(
    model: Any, batch: str, function: Callable[..., dict[str, tf.Tensor]], *others: tf.TensorSpec
) -> Signature:
    """A signature that takes a batch, which may be empty, and refuses what does not fit.

    Args:
        model: a `GenerativeModel`.
        batch: "images" or "latents".
        function: of a batch of at least one, its labels (None if the model knows none), and
            `others`; it returns results by name, [B, ...].
        others: what else it takes.

    Returns:
        The function and its arguments, each of them named; labels are the last.
    """
    shape = {"images": model.image_shape, "latents": (model.latent_dim,)}[batch]

    def checked(values: tf.Tensor, *rest: tf.Tensor) -> dict[str, tf.Tensor]:
        num, more = tf.shape(values)[0], len(others)
        labels = _checked_labels(model, rest[more:], num)
        if batch == "images":
            checks = grey_checks(values)
        else:
            checks = [tf.debugging.assert_all_finite(values, "latents must be finite.")]
        with tf.control_dependencies(checks):
            results = function(_at_least_one(values), labels, *rest[:more])
        return {name: result[:num] for name, result in results.items()}

    spec = tf.TensorSpec([None, *shape], tf.float32, batch)
    return _with_label_argument(model, checked, [spec, *others])


def _with_label_argument(
    model: Any, function: Callable[..., Any], arguments: list[tf.TensorSpec]
) -> Signature:
    """Names the arguments of a function, of a conditional model with `labels` behind them."""
    if model.num_classes:
        arguments = [*arguments, tf.TensorSpec([None], tf.int32, "labels")]

    def named(*values: tf.Tensor) -> Any:
        return function(*values)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(spec.name, kind) for spec in arguments]
    named.__signature__ = inspect.Signature(parameters)
    return named, arguments


def _checked_labels(model: Any, labels: tuple[tf.Tensor, ...], num: tf.Tensor) -> tf.Tensor | None:
    """The labels that a signature was given, if any; refuses what is no class of the model."""
    if not labels:
        return None
    with tf.control_dependencies(class_checks(labels[0], num, model.num_classes)):
        return _at_least_one(labels[0])


def _at_least_one(batch: tf.Tensor) -> tf.Tensor:
    """Adds a row of zeros to an empty batch, because some kernels refuse those."""
    missing = tf.cast(tf.shape(batch)[0] == 0, tf.int32)
    return tf.pad(batch, [[0, missing]] + [[0, 0]] * (batch.shape.rank - 1))
