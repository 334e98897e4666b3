"""The VAE as it is trained, shown, told of and exported: its panels, curves, words, signatures."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key, numpy_generator
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.core.terminal import progress
from cvae_tf.data.batches import batch_slices, to_unit_floats
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.inspection import evenly_spaced_indices
from cvae_tf.drawing.mosaics import Panel
from cvae_tf.drawing.plots import CurveGroup
from cvae_tf.models.base import Measure, inputs_of
from cvae_tf.models.family import Family, sample_panel
from cvae_tf.models.networks.layer_maker import ImageShape, Options
from cvae_tf.models.saved_model import (
    SEED,
    Signatures,
    batch_signature,
    decoding_signatures,
)
from cvae_tf.models.vae import anomalies, latent_mixture
from cvae_tf.models.vae.anomalies import MOST_SCORES, SCORE_SAMPLES
from cvae_tf.models.vae.likelihoods import Pixels, nats_of_one_bit
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.objectives import Objective
from cvae_tf.presets import MOST_REFINE_STEPS

_MOST_FITTED = 50_000  # images whose latents the mixture is fitted to
_FEWEST_SCORED = 200  # held-out images; fewer than MOST_SCORES if they take many passes, or
_MOST_PIXELS = 50_000_000  # are large: of all passes through a network
_BITS = Measure("bits_per_dim", "", "bits/dim", higher_is_better=False)
_OF_MIXTURE = (
    " Samples come from a mixture of Gaussians that was fitted to the latents of the training "
    "images; likelihoods are those under the prior, a standard Gaussian."
)
_P_VALUES = (
    "`anomaly` gives the mean ELBO of each image over {samples} samples less what is usual for "
    "images as complex, in themselves or in their reconstructions, whichever expects more: low "
    "scores are unusual. `p_value` is the share of {count:,} test images that score as low; of "
    "usual images at most a share p has a p-value up to p."
)
_OF_SHARED = (
    " Half of its training did not use its encoder (--objective=shared), which therefore often "
    "misses the best latents of an image: `refine` finds likelier ones."
)


Results = dict[str, tf.Tensor]


class VaeFamily(Family):
    """The variational autoencoders, `CVAE`."""

    title = "variational autoencoder"
    model_class = CVAE
    evaluations = ("likelihood", "distance")
    takes = ("labels", "network settings")

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
            f"{elbo.title} {values[elbo.name]:,.2f} = {log_likelihood.title} "
            f"{values[log_likelihood.name]:,.2f} - {kl.title} {values[kl.name]:,.2f} nats/image"
        )
        if model.pixels.likelihood.is_of_levels:
            return f"{_bits(values[elbo.name], model.image_shape)} ({text})"
        return text

    def headline(self, model: CVAE, values: dict[str, float]) -> tuple[Measure, float]:
        """The ELBO; of images with 256 levels in bits per dimension."""
        measure, elbo = super().headline(model, values)
        if model.pixels.likelihood.is_of_levels:
            return _BITS, -elbo / nats_of_one_bit(model.image_shape)
        return measure, elbo

    def other_figures(self, model: CVAE, row: dict[str, float]) -> dict[str, float]:
        """Bits per dimension of images with 256 levels."""
        if not model.pixels.likelihood.is_of_levels:
            return {}
        elbo, bit = model.pixels.terms["elbo"].name, nats_of_one_bit(model.image_shape)
        parts = "train", "test"
        return {f"{of}_{_BITS.name}": round(-row[f"{of}_{elbo}"] / bit, 4) for of in parts}

    def fit_after_training(self, model: CVAE, name: str, dataset: Dataset) -> None:
        """Fits the mixture that samples come from, or learns what held-out images are like."""
        if name == "sampler":
            _fit_sampler(model, dataset.train)
        elif name == "usual_heat":
            _find_usual_heat(model, dataset.test)
        else:
            _score_held_out(model, dataset.test)

    def epoch_panels(
        self, model: CVAE, grey: tf.Tensor, labels: tf.Tensor | None, seed: tf.Tensor
    ) -> list[Panel]:
        """Shows samples, and test images over their reconstructions."""
        originals = model.test_pixels(grey, 0).numpy()
        pairs = [originals, model.reconstruct(originals, labels)]
        names = "image", "reconstruction"
        return [sample_panel(model, seed), Panel("Test images", pairs, row_names=names)]

    def curves(self, model: CVAE) -> list[CurveGroup]:
        """Draws the ELBO and log p(x|z), or bits per dimension, and the KL beside it."""
        elbo, log_likelihood, kl = model.pixels.terms.values()
        large = {
            f"train_{elbo.name}": "--",
            "train_objective": "-.",
            f"test_{elbo.name}": "-",
            f"test_{log_likelihood.name}": ":",
        }
        first = CurveGroup("ELBO (higher is better)", elbo.unit, large)
        if model.pixels.likelihood.is_of_levels:
            bits = {f"train_{_BITS.name}": "--", f"test_{_BITS.name}": "-"}
            first = CurveGroup("Bits per dimension (lower is better)", _BITS.unit, bits)
        return [
            first,
            CurveGroup("KL of posterior from prior (test)", kl.unit, {f"test_{kl.name}": "-"}),
        ]

    def signatures(self, model: CVAE) -> Signatures:
        """What its SavedModel can do, by name.

        `refine` is missing if the model cannot be refined, `anomaly` if it knows no held-out
        images, `sample_latents` if latents come from the prior, which needs no model.
        """

        def sample_latents(num: tf.Tensor, seed: tf.Tensor) -> Results:
            return {"latents": model.sample_latents(num, seed)}

        def parameters(latents: tf.Tensor, labels: tf.Tensor | None) -> Results:
            return {"parameters": model.parameters(latents, labels)}

        num = tf.TensorSpec([], tf.int32, "num")
        drawn = (
            {"sample_latents": (sample_latents, [num, SEED])} if model.sampler is not None else {}
        )
        return {
            **decoding_signatures(model),
            "parameters": batch_signature(model, "latents", parameters),
            **_of_images(model),
            **drawn,
        }

    @usual_settings()
    def standalone_parts(self, model: CVAE) -> dict[str, keras.Model]:
        """Makes its networks usable on their own, as the signatures of the SavedModel are.

        Returns:
            encoder: grey levels `images` [B, H, W, C] -> `mean` and `logvar` [B, Z];
            decoder: `latents` [B, Z] -> `images` [B, H, W, C], their means. Those of a conditional
            model have a second input, `labels` int32 [B].
            sampler, if samples do not come from the prior: standard normal `noise` [B, Z] and
            `uniform` [B] from 0 to 1 -> `latents` [B, Z] to decode.
            anomaly, if it knows held-out images: `images` -> what the signature returns.
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
        if model.held_out_scores.count:
            given = inputs_of(images, labels)
            parts["anomaly"] = keras.Model(given, _Anomalies(model)(given), name="anomaly")
        return parts

    def describe(self, model: CVAE, metrics: dict[str, float] | None = None) -> dict[str, Any]:
        """What `model.json` says of pixels, of samples, of the terms that `score` returns."""
        known = super().describe(model, metrics)
        names = ("importance_samples", "beta", "free_bits", "shared_latents")
        known["config"] |= {
            **model.built_of,
            "conditional": model.num_classes > 0,
            **model.pixels.to_settings(),
            "objective": model.objective.name,
            **{name: getattr(model.objective, name) for name in names},
            "sampler": model.sampler_name,
            "denoise": model.input_noise,
        }
        if metrics:
            known["numbers"] += f"\n\n{_meaning_of_numbers(model, metrics)}"
        pixels, count = model.pixels, model.held_out_scores.count
        how = pixels.binarization.of(channels=model.image_shape[-1])
        likelihood = pixels.likelihood_name.replace("_", " ")
        said = {
            "black_and_white": pixels.binarization_name == "threshold",
            "pixels": f"{how}; this happens inside the model. p(x|z): {likelihood}",
            "limits": "Its samples are blurred where its latents cannot say more. A score compares "
            f"images under this model; it is no probability of being an anomaly."
            f"{_OF_MIXTURE if model.samples_from == 'mixture' else ''}"
            f"{_OF_SHARED if model.objective.name == 'shared' else ''}",
        }
        if count:
            said["p_values"] = _P_VALUES.format(samples=SCORE_SAMPLES, count=count)
        return {**said, **known}


