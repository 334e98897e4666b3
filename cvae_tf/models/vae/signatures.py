"""The signatures of a VAE's SavedModel (sample, decode, score, ...), and its networks alone."""

from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.models.base import inputs_of
from cvae_tf.models.signatures import SEED, Signatures, batch_signature, decoding_signatures
from cvae_tf.presets import MOST_REFINE_STEPS

Results = dict[str, tf.Tensor]


def signatures(model: Any) -> Signatures:
    """What the SavedModel of a VAE can do, by name.

    Where pixels are a matter of chance, `score` draws them with its seed, and `anomaly` draws the
    same for every image; the others take the likeliest.

    Args:
        model: a `CVAE`.

    Returns:
        Functions of tensors that return dictionaries of tensors, and their arguments. `refine` is
        missing if the model cannot be refined, `anomaly` if it knows no held-out images,
        `sample_latents` if latents come from the prior, which needs no model.
    """

    def sample_latents(num: tf.Tensor, seed: tf.Tensor) -> Results:
        return {"latents": model.sample_latents(num, seed)}

    def parameters(latents: tf.Tensor, labels: tf.Tensor | None) -> Results:
        return {"parameters": model.parameters(latents, labels)}

    num = tf.TensorSpec([], tf.int32, "num")
    drawn = {"sample_latents": (sample_latents, [num, SEED])} if model.sampler is not None else {}
    return {
        **decoding_signatures(model),
        "parameters": batch_signature(model, "latents", parameters),
        **_of_images(model),
        **drawn,
    }


def _of_images(model: Any) -> Signatures:
    """What it can do with images."""

    def encode(images: tf.Tensor, labels: tf.Tensor | None) -> Results:
        return model.encode(images, labels)._asdict()

    def reconstruct(images: tf.Tensor, labels: tf.Tensor | None) -> Results:
        return {"images": model.reconstruct(images, labels)}

    def score(images: tf.Tensor, labels: tf.Tensor | None, seed: tf.Tensor) -> Results:
        pixels = model.pixels.binarize(images, derived_key(seed, Purpose.SCORE_BINARIZATION))
        terms = model.elbo(pixels, derived_key(seed, Purpose.SCORE_NOISE), labels)
        return model.pixels.named(terms)

    def refine(images: tf.Tensor, labels: tf.Tensor | None, steps: tf.Tensor) -> Results:
        most = MOST_REFINE_STEPS
        few = tf.debugging.Assert((steps >= 0) & (steps <= most), [f"steps must be 0 to {most}."])
        with tf.control_dependencies([few]):
            found = model.refine(images, labels, steps=tf.identity(steps))
        return {**found._asdict(), "covariance": found.covariance}

    def anomaly(images: tf.Tensor, labels: tf.Tensor | None) -> Results:
        return model.anomaly(images, labels)._asdict()

    found = {
        "encode": batch_signature(model, "images", encode),
        "reconstruct": batch_signature(model, "images", reconstruct),
        "score": batch_signature(model, "images", score, SEED),
    }
    if model.can_refine:
        steps = tf.TensorSpec([], tf.int32, "steps")
        found["refine"] = batch_signature(model, "images", refine, steps)
    if model.held_out_scores.count:
        found["anomaly"] = batch_signature(model, "images", anomaly)
    return found


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
    code = model.encoder(inputs_of(model.pixels.binarize_mode(images), labels))
    mean, logvar = keras.ops.split(code, 2, axis=1)
    decoded = model.pixels.likelihood.mean(model.decoder(inputs_of(latents, labels)))
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
