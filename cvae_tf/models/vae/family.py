"""The VAE as it is trained, shown, told of and exported: its panels, curves, words, signatures."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key, numpy_generator
from cvae_tf.core.terminal import progress
from cvae_tf.data.batches import batch_slices, to_unit_floats
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.inspection import evenly_spaced_indices
from cvae_tf.drawing.mosaics import Panel
from cvae_tf.drawing.plots import CurveGroup
from cvae_tf.models.arrays import SCORE_SAMPLES
from cvae_tf.models.base import Measure
from cvae_tf.models.family import Family, Signatures, sample_panel
from cvae_tf.models.networks.building import ImageShape, Options
from cvae_tf.models.signature_parts import decoding_signatures
from cvae_tf.models.vae import latent_mixture, signatures
from cvae_tf.models.vae.held_out_scores import MOST_SCORES
from cvae_tf.models.vae.likelihoods import Pixels, nats_of_one_bit
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.objectives import Objective
from cvae_tf.presets import REFINE_STEPS

_MOST_FITTED = 50_000  # images whose latents the mixture is fitted to
_FEWEST_SCORED = 200  # held-out images; fewer than MOST_SCORES if they take many passes, or
_MOST_PIXELS = 50_000_000  # are large: of all passes through a network
_OF_MIXTURE = (
    " Samples come from a mixture of Gaussians that was fitted to the latents of the training "
    "images; likelihoods are those under the prior, a standard Gaussian."
)
_TRAINED_ON = {
    "shared": " Half of its training did not use its encoder (--objective=shared), which therefore "
    "often misses the best latents of an image: `infer` finds likelier ones, "
    "`reconstruct_refined` and `score_refined` use them.",
}


class VaeFamily(Family):
    """The variational autoencoders, `CVAE`."""

    title = "variational autoencoder"
    model_class = CVAE
    evaluations = ("likelihood", "distance")
    takes_labels = takes_network_settings = True

    def build(
        self, config: Any, image_shape: ImageShape, steps_per_epoch: int, num_classes: int
    ) -> CVAE:
        """Builds the VAE of a configuration."""
        objective = Objective(
            config.objective,
            config.importance_samples,
            config.beta,
            config.kl_warmup_epochs * steps_per_epoch,
            config.free_bits,
            config.shared_latents,
        )
        return CVAE(
            seed=config.seed,
            pixels=Pixels(config.binarize, config.likelihood),
            objective=objective,
            input_noise=config.denoise,
            num_classes=num_classes,
            sampler=config.sampler,
            network=config.network,
            latent_dim=config.latent_dim,
            image_shape=image_shape,
            options=Options.from_config(config),
            precision=config.precision,
        )

    def known_settings(self, model: CVAE) -> dict[str, Any]:
        """Those of latents, pixels, p(x|z) and the objective."""
        names = ("importance_samples", "beta", "free_bits", "shared_latents")
        return {
            **super().known_settings(model),
            **model.built_of,
            "conditional": model.num_classes > 0,
            "binarize": model.pixels.binarize,
            "likelihood": model.pixels.likelihood,
            "objective": model.objective.name,
            **{name: getattr(model.objective, name) for name in names},
            "sampler": model.sampler_name,
            "denoise": model.input_noise,
        }

    def train_measures(self, model: CVAE) -> dict[str, Measure]:
        """The ELBO, and the objective if that is another."""
        elbo = model.pixels.terms["elbo"]
        objective = Measure("objective", "objective", elbo.unit)
        return {"elbo": elbo, **({} if model.objective.is_elbo else {"objective": objective})}

    def test_measures(self, model: CVAE) -> tuple[Measure, ...]:
        """The ELBO and its parts."""
        return tuple(model.pixels.terms.values())

    def describe_test(self, model: CVAE, values: dict[str, float]) -> str:
        """Writes the ELBO as the sum that it is."""
        elbo, log_likelihood, kl = model.pixels.terms.values()
        text = (
            f"{elbo.title} {values[elbo.name]:.2f} = {log_likelihood.title} "
            f"{values[log_likelihood.name]:.2f} - {kl.title} {values[kl.name]:.2f} nats/image"
        )
        if model.pixels.density.is_of_levels:
            text += f" ({_bits(values[elbo.name], model.image_shape)})"
        return text

    def finish(self, model: CVAE, name: str, dataset: Dataset) -> None:
        """Fits the mixture that samples come from, or scores held-out images."""
        if name == "sampler":
            _fit_sampler(model, dataset.train)
        else:
            score_held_out(model, dataset.test)

    def epoch_panels(
        self, model: CVAE, grey: tf.Tensor, labels: tf.Tensor | None, seed: tf.Tensor
    ) -> list[Panel]:
        """Shows samples from the prior, and test images over their reconstructions."""
        originals = model.test_pixels(grey, 0)
        pairs = [originals.numpy(), model.reconstruct(originals, labels).numpy()]
        return [
            sample_panel(model, seed, "Samples from the prior"),
            Panel("Test images, each row over its reconstructions", pairs),
        ]

    def curves(self, model: CVAE) -> list[CurveGroup]:
        """Draws what is to be large together, and the KL beside it."""
        elbo, log_likelihood, kl = model.pixels.terms.values()
        large = {
            f"train_{elbo.name}": "--",
            "train_objective": "-.",
            f"test_{elbo.name}": "-",
            f"test_{log_likelihood.name}": ":",
        }
        return [
            CurveGroup("What is to be large", elbo.unit, large),
            CurveGroup("KL of posterior from prior (test)", kl.unit, {f"test_{kl.name}": "-"}),
        ]

    def signatures(self, model: CVAE) -> Signatures:
        """What its SavedModel can do: sample, decode, and see `signatures.py`."""
        decoding = decoding_signatures(model, draws_latents=model.sampler is not None)
        return {**decoding, **signatures.encoding_signatures(model)}

    def standalone_parts(self, model: CVAE) -> dict[str, keras.Model]:
        """Encoder and decoder, each for itself; see `signatures.py`."""
        return signatures.standalone_parts(model)

    def describe(self, model: CVAE) -> dict[str, Any]:
        """What `model.json` says of pixels, of samples, and of the terms that `score` returns."""
        pixels, known = model.pixels, model.held_out_scores.known
        how, likelihood = pixels.binarization.description, pixels.likelihood.replace("_", " ")
        is_fitted = model.sampler is not None and model.sampler.is_fitted
        return {
            "black_and_white": pixels.binarize == "threshold",
            "binarization": how,
            "pixels": f"{how}; this happens inside the model. p(x|z): {likelihood}",
            "limits": "Its samples are blurred where its latents cannot say more. A score compares "
            f"images under this model; it is no probability of being an anomaly."
            f"{_OF_MIXTURE if is_fitted else ''}{_TRAINED_ON.get(model.objective.name, '')}",
            **({"p_values": _describe_p_values(known)} if known else {}),
            **({"bits": meaning_of_bits(pixels)} if pixels.density.is_of_levels else {}),
        }

    def describe_numbers(self, model: CVAE, metrics: dict[str, float]) -> str:
        """Says for the model card what the ELBO of an epoch means."""
        pixels = model.pixels
        means = {
            term: f"{metrics[f'test_{measure.name}']:.2f}" for term, measure in pixels.terms.items()
        }
        text = (
            f"After epoch {metrics['epoch']}, mean over the test images, nats per image, by one "
            "posterior sample each:\n\n"
        )
        if not pixels.has_likelihood:
            return (
                f"{text}- negative cross-entropy of the grey levels {means['log_likelihood']}; it "
                f"is no log-likelihood,\n- minus KL(q(z|x) || p(z)) {means['kl']},\n"
                f"- together {means['elbo']}; higher is better, but it bounds no log p(x)."
            )
        text += (
            f"- ELBO {means['elbo']}: a lower bound on log p(x); higher is better;\n"
            f"- of which log-likelihood log p(x|z) {means['log_likelihood']}\n"
            f"- minus KL(q(z|x) || p(z)) {means['kl']}."
        )
        if pixels.density.is_of_levels:
            bits = _bits(metrics[f"test_{pixels.terms['elbo'].name}"], model.image_shape)
            text += f"\n\nThe ELBO is {bits}. {meaning_of_bits(pixels)}"
        return text


# What it says.


def _bits(elbo: float, image_shape: ImageShape) -> str:
    return f"{-elbo / nats_of_one_bit(image_shape):.2f} bits/dim"


def meaning_of_bits(pixels: Pixels) -> str | None:
    """Says what bits per dimension are of grey levels, if they are a bound of anything."""
    if pixels.density.is_of_levels:
        return (
            "These are probabilities of 256 levels for each pixel and channel: bits/dim is a "
            "length of code, as the literature gives it."
        )
    if pixels.density.is_density:
        return (
            "These are densities of grey levels in [0, 1], whose bits/dim may be negative; they "
            "do not compare with code lengths of images with 256 levels."
        )
    return None


def _describe_p_values(held_out: dict[str, int]) -> str:
    samples, steps = SCORE_SAMPLES, REFINE_STEPS
    text = (
        f"`p_values` takes the mean of `score` over {samples} seeds, and compares it with the "
        f"scores of {held_out['encoders']:,} test images"
    )
    if "relative" in held_out:
        text += (
            "; `score_relative` takes images and the same means, and gives what these are above "
            "the scores of test images with as much variation between neighbouring pixels, in "
            "themselves or in their reconstructions, whichever is lower; this mostly tells more; "
            "`p_values_relative` takes what it gives"
        )
    if "refined" in held_out:
        text += (
            f"; `p_values_refined` takes what `score_refined` gives with {steps} steps and "
            f"{samples} samples, and compares it with {held_out['refined']:,}; `p_values_regret` "
            "takes what `p_values` is given minus what `p_values_refined` is, for the same images"
        )
    return f"{text}. Of usual images at most a share p has a p-value up to p."


# What is learned at the end.


def _fit_sampler(model: CVAE, split: Split) -> None:
    """Fits the mixture that samples come from to the latents of training images."""
    with progress("encoding") as show:
        means = _posterior_means(model, split, show)
    random = numpy_generator(model.seed, Purpose.FITTED_LATENTS)
    with progress("sampler") as show:
        model.sampler.take(latent_mixture.fit(means, random, show))


def _posterior_means(model: CVAE, split: Split, show: Callable[[float], None]) -> np.ndarray:
    """The posterior means of training images, if there are very many of some, [N, Z]."""
    encode = _traced(model.encode)
    rows, parts = evenly_spaced_indices(len(split.images), _MOST_FITTED), []
    for part in batch_slices(len(rows), model.image_shape):
        own, first = rows[part], part.start
        pixels = model.test_pixels(to_unit_floats(tf.constant(split.images[own])), first)
        labels = tf.constant(split.labels[own], tf.int32) if model.num_classes else None
        parts.append(encode(pixels, labels).mean.numpy())
        show(part.stop / len(rows))
    return np.concatenate(parts)


def score_held_out(model: CVAE, split: Split) -> None:
    """Scores held-out images as an exported model does, and keeps the scores in the model.

    Args:
        model: what scores them.
        split: its test images.
    """
    fast, samples = model.for_inference(), SCORE_SAMPLES
    functions, held_out = signatures.encoding_signatures(fast), model.held_out_scores
    name = model.pixels.terms["elbo"].name
    score, reconstruct = (_traced(functions[each][0]) for each in ("score", "reconstruct"))

    def mean_score(images: tf.Tensor, key: tf.Tensor, *labels: tf.Tensor) -> np.ndarray:
        keys = [tf.random.fold_in(key, number) for number in range(samples)]
        return np.mean([score(images, each, *labels)[name] for each in keys], axis=0)

    def with_complexities(images: tf.Tensor, key: tf.Tensor, *labels: tf.Tensor) -> np.ndarray:
        complexities = signatures.complexities_of(model, images, reconstruct(images, *labels))
        return np.column_stack([mean_score(images, key, *labels), complexities])

    found = _of_images(model, with_complexities, split, 2 * samples)
    encoders, complexities = found[:, 0], found[:, 1:]
    held_out.take("encoders", encoders)
    held_out.take_relative(complexities, encoders)
    if not model.can_refine:
        return
    refine, steps = _traced(functions["score_refined"][0]), REFINE_STEPS

    def refined_score(images: tf.Tensor, key: tf.Tensor, *labels: tf.Tensor) -> np.ndarray:
        return refine(images, key, tf.constant(steps), tf.constant(samples), *labels)[name].numpy()

    passes = (model.latent_dim + 1) * (steps + 1) + samples
    refined = _of_images(model, refined_score, split, passes)
    held_out.take("refined", refined)
    if len(refined) < len(encoders):  # they are of other images
        encoders = _of_images(model, mean_score, split, passes)
    held_out.take("regret", encoders - refined)


def _traced(function: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(function, reduce_retracing=True)


def _of_images(
    model: CVAE, score: Callable[..., np.ndarray], split: Split, passes: int
) -> np.ndarray:
    """Scores images from the whole set, some at a time.

    Args:
        model: what scores them.
        score: images, a key and labels, if there are any, to scores.
        split: the images.
        passes: through a network, that each of them takes.
    """
    height, width, _ = model.image_shape
    affordable = _MOST_PIXELS // (height * width * passes)
    rows = evenly_spaced_indices(
        len(split.images), min(max(affordable, _FEWEST_SCORED), MOST_SCORES)
    )
    key, found = derived_key(model.seed, Purpose.HELD_OUT_SCORES), []
    with progress("scoring") as show:
        for part in batch_slices(len(rows), model.image_shape):
            own = rows[part]
            labels = [tf.constant(split.labels[own], tf.int32)] if model.num_classes else []
            images = to_unit_floats(tf.constant(split.images[own]))
            found.append(score(images, tf.random.fold_in(key, part.start), *labels))
            show(part.stop / len(rows))
    return np.concatenate(found)
