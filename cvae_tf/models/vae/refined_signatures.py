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
from cvae_tf.models.vae import amounts
from cvae_tf.models.vae.posterior import FullPosterior


def refined_signatures(model: Any) -> Signatures:
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
        results = self.refine(images, tf.constant(amounts.STEPS), *labels)
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
        most = amounts.MOST_STEPS
        few = tf.debugging.Assert((steps >= 0) & (steps <= most), [f"steps must be 0 to {most}."])
        with tf.control_dependencies([few]):
            return self._inference(pixels, labels, tf.identity(steps))

    def _checked(self, images: tf.Tensor, labels: tuple[tf.Tensor, ...]) -> tf.Tensor | None:
        return checked_labels(self._model, labels, tf.shape(images)[0])