class _Anomalies(keras.layers.Layer):
    """What a VAE says of anomalies, as a layer: of images, or of images and labels."""

    def __init__(self, model: CVAE):
        super().__init__(dtype="float32")
        self.model = model

    def call(self, inputs: Any) -> dict[str, tf.Tensor]:
        images, labels = inputs if isinstance(inputs, list) else (inputs, None)
        return _anomaly(self.model, images, labels, unrolled=True)


def _anomaly(
    model: Any, images: tf.Tensor, labels: tf.Tensor | None, unrolled: bool = False
) -> Results:
    found = anomalies.compare_with_held_out(model, images, labels, unrolled)._asdict()
    return {name: each for name, each in found.items() if each is not None}


def _of_images(model: Any) -> Signatures:
    """What it can do with images.

    Where pixels are a matter of chance, `score` draws them with its seed, and `anomaly` draws the
    same for every image; the others take the likeliest.
    """

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

    found = {
        "encode": batch_signature(model, "images", encode),
        "reconstruct": batch_signature(model, "images", reconstruct),
        "score": batch_signature(model, "images", score, SEED),
    }
    if model.can_refine:
        steps = tf.TensorSpec([], tf.int32, "steps")
        found["refine"] = batch_signature(model, "images", refine, steps)
    if model.held_out_scores.count:
        found["anomaly"] = batch_signature(model, "images", functools.partial(_anomaly, model))
    return found


