"""The SavedModel: its signatures, its metadata, and how it is written."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from cvae_tf.config import term_names
from cvae_tf.core import files
from cvae_tf.data.batches import binarize
from cvae_tf.exporting import model_card
from cvae_tf.models.fused_layers import for_inference
from cvae_tf.models.networks.building import Networks
from cvae_tf.models.vae.model import CVAE

_PIXELS = 1  # sets the noise of pixels apart from that of posteriors
LARGEST_SAMPLE = 10_000  # a gigabyte for one feature map of the tutorial's decoder


def export_saved_model(model: CVAE, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes a SavedModel that needs TensorFlow alone, replacing one that is there.

    Args:
        model: the trained model.
        directory: where to write it; a numbered folder, as model servers expect.
        metadata: as `provenance.describe` returns it; written beside the model as `model.json`,
            and in words as `README.md`.
    """
    networks = for_inference(Networks(model.encoder, model.decoder))
    model = CVAE(networks, model.seed, model.likelihood)
    binarize = metadata["config"]["binarize"]
    archive = keras.export.ExportArchive()
    archive.track(model.encoder)
    archive.track(model.decoder)
    endpoints = {
        name: archive.add_endpoint(name, function, arguments).get_concrete_function()
        for name, (function, arguments) in signatures(model, binarize).items()
    }
    card = model_card.render(metadata, endpoints, LARGEST_SAMPLE)
    with files.replacing_directory(directory) as temporary:
        archive.write_out(str(temporary), verbose=False)
        files.write_json(temporary / "model.json", metadata)
        (temporary / "README.md").write_text(card, encoding="utf-8")


def signatures(
    model: CVAE, method: str = "threshold"
) -> dict[str, tuple[Any, list[tf.TensorSpec]]]:
    """What the SavedModel can do, by name: a function and its arguments; the first is the default.

    Args:
        model: whose encoder and decoder they use.
        method: how grey levels became pixels in training, see `batches.binarize`. Where that was a
            matter of chance, `score` draws with its seed; the others take the likeliest pixels.

    Returns:
        For each name a function of tensors to a dictionary of tensors, and its arguments' types.
    """
    num = tf.TensorSpec([], tf.int32, "num")
    seed = tf.TensorSpec([2], tf.int32, "seed")
    latents = tf.TensorSpec([None, model.latent_dim], tf.float32, "latents")
    images = tf.TensorSpec([None, *model.image_shape], tf.float32, "images")
    likeliest = "threshold" if method == "dynamic" else method
    names = term_names(method, model.likelihood)

    def sample(num: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        limit = tf.debugging.Assert(
            (num >= 0) & (num <= LARGEST_SAMPLE),
            [f"num must be from 0 to {LARGEST_SAMPLE}; ask in parts, with other seeds. Got", num],
        )
        with tf.control_dependencies([limit]):
            return {"images": model.sample(tf.maximum(num, 1), seed)[:num]}

    def decode(latents: tf.Tensor) -> dict[str, tf.Tensor]:
        finite = tf.debugging.assert_all_finite(latents, "latents must be finite.")
        return _first({"images": model.decode_mean(_at_least_one(finite))}, latents)

    def parameters(latents: tf.Tensor) -> dict[str, tf.Tensor]:
        finite = tf.debugging.assert_all_finite(latents, "latents must be finite.")
        return _first({"parameters": model.decode(_at_least_one(finite))}, latents)

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        mean, logvar = model.encode(binarize(_checked(images), likeliest))
        return _first({"mean": mean, "logvar": logvar}, images)

    def reconstruct(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return _first({"images": model(binarize(_checked(images), likeliest))}, images)

    def score(images: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = binarize(_checked(images), method, tf.random.fold_in(seed, _PIXELS))
        terms = model.elbo_terms(pixels, seed)
        return _first({name: getattr(terms, term) for term, name in names.items()}, images)

    return {
        "sample": (sample, [num, seed]),
        "decode": (decode, [latents]),
        "parameters": (parameters, [latents]),
        "encode": (encode, [images]),
        "reconstruct": (reconstruct, [images]),
        "score": (score, [images, seed]),
    }


def _checked(images: tf.Tensor) -> tf.Tensor:
    """Refuses what is no grey level."""
    valid = tf.debugging.Assert(
        tf.reduce_all((images >= 0) & (images <= 1)),
        ["images must be grey levels in [0, 1], white on black as in training, without NaN."],
    )
    with tf.control_dependencies([valid]):
        return _at_least_one(images)


def _at_least_one(batch: tf.Tensor) -> tf.Tensor:
    """Adds a row of zeros to an empty batch, because some kernels refuse those."""
    missing = tf.cast(tf.shape(batch)[0] == 0, tf.int32)
    return tf.pad(batch, [[0, missing]] + [[0, 0]] * (batch.shape.rank - 1))


def _first(results: dict[str, tf.Tensor], batch: tf.Tensor) -> dict[str, tf.Tensor]:
    """Drops the results for a row that `_at_least_one` added."""
    return {name: result[: tf.shape(batch)[0]] for name, result in results.items()}
