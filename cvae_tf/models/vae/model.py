"""The variational autoencoder as a Keras model: encode, sample, decode, ELBO, training step."""

import functools
import types
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import (
    Purpose,
    derived_key,
    normal_of_batch,
    normal_of_images,
    normal_of_samples,
)
from cvae_tf.models import layers
from cvae_tf.models.arrays import also_of_arrays
from cvae_tf.models.base import GenerativeModel, images_and_labels, run_as_two_halves
from cvae_tf.models.layers import seed_dropout
from cvae_tf.models.networks import ImageShape, Networks, Options, build_networks
from cvae_tf.models.vae import anomalies, objectives
from cvae_tf.models.vae.anomalies import Anomaly, HeldOutScores, UsualHeat
from cvae_tf.models.vae.latent_mixture import LatentSampler
from cvae_tf.models.vae.likelihoods import Pixels
from cvae_tf.models.vae.objectives import ElboTerms, Objective, elbo_terms
from cvae_tf.models.vae.posterior import FullPosterior, Posterior, repeat_rows
from cvae_tf.models.vae.refinement import refine_images
from cvae_tf.presets import MOST_REFINED, REFINE_STEPS

_USUAL = {  # as the preset `fast` has them
    "network": "patches", "latent_dim": 2, "image_shape": (28, 28, 1), "options": Options(),
    "precision": "float32",
}  # fmt: skip
_SHARE_OF_ELBO = 0.5  # of the objective "shared"