# What it says.


def _meaning_of_numbers(model: CVAE, metrics: dict[str, float]) -> str:
    """Says for the model card what the ELBO and its parts are."""
    pixels, text = model.pixels, "They are means by one posterior sample of each image. "
    if not pixels.has_likelihood:
        return (
            f"{text}The cross-entropy of grey levels is no log-likelihood, so that the pseudo-ELBO "
            "bounds no log p(x)."
        )
    text += (
        "The ELBO is the log-likelihood log p(x|z) minus KL(q(z|x) || p(z)), a lower bound on "
        "log p(x)."
    )
    if not pixels.likelihood.is_of_levels:
        return text
    bits = _bits(metrics[f"test_{pixels.terms['elbo'].name}"], model.image_shape)
    return f"{text} It is {bits}. {meaning_of_bits(pixels)}"


def _bits(elbo: float, image_shape: ImageShape) -> str:
    return f"{-elbo / nats_of_one_bit(image_shape):.2f} bits/dim"


def meaning_of_bits(pixels: Pixels) -> str | None:
    """Says what bits per dimension are of grey levels, if they are a bound of anything."""
    if pixels.likelihood.is_of_levels:
        return (
            "These are probabilities of 256 levels for each pixel and channel: bits/dim is a "
            "length of code, as the literature gives it."
        )
    if pixels.likelihood.is_density:
        return (
            "These are densities of grey levels in [0, 1], whose bits/dim may be negative; they "
            "do not compare with code lengths of images with 256 levels."
        )
    return None


# What is learned at the end.


def _fit_sampler(model: CVAE, split: Split) -> None:
    """Fits the mixture that samples come from to the latents of training images."""
    encode = _traced(model, model.encode)

    def means(grey: tf.Tensor, labels: tf.Tensor | None, first: int) -> list[tf.Tensor]:
        return [encode(model.test_pixels(grey, first), labels).mean]

    (latents,) = _in_parts(model, means, split, _MOST_FITTED, "encoding training images")
    random = numpy_generator(model.seed, Purpose.FITTED_LATENTS)
    with progress("fitting the sampler") as show:
        model.sampler.take(latent_mixture.fit(latents, random, show))


def _score_held_out(model: CVAE, split: Split) -> None:
    """Scores images of the test set, and keeps the scores in the model."""
    score = _traced(model, functools.partial(anomalies.elbos_and_complexities, model))
    most = _affordable(model, SCORE_SAMPLES)
    found = _in_parts(model, lambda *own: score(*own[:2]), split, most, "scoring test images")
    model.held_out_scores.take(*found)


def _find_usual_heat(model: CVAE, split: Split) -> None:
    """Finds how far from their reconstructions images of the test set are, for heat maps."""
    measure = _traced(model, functools.partial(anomalies.surprises, model))
    most = _affordable(model, 1)
    (found,) = _in_parts(
        model, lambda *own: [measure(*own[:2])], split, most, "learning usual heat maps"
    )
    model.usual_heat.take(found)


def _affordable(model: CVAE, passes: int) -> int:
    """How many held-out images are measured, by so many passes through encoder and decoder."""
    pixels = math.prod(model.image_shape[:2]) * 2 * passes
    return min(max(_MOST_PIXELS // pixels, _FEWEST_SCORED), MOST_SCORES)


def _traced(model: CVAE, function: Callable[..., Any]) -> Callable[..., Any]:
    """Traces a function of images and labels (None if there are none), once for all batch sizes."""
    images = tf.TensorSpec([None, *model.image_shape])
    labels = tf.TensorSpec([None], tf.int32) if model.num_classes else None
    traced = tf.function(lambda *own: function(*own), autograph=False)  # which takes seconds
    return traced.get_concrete_function(images, labels)


def _in_parts(
    model: CVAE, measure: Callable[..., Iterable[tf.Tensor]], split: Split, most: int, title: str
) -> list[np.ndarray]:
    """Measures at most `most` images from the whole of a set in parts: results joined, [N, ...].

    `measure` is of grey levels [B, H, W, C], labels (None if the model knows none), and the number
    of the first one; it returns results, [B, ...].
    """
    rows, found = evenly_spaced_indices(len(split.images), most), []
    with progress(title) as show:
        for part in batch_slices(len(rows), model.image_shape):
            own = rows[part]
            labels = tf.constant(split.labels[own], tf.int32) if model.num_classes else None
            grey = to_unit_floats(tf.constant(split.images[own]))
            found.append(measure(grey, labels, part.start))
            show(part.stop / len(rows))
    return [np.concatenate(each) for each in zip(*found, strict=True)]
