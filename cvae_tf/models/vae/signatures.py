"""The signatures of a VAE's SavedModel (sample, decode, score, ...), and its networks alone."""

from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.core.usual_keras import usual_settings
from cvae_tf.models.base import Signatures
from cvae_tf.models.batch_parts import inputs_of
from cvae_tf.models.signature_parts import (
    checked_labels,
    decoding_signatures,
    first_results,
    with_an_image,
    with_label_argument,
    with_latents,
)
from cvae_tf.models.vae.held_out_scores import p_value_signatures
from cvae_tf.models.vae.refined_signatures import refined_signatures


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

    def labels_for(batch: tf.Tensor, labels: tuple[tf.Tensor, ...]) -> tf.Tensor | None:
        return checked_labels(model, labels, tf.shape(batch)[0])

    def parameters(latents: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model.parameters(with_latents(latents), labels_for(latents, labels))
        return first_results({"parameters": outputs}, latents)

    def encode(images: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = model.pixels.likeliest(with_an_image(images))
        return first_results(model.encode(pixels, labels_for(images, labels))._asdict(), images)

    def reconstruct(images: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = model.pixels.likeliest(with_an_image(images))
        reconstructed = model.reconstruct(pixels, labels_for(images, labels))
        return first_results({"images": reconstructed}, images)

    def score(images: tf.Tensor, seed: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        key = derived_key(seed, Purpose.SCORE_BINARIZATION)
        pixels = model.pixels.drawn(with_an_image(images), key)
        noise_key = derived_key(seed, Purpose.SCORE_NOISE)
        terms = model.elbo_terms(pixels, noise_key, labels_for(images, labels))
        return first_results(model.pixels.named(terms), images)

    return {
        **decoding_signatures(model),
        "parameters": with_label_argument(model, parameters, [latents]),
        "encode": with_label_argument(model, encode, [images]),
        "reconstruct": with_label_argument(model, reconstruct, [images]),
        "score": with_label_argument(model, score, [images, seed]),
        **refined_signatures(model),
        **p_value_signatures(model, reconstruct),
    }


@usual_settings()
def standalone_parts(model: Any) -> dict[str, keras.Model]:
    """Makes encoder and decoder usable on their own, as the signatures of the SavedModel are.

    Args:
        model: a `CVAE`, whose weights they share.

    Returns:
        encoder: grey levels `images` [B, H, W, C] -> `mean` and `logvar` [B, Z];
        decoder: `latents` [B, Z] -> `images` [B, H, W, C], their means. Those of a conditional
        model have a second input, `labels` int32 [B].
        sampler, if samples do not come from the prior: standard normal `noise` [B, Z] and `uniform`
        [B] from 0 to 1 -> `latents` [B, Z] to decode.
    """
    images = keras.Input(model.image_shape, name="images")
    latents = keras.Input((model.latent_dim,), name="latents")
    labels = keras.Input((), dtype="int32", name="labels") if model.num_classes else None
    code = model.encoder(inputs_of(model.pixels.likeliest(images), labels))
    mean, logvar = keras.ops.split(code, 2, axis=1)
    decoded = model.pixels.density.mean(model.decoder(inputs_of(latents, labels)))
    posterior = {"mean": mean, "logvar": logvar}
    parts = {
        "encoder": keras.Model(inputs_of(images, labels), posterior, name="encoder"),
        "decoder": keras.Model(inputs_of(latents, labels), {"images": decoded}, name="decoder"),
    }
    if model.sampler is not None:
        noise = keras.Input((model.latent_dim,), name="noise")
        uniform = keras.Input((), name="uniform")
        drawn = {"latents": model.sampler(noise, uniform)}
        parts["sampler"] = keras.Model([noise, uniform], drawn, name="sampler")
    return parts
