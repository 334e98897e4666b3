"""The signatures of a VAE's SavedModel (sample, decode, score, ...), and its networks alone."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.models.base import inputs_of
from cvae_tf.models.family import Signatures
from cvae_tf.models.signature_parts import (
    checked_labels,
    first_results,
    with_an_image,
    with_label_argument,
    with_latents,
)
from cvae_tf.models.vae import held_out_scores
from cvae_tf.models.vae.posterior import FullPosterior
from cvae_tf.presets import MOST_REFINE_STEPS, REFINE_STEPS

_P_VALUES = {  # by the kind of score: by which posterior, or how much the refined one brings
    "encoders": "p_values",
    "refined": "p_values_refined",
    "regret": "p_values_regret",
    "relative": "p_values_relative",
}


def encoding_signatures(model: Any) -> Signatures:
    """What the SavedModel of a VAE can do beside `sample` and `decode`, by name.

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
        found = model.encode(with_an_image(images), labels_for(images, labels))
        return first_results(found._asdict(), images)

    def reconstruct(images: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        reconstructed = model.reconstruct(with_an_image(images), labels_for(images, labels))
        return first_results({"images": reconstructed}, images)

    def score(images: tf.Tensor, seed: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        key = derived_key(seed, Purpose.SCORE_BINARIZATION)
        pixels = model.pixels.drawn(with_an_image(images), key)
        noise_key = derived_key(seed, Purpose.SCORE_NOISE)
        terms = model.elbo(pixels, noise_key, labels_for(images, labels))
        return first_results(model.pixels.named(terms), images)

    return {
        "parameters": with_label_argument(model, parameters, [latents]),
        "encode": with_label_argument(model, encode, [images]),
        "reconstruct": with_label_argument(model, reconstruct, [images]),
        "score": with_label_argument(model, score, [images, seed]),
        **_refined_signatures(model),
        **_p_value_signatures(model, reconstruct),
    }


def _refined_signatures(model: Any) -> Signatures:
    """What the SavedModel of a VAE can do with refined posteriors.

    Args:
        model: a `CVAE`.

    Returns:
        infer: images -> mean [B, Z] and covariance [B, Z, Z], by as many steps as are usual;
        refine: the same by any number of steps, with the factor of the covariance;
        reconstruct_refined: images -> the decoded means;
        score_refined: as `score` does, the mean over samples of the refined posterior.
        None of them if the model cannot be refined.
    """
    if not model.can_refine:
        return {}
    images = tf.TensorSpec([None, *model.image_shape], tf.float32, "images")
    seed = tf.TensorSpec([2], tf.int32, "seed")
    steps, samples = (tf.TensorSpec([], tf.int32, name) for name in ("steps", "samples"))
    refined = _Refined(model)
    return {
        "infer": with_label_argument(model, refined.infer, [images]),
        "refine": with_label_argument(model, refined.refine, [images, steps]),
        "reconstruct_refined": with_label_argument(model, refined.reconstruct, [images, steps]),
        "score_refined": with_label_argument(model, refined.score, [images, seed, steps, samples]),
    }


class _Refined:
    """What signatures do; each returns tensors by name, for an empty batch empty ones.

    Where pixels are a matter of chance, `score` draws them with its seed; the others take the
    likeliest.
    """

    def __init__(self, model: Any):
        self._model, self._pixels = model, model.pixels
        self._inference = model.traced_inference

    def infer(self, images: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        results = self.refine(images, tf.constant(REFINE_STEPS), *labels)
        return {name: results[name] for name in ("mean", "covariance")}

    def refine(
        self, images: tf.Tensor, steps: tf.Tensor, *labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        pixels = self._pixels.likeliest(with_an_image(images))
        found = self._found(pixels, self._checked(images, labels), steps)
        return first_results({**found._asdict(), "covariance": found.covariance}, images)

    def reconstruct(
        self, images: tf.Tensor, steps: tf.Tensor, *labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        pixels, of_class = with_an_image(images), self._checked(images, labels)
        found = self._found(self._pixels.likeliest(pixels), of_class, steps)
        return first_results({"images": self._model.decode(found.mean, of_class)}, images)

    def score(
        self,
        images: tf.Tensor,
        seed: tf.Tensor,
        steps: tf.Tensor,
        samples: tf.Tensor,
        *labels: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        of_class, key = self._checked(images, labels), derived_key(seed, Purpose.SCORE_BINARIZATION)
        pixels = self._pixels.drawn(with_an_image(images), key)
        found = self._found(pixels, of_class, steps)

        def of_sample(number: tf.Tensor) -> dict[str, tf.Tensor]:
            own_key = tf.random.fold_in(derived_key(seed, Purpose.SCORE_NOISE), number)
            noise = tf.random.stateless_normal(tf.shape(found.mean), own_key)
            terms, _ = self._model.terms_with_noise(pixels, found, noise, labels=of_class)
            return self._pixels.named(terms)

        kinds = {measure.name: tf.float32 for measure in self._pixels.terms.values()}
        each = tf.map_fn(
            of_sample, tf.range(samples), fn_output_signature=kinds, parallel_iterations=1
        )
        means = {name: tf.reduce_mean(values, axis=0) for name, values in each.items()}
        return first_results(means, images)

    def _found(
        self, pixels: tf.Tensor, labels: tf.Tensor | None, steps: tf.Tensor
    ) -> FullPosterior:
        most = MOST_REFINE_STEPS
        few = tf.debugging.Assert((steps >= 0) & (steps <= most), [f"steps must be 0 to {most}."])
        with tf.control_dependencies([few]):
            return self._inference(pixels, labels, tf.identity(steps))

    def _checked(self, images: tf.Tensor, labels: tuple[tf.Tensor, ...]) -> tf.Tensor | None:
        return checked_labels(self._model, labels, tf.shape(images)[0])


def _p_value_signatures(model: Any, reconstruct: Callable[..., Any]) -> Signatures:
    """What the SavedModel of a VAE can say of scores.

    Args:
        model: a `CVAE`.
        reconstruct: the signature of that name, without its arguments.

    Returns:
        p_values: scores [B], as `score` gives them in the mean of eight calls -> p_values [B];
        p_values_refined: the same for those of `score_refined` by eight samples; p_values_regret:
        the same for the first minus the second; score_relative: images and their mean scores as for
        p_values -> scores [B] less those of usual images as complex; p_values_relative: the same
        as p_values for these. Only those of which held-out scores are known.
    """
    scores = tf.TensorSpec([None], tf.float32, "scores")

    def of_kind(kind: str) -> Callable[..., dict[str, tf.Tensor]]:
        def p_values(scores: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"p_values": model.held_out_scores.p_values(kind, scores)}

        return p_values

    def score_relative(
        images: tf.Tensor, scores: tf.Tensor, *labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        complexities = complexities_of(model, images, reconstruct(images, *labels))
        return {"scores": model.held_out_scores.relative(complexities, scores)}

    known = model.held_out_scores.known
    found = {_P_VALUES[kind]: (of_kind(kind), [scores]) for kind in known}
    if "relative" in known:
        images = tf.TensorSpec([None, *model.image_shape], tf.float32, "images")
        found["score_relative"] = with_label_argument(model, score_relative, [images, scores])
    return found


def complexities_of(
    model: Any, images: tf.Tensor, reconstructed: dict[str, tf.Tensor]
) -> tf.Tensor:
    """How complex images are, and what the signature `reconstruct` makes of them, [B, 2]."""
    return held_out_scores.complexities(model.pixels.likeliest(images), reconstructed["images"])


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