@keras.saving.register_keras_serializable(package="cvae_tf")
class CVAE(GenerativeModel):
    """A VAE with Gaussian posterior, standard Gaussian prior and, by default, Bernoulli pixels.

    `compile(optimizer)` and `fit(images)` work as with any Keras model, on images [B, H, W, C]
    with pixels in [0, 1] as the likelihood needs them. A conditional one takes
    `fit(images, labels)` and models p(x|y), with q(z|x, y). All noise follows from `seed` and
    the optimizer's step, so that a run can be repeated and resumed.
    """

    _is_for_inference = False

    def __init__(
        self,
        networks: Networks | None = None,
        seed: int = 0,
        pixels: Pixels | None = None,
        objective: Objective | str = objectives.ELBO,
        input_noise: float = 0.0,
        num_classes: int = 0,
        sampler: str = "prior",
        *,
        network: str | None = None,
        latent_dim: int | None = None,
        image_shape: ImageShape | None = None,
        options: Options | None = None,
        precision: str | None = None,
        likelihood: str | None = None,
        binarize: str | None = None,
        **kwargs: Any,
    ):
        """Joins an encoder and a decoder, which are given or built here with fresh weights.

        Args:
            networks: the matching pair, if they exist already.
            seed: decides initial weights, and all noise of training and evaluation.
            pixels: what a pixel is, and what p(x|z) is; the decoder gives its parameters.
            objective: what training maximises, or its name.
            input_noise: standard deviation of the noise added to the encoder's input in training.
            num_classes: Y, if the networks take labels.
            sampler: where samples come from: "prior", or a "mixture" of Gaussians that is fitted
                to latents of training images.
            network: the name of the pair to build, by default "patches", with `latent_dim` (2),
                for images of `image_shape` (28, 28, 1), with `options` and `precision` (float32).
            latent_dim: Z.
            image_shape: height, width, channels.
            options: further options of the networks.
            precision: of their layers.
            likelihood: p(x|z) by its name instead of `pixels`, by default "bernoulli".
            binarize: how such pixels are made; by default as the likelihood needs them.
            **kwargs: passed on to `keras.Model`.

        Raises:
            ValueError: if both networks and their settings are given, or pixels and likelihood.
            UserError: if a name is unknown, or the network cannot take such images.
        """
        by_name = {
            "network": network, "latent_dim": latent_dim, "image_shape": image_shape,
            "options": options, "precision": precision,
        }  # fmt: skip
        _refuse_both(networks, "networks", **by_name)
        _refuse_both(pixels, "pixels", likelihood=likelihood, binarize=binarize)
        pixels, built_of = pixels or Pixels.of(likelihood or "bernoulli", binarize), {}
        if networks is None:
            networks, built_of = _built(int(seed), pixels, num_classes, **by_name)
        super().__init__(int(seed), **kwargs)
        self.encoder, self.decoder = networks
        self.built_of = types.MappingProxyType(built_of)  # Keras would wrap a dictionary
        self.latent_dim = self.decoder.inputs[0].shape[-1]
        self.image_shape = tuple(self.encoder.inputs[0].shape[1:])
        self.pixels, self.num_classes, self.input_noise = pixels, num_classes, input_noise
        self.objective = Objective(objective) if isinstance(objective, str) else objective
        is_mixture = sampler == "mixture"
        self.sampler = LatentSampler(self.latent_dim, dtype="float32") if is_mixture else None
        self.held_out_scores = HeldOutScores()
        self.usual_heat = UsualHeat(*self.image_shape[:2])
        names = ["elbo", "log_likelihood", "kl"] + ["objective"] * (not self.objective.is_elbo)
        self.means = {name: keras.metrics.Mean(name, "float32") for name in names}

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    @property
    def sampler_name(self) -> str:
        """Where samples come from, as the setting names it."""
        return "prior" if self.sampler is None else "mixture"

    @property
    def samples_from(self) -> str:
        """The mixture, once it is fitted; until then samples come from the prior."""
        return "prior" if self.sampler is None or not self.sampler.is_fitted else "mixture"

    @property
    def fitted_parts(self) -> dict[str, Any]:
        """The sampler, if there is one, and what held-out images are like."""
        parts = {} if self.sampler is None else {"sampler": self.sampler}
        parts["held_out_scores"] = self.held_out_scores
        has_values = self.pixels.likelihood.log_prob_of_values is not None
        return {**parts, "usual_heat": self.usual_heat} if has_values else parts

    @property
    def can_refine(self) -> bool:
        """Whether posteriors can be refined: not with very many latents."""
        return self.latent_dim <= MOST_REFINED and self.pixels.likelihood.information is not None

    # q(z|x) and p(x|z).

    @also_of_arrays
    def encode(
        self, images: tf.Tensor, labels: tf.Tensor | None = None, training: bool = False
    ) -> Posterior:
        """Finds the posterior q(z|x) of each image: mean and logvar, each [B, Z].

        Args:
            images: pixels as in training, float32 [B, H, W, C]; or grey levels in [0, 1], which
                become the likeliest pixels.
            labels: of a conditional model, whose posterior is q(z|x, y).
            training: whether dropout is active.
        """
        if not training:
            images = self.pixels.binarize_mode(images)  # which leaves pixels as they are
        code = run_as_two_halves(self.encoder, images, labels, training)
        return Posterior(*tf.split(code, 2, axis=1))

    @also_of_arrays
    def parameters(
        self, latents: tf.Tensor, labels: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Returns the parameters of p(x|z) for latents [B, Z].

        Of Bernoulli pixels they are the log-odds of being white, [B, H, W, C].
        """
        return run_as_two_halves(self.decoder, latents, labels, training)

    @also_of_arrays
    def decode(self, latents: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the mean image for latents [B, Z], [B, H, W, C] in [0, 1].

        Of Bernoulli pixels it is the probability of being white.
        """
        return self.pixels.likelihood.mean(self.parameters(latents, labels))

    @also_of_arrays
    def reconstruct(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Decodes the posterior means of images [B, H, W, C], as mean images."""
        return self.decode(self.encode(images, labels).mean, labels)

    def call(self, inputs: Any) -> tf.Tensor:
        """Reconstructs images [B, H, W, C] from their posterior means, as mean images.

        A conditional model takes images and labels, `model((images, labels))`.
        """
        return self.reconstruct(*images_and_labels(inputs, self.num_classes))

    def sample_latents(self, num: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws latents [num, Z], from the prior or from the fitted mixture."""
        if self.sampler is None:
            return super().sample_latents(num, seed)
        return self.sampler.draw(num, seed)

    # The ELBO, and the objective.

    def elbo(
        self, images: tf.Tensor, seed: tf.Tensor, labels: tf.Tensor | None = None
    ) -> ElboTerms:
        """Estimates the ELBO of images, and its terms, with one sample of each posterior.

        Args:
            images: pixels as in training, float32 [B, H, W, C].
            seed: int32 [2], of the posterior samples.
            labels: of a conditional model.

        Returns:
            The terms, each [B], nats; their `elbo` is to be maximised.
        """
        noise = tf.random.stateless_normal([tf.shape(images)[0], self.latent_dim], seed)
        posterior = self.encode(images, labels)
        return self.terms_with_noise(images, posterior, noise, labels=labels)[0]

    def terms_with_noise(
        self,
        images: tf.Tensor,
        posterior: Posterior | FullPosterior,
        noise: tf.Tensor,
        num_samples: int = 1,
        labels: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[ElboTerms, tf.Tensor]:
        """Samples each posterior K times with given noise.

        Args:
            images: pixels as in training, [B, H, W, C].
            posterior: of the images.
            noise: standard Gaussian, [K * B, Z]: the first samples of all images, ...
            num_samples: K.
            labels: of a conditional model, [B].
            training: whether dropout is active.

        Returns:
            The terms, each [K * B], and their latents, [K * B, Z], in the same order.
        """
        of_samples = posterior.repeated(num_samples)
        latents = of_samples.sample(noise)
        of_class = None if labels is None else repeat_rows(labels, num_samples)
        outputs = self.parameters(latents, of_class, training=training)
        log_prob = self.pixels.likelihood.log_prob(repeat_rows(images, num_samples), outputs)
        return elbo_terms(log_prob, latents, of_samples), latents

    def objective_value(
        self,
        terms: ElboTerms,
        posterior: Posterior,
        latents: tf.Tensor,
        images: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Finds what this step maximises, for a batch: a scalar, nats per image.

        Args:
            terms: of the ELBO, for K samples of each posterior, each [K * B].
            posterior: of the images, B Gaussians.
            latents: the samples, [K * B, Z].
            images: pixels, [B, H, W, C].
            training: whether dropout is active, and shared latents are new at each step.
        """
        beta = self.objective.beta_at(self.steps)
        value = objectives.objective_value(self.objective, terms, posterior, latents, beta)
        if self.objective.name != "shared":
            return value
        # In training other latents at each step; a test is the same every time.
        key = derived_key(self.seed, Purpose.SHARED_LATENTS, self.steps if training else 0)
        of_all = objectives.even_latents(self.objective.shared_latents, self.latent_dim, key)
        outputs = self.parameters(of_all, training=training)
        log_likelihood = self.pixels.likelihood.log_prob_of_all(images, outputs)
        bound = tf.reduce_mean(objectives.shared_bound(tf.cast(log_likelihood, tf.float32)))
        return _SHARE_OF_ELBO * value + (1 - _SHARE_OF_ELBO) * bound

    @also_of_arrays
    def refine(
        self,
        images: tf.Tensor,
        labels: tf.Tensor | None = None,
        *,
        steps: int | tf.Tensor = REFINE_STEPS,
    ) -> FullPosterior:
        """Finds better posteriors than the encoder's, with full covariance.

        Args:
            images: pixels as in training, float32 [B, H, W, C], B > 0.
            labels: of a conditional model.
            steps: how many Gauss-Newton steps are tried for each image.
        """
        pixels = self.pixels.binarize_mode(images)
        return self._refine(pixels, labels, tf.convert_to_tensor(steps))

    @functools.cached_property
    def _refine(self) -> Callable[..., FullPosterior]:
        """A graph, traced once for all callers."""
        refine = functools.partial(refine_images, self)
        return tf.function(refine, reduce_retracing=True, autograph=False)

    @also_of_arrays
    def anomaly(
        self, images: tf.Tensor, labels: tf.Tensor | None = None, *, false_alarms: float = 0.01
    ) -> Anomaly:
        """Says how usual images are, compared with held-out images; see `anomalies.py`.

        Args:
            images: grey levels in [0, 1], float32 [B, H, W, C], B > 0.
            labels: of a conditional model.
            false_alarms: the share of usual images, in (0, 1), that may be called anomalous.

        Raises:
            UserError: if the model knows no held-out images.
        """
        if not self.held_out_scores.count:
            raise UserError("This model knows no scores of usual images: its run was not finished.")
        found = anomalies.compare_with_held_out(self, images, labels)
        return found._replace(is_anomalous=found.p_value <= false_alarms)

    @property
    def smallest_p_value(self) -> float | None:
        """The smallest p-value of `anomaly`; None if the model knows no held-out images."""
        count = self.held_out_scores.count
        return 1 / (1 + count) if count else None

    # Training and evaluation.

    def training_batch(self, grey: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor) -> Any:
        """Turns grey levels into pixels; if drawn at random, anew at each step."""
        key = derived_key(self.seed, Purpose.BINARIZATION, step)
        pixels = self.pixels.binarize(grey, key, replicas.first_row(tf.shape(grey)[0]))
        return super().training_batch(pixels, labels, step)

    def train_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Takes one gradient step up the objective, by default the ELBO.

        Args:
            batch: pixels, float32 [B, H, W, C]; of a conditional model with labels [B] beside them.

        Returns:
            Means over images since `reset_metrics()`, nats; `loss` is the negative objective.
        """
        images, labels = images_and_labels(batch, self.num_classes)
        step, num_samples = self.steps, self.objective.importance_samples
        key = derived_key(self.seed, Purpose.TRAINING_NOISE, step)
        noise = normal_of_batch(key, tf.shape(images)[0], [self.latent_dim], num_samples)
        seed_dropout(self.networks.values(), derived_key(self.seed, Purpose.DROPOUT, step))
        with tf.GradientTape() as tape:
            posterior = self.encode(self._noisy(images, step), labels, training=True)
            terms, latents = self.terms_with_noise(
                images, posterior, noise, num_samples, labels, training=True
            )
            value = self.objective_value(terms, posterior, latents, images, training=True)
            negative_value = -value
        gradients = tape.gradient(negative_value, self.trainable_variables)
        gradients = replicas.averaged(self.optimizer, gradients)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._update_means(value, terms)

    def _noisy(self, images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The encoder's input in training (Im et al., "Denoising criterion", 2017)."""
        if not self.input_noise:
            return images
        key = derived_key(self.seed, Purpose.INPUT_NOISE, step)
        noise = normal_of_batch(key, tf.shape(images)[0], self.image_shape)
        return images + self.input_noise * noise

    def test_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Measures a batch without learning; otherwise as `train_step`.

        An image's noise depends on how many images came before it since `reset_metrics()`.
        """
        images, labels = images_and_labels(batch, self.num_classes)
        num_samples = self.objective.importance_samples
        first = self.means["elbo"].count / num_samples
        noise = self._evaluation_noise(tf.shape(images)[0], first, num_samples)
        posterior = self.encode(images, labels)
        terms, latents = self.terms_with_noise(images, posterior, noise, num_samples, labels)
        value = self.objective_value(terms, posterior, latents, images)
        return self._update_means(value, terms)

    def predict_step(self, batch: Any) -> tf.Tensor:
        """Reconstructs the images that `predict` gets, after checking them."""
        inputs, *_ = keras.utils.unpack_x_y_sample_weight(batch)
        return self.checked(self, inputs)

    def measure(
        self, grey: tf.Tensor, labels: tf.Tensor | None, first: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Estimates the terms of the ELBO of test images, each [B], nats."""
        images = self.test_pixels(grey, first)
        noise = self._evaluation_noise(tf.shape(images)[0], first)
        posterior = self.encode(images, labels)
        terms, _ = self.terms_with_noise(images, posterior, noise, labels=labels)
        log_likelihood = tf.cast(terms.log_likelihood, tf.float64)
        kl = tf.cast(terms.kl, tf.float64)
        values = {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl}
        return {measure.name: values[term] for term, measure in self.pixels.terms.items()}

    def test_pixels(self, grey: tf.Tensor, first: int | tf.Tensor) -> tf.Tensor:
        """Turns test images from the `first` on into pixels, the same every time."""
        key = derived_key(self.seed, Purpose.EVALUATION_BINARIZATION)
        return self.pixels.binarize(grey, key, first)

    def _evaluation_noise(
        self, num: tf.Tensor, first: tf.Tensor, num_samples: int = 1
    ) -> tf.Tensor:
        """Noise for test images from the `first` on, the same every time, [K * B, Z]."""
        key = derived_key(self.seed, Purpose.EVALUATION_NOISE)
        if num_samples == 1:
            return normal_of_images(key, first, num, self.latent_dim)
        return normal_of_samples(key, first, num, self.latent_dim, 0, num_samples)

    def _update_means(self, value: tf.Tensor, terms: ElboTerms) -> dict[str, tf.Tensor]:
        """Adds a batch to the means over images; returns them."""
        parts = {"elbo": terms.elbo, "log_likelihood": terms.log_likelihood, "kl": terms.kl}
        replicas.update_means(self.means, parts)
        if not self.objective.is_elbo:
            replicas.update_mean(self.means["objective"], value, tf.size(terms.elbo))
        results = {name: mean.result() for name, mean in self.means.items()}
        return {**results, "loss": -results["elbo" if self.objective.is_elbo else "objective"]}

    # Copies.

    def for_inference(self) -> "CVAE":
        """A copy with the same weights and faster normalisation layers; a copy is itself."""
        if self._is_for_inference:
            return self
        networks = Networks(*(layers.copy_for_use(n) for n in self.networks.values()))
        own = self.pixels, self.objective, self.input_noise, self.num_classes
        copy = CVAE(networks, self.seed, *own, self.sampler_name)
        for name, part in copy.fitted_parts.items():
            theirs = self.fitted_parts[name].variables
            for variable, value in zip(part.variables, theirs, strict=True):
                variable.assign(value)
        copy.built_of, copy._is_for_inference = self.built_of, True
        return copy.with_metadata(self.metadata)

    def get_config(self) -> dict[str, Any]:
        """Returns what rebuilds the model, without its weights."""
        networks = self.networks.values()
        return {
            "networks": [keras.saving.serialize_keras_object(each) for each in networks],
            "seed": self.seed,
            "pixels": self.pixels.to_settings(),
            "objective": self.objective._asdict(),
            "input_noise": self.input_noise,
            "num_classes": self.num_classes,
            "sampler": self.sampler_name,
            "built_of": dict(self.built_of),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CVAE":
        """Makes a model from what `get_config` returned."""
        config = dict(config)
        networks = [keras.saving.deserialize_keras_object(n) for n in config.pop("networks")]
        pixels, objective = Pixels.of(**config.pop("pixels")), Objective(**config.pop("objective"))
        built_of = types.MappingProxyType(config.pop("built_of"))
        model = cls(Networks(*networks), pixels=pixels, objective=objective, **config)
        model.built_of = built_of
        return model


def _refuse_both(given: Any, name: str, **others: Any) -> None:
    """Raises a ValueError if a thing is given together with settings to build it."""
    doubled = [other for other, value in others.items() if value is not None]
    if given is not None and doubled:
        raise ValueError(f"Give {name} or {doubled[0]}, not both.")


def _built(
    seed: int, pixels: Pixels, num_classes: int, **given: Any
) -> tuple[Networks, dict[str, Any]]:
    """Builds networks with fresh weights; returns them, and their settings."""
    chosen = {**_USUAL, **{name: value for name, value in given.items() if value is not None}}
    options, image_shape = chosen["options"], tuple(chosen["image_shape"])
    networks = build_networks(
        chosen["network"],
        image_shape,
        int(chosen["latent_dim"]),
        seed,
        chosen["precision"],
        num_classes=num_classes,
        options=options,
        **pixels.likelihood.decoder_parts(image_shape[-1]),
    )
    names = "network", "precision"
    return networks, {**{name: chosen[name] for name in names}, **options.to_settings()}
