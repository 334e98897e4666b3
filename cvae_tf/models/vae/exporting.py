"""What is exported of a VAE: the signatures of its SavedModel, its two networks, words about it."""

from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.base import Signatures
from cvae_tf.models.signatures import (
    decoding_signatures,
    first_results,
    with_an_image,
    with_latents,
)
from cvae_tf.models.vae.pixels import Pixels


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


def describe(model: Any) -> dict[str, Any]:
    """What `model.json` says of a VAE beside its settings."""
    return {
        "binarization": model.pixels.binarization.description,
        "pixels": f"{model.pixels.binarization.description}; this happens inside the model. "
        f"p(x|z): {model.pixels.likelihood.replace('_', ' ')}",
    }


def describe_numbers(pixels: Pixels, metrics: dict[str, float]) -> str:
    """Says for the model card what the numbers of an epoch mean.

    Args:
        pixels: of the model.
        metrics: the last row of `metrics.csv`.

    Returns:
        Markdown.
    """
    means = {
        term: f"{metrics[f'test_{measure.name}']:.2f}" for term, measure in pixels.terms.items()
    }
    text = (
        f"After epoch {metrics['epoch']}, mean over the test images, nats per image, by one "
        "posterior sample each:\n\n"
    )
    if not pixels.has_likelihood:
        return (
            f"{text}- negative cross-entropy of the grey levels {means['log_likelihood']}; it is "
            f"no log-likelihood,\n- minus KL(q(z|x) || p(z)) {means['kl']},\n"
            f"- together {means['elbo']}; higher is better, but it bounds no log p(x)."
        )
    return (
        f"{text}- ELBO {means['elbo']}: a lower bound on log p(x); higher is better;\n"
        f"- of which log-likelihood log p(x|z) {means['log_likelihood']}\n"
        f"- minus KL(q(z|x) || p(z)) {means['kl']}."
    )
