"""The signatures of a VAE's SavedModel (sample, decode, score, ...), and its networks alone."""

from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.base import Signatures
from cvae_tf.models.signature_parts import (
    decoding_signatures,
    first_results,
    with_an_image,
    with_latents,
)


def signatures(model: Any) -> Signatures:
    """What the SavedModel of a VAE can do, by name; the first is the default.

    Where pixels are a matter of chance, `score` draws them with its seed; the others take the
    likeliest.

    Args:
        model: a `CVAE`.

    Returns:
        For each name a function of tensors to a dictionary of tensors, and its arguments' types.
    """
    seed = tf.TensorSpec([2], tf.int32, "seed")
    latents = tf.TensorSpec([None, model.latent_dim], tf.float32, "latents")
    images = tf.TensorSpec([None, *model.image_shape], tf.float32, "images")

    def parameters(latents: tf.Tensor) -> dict[str, tf.Tensor]:
        return first_results({"parameters": model.decode(with_latents(latents))}, latents)

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        posterior = model.encode(model.pixels.likeliest(with_an_image(images)))
        return first_results(posterior._asdict(), images)

    def reconstruct(images: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = model.pixels.likeliest(with_an_image(images))
        return first_results({"images": model(pixels)}, images)

    def score(images: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        key = derived_key(seed, Purpose.SCORE_BINARIZATION)
        pixels = model.pixels.drawn(with_an_image(images), key)
        terms = model.elbo_terms(pixels, derived_key(seed, Purpose.SCORE_NOISE))
        named = {measure.name: getattr(terms, term) for term, measure in model.pixels.terms.items()}
        return first_results(named, images)

    return {
        **decoding_signatures(model),
        "parameters": (parameters, [latents]),
        "encode": (encode, [images]),
        "reconstruct": (reconstruct, [images]),
        "score": (score, [images, seed]),
    }


def standalone_parts(model: Any) -> dict[str, keras.Model]:
    """Makes encoder and decoder usable on their own, as the signatures of the SavedModel are.

    Args:
        model: a `CVAE`, whose weights they share.

    Returns:
        encoder: grey levels `images` [B, H, W, C] -> `mean` and `logvar` [B, Z];
        decoder: `latents` [B, Z] -> `images` [B, H, W, C], their means.
    """
    images = keras.Input(model.image_shape, name="images")
    mean, logvar = keras.ops.split(model.encoder(model.pixels.likeliest(images)), 2, axis=1)
    latents = keras.Input((model.latent_dim,), name="latents")
    decoded = model.pixels.density.mean(model.decoder(latents))
    return {
        "encoder": keras.Model(images, {"mean": mean, "logvar": logvar}, name="encoder"),
        "decoder": keras.Model(latents, {"images": decoded}, name="decoder"),
    }
