"""The signatures of a VAE's SavedModel that infer better than its encoder: infer, refine, ..."""

from typing import Any

import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.base import Signatures
from cvae_tf.models.signature_parts import (
    checked_labels,
    first_results,
    with_an_image,
    with_label_argument,
)
from cvae_tf.models.vae import refinement_steps
from cvae_tf.models.vae.inferring import infer
from cvae_tf.models.vae.posterior import FullPosterior


def refined_signatures(model: Any) -> Signatures:
    """What the SavedModel of a VAE can do with refined posteriors.

    Where pixels are a matter of chance, `score_refined` draws them with its seed; the others take
    the likeliest.

    Args:
        model: a `CVAE`.

    Returns:
        infer: images -> mean [B, Z] and covariance [B, Z, Z], by as many steps as are usual;
        refine: the same by any number of steps;
        reconstruct_refined: images -> the decoded means;
        score_refined: as `score` does, by a sample of the refined posterior.
    """
    images = tf.TensorSpec([None, *model.image_shape], tf.float32, "images")
    seed = tf.TensorSpec([2], tf.int32, "seed")
    steps = tf.TensorSpec([], tf.int32, "steps")

    def found(pixels: tf.Tensor, labels: tf.Tensor | None, steps: tf.Tensor) -> FullPosterior:
        most = refinement_steps.MOST
        few = tf.debugging.Assert((steps >= 0) & (steps <= most), [f"steps must be 0 to {most}."])
        with tf.control_dependencies([few]):
            return infer(model, pixels, labels, tf.identity(steps))

    def labels_for(images: tf.Tensor, labels: tuple[tf.Tensor, ...]) -> tf.Tensor | None:
        return checked_labels(model, labels, tf.shape(images)[0])

    def refine(images: tf.Tensor, steps: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = model.pixels.likeliest(with_an_image(images))
        refined = found(pixels, labels_for(images, labels), steps)
        return first_results({"mean": refined.mean, "covariance": refined.covariance}, images)

    def infer_usually(images: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        return refine(images, tf.constant(refinement_steps.DEFAULT), *labels)

    def reconstruct(
        images: tf.Tensor, steps: tf.Tensor, *labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        of_class = labels_for(images, labels)
        refined = found(model.pixels.likeliest(with_an_image(images)), of_class, steps)
        return first_results({"images": model.decode_mean(refined.mean, of_class)}, images)

    def score(
        images: tf.Tensor, seed: tf.Tensor, steps: tf.Tensor, *labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        key = derived_key(seed, Purpose.SCORE_BINARIZATION)
        pixels, of_class = (
            model.pixels.drawn(with_an_image(images), key),
            labels_for(images, labels),
        )
        refined = found(pixels, of_class, steps)
        noise_key = derived_key(seed, Purpose.SCORE_NOISE)
        noise = tf.random.stateless_normal(tf.shape(refined.mean), noise_key)
        terms, _ = model.terms_with_noise(pixels, refined, noise, labels=of_class)
        return first_results(model.pixels.named(terms), images)

    return {
        "infer": with_label_argument(model, infer_usually, [images]),
        "refine": with_label_argument(model, refine, [images, steps]),
        "reconstruct_refined": with_label_argument(model, reconstruct, [images, steps]),
        "score_refined": with_label_argument(model, score, [images, seed, steps]),
    }
