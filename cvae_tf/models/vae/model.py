"""The variational autoencoder as a Keras model: how it learns, what is shown and exported of it."""

from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.core.randomness import Purpose, derived_key, normal_of_images, normal_of_samples
from cvae_tf.drawing.curves import CurveGroup
from cvae_tf.drawing.panels import Panel
from cvae_tf.models import fused_layers
from cvae_tf.models.base import Signatures
from cvae_tf.models.batch_parts import images_and_labels
from cvae_tf.models.dropout import seed_dropout
from cvae_tf.models.measures import Measure
from cvae_tf.models.networks import ImageShape, Networks, Options, build_networks
from cvae_tf.models.vae import (
    climbed,
    descriptions,
    epoch_picture,
    held_out_scores,
    objectives,
    signatures,
)
from cvae_tf.models.vae.encode_decode import EncoderDecoder
from cvae_tf.models.vae.objectives import ElboTerms, Objective
from cvae_tf.models.vae.pixels import Pixels

_SCORES = "held_out_scores"  # as a part of what is learned at the end


@keras.saving.register_keras_serializable(package="cvae_tf")
class CVAE(EncoderDecoder):
    """A VAE with Gaussian posterior, standard Gaussian prior and, by default, Bernoulli pixels.

    `compile(optimizer)` and `fit(images)` work as with any Keras model, on images [B, H, W, C]
    of such pixels as the likelihood knows, in [0, 1]; a conditional one takes
    `fit(images, labels)`, and is one of p(x|y), with q(z|x, y). All noise follows from `seed` and
    the optimizer's step, so that a run can be repeated and resumed.
    """

    title = "variational autoencoder"
    takes_labels = takes_network_settings = True
    evaluations = ("likelihood", "distance")

    def __init__(
        self,
        networks: Networks,
        seed: int = 0,
        pixels: Pixels = Pixels(),  # noqa: B008 (it cannot change)
        objective: Objective = objectives.ELBO,
        input_noise: float = 0.0,
        num_classes: int = 0,
        sampler: str = "prior",
        **kwargs: Any,
    ):
        """Joins an encoder and a decoder.

        Args:
            networks: the matching pair.
            seed: decides all noise of training and evaluation.
            pixels: what they are, and what p(x|z) is; the decoder's outputs are its parameters.
            objective: what a training step climbs.
            input_noise: deviation of the noise that is added to what the encoder sees in training.
            num_classes: Y, if the networks take labels.
            sampler: where samples come from: "prior", or "mixture" of Gaussians, which `finish`
                fits.
            **kwargs: passed on to `keras.Model`.
        """
        super().__init__(networks, seed, pixels, num_classes, sampler, **kwargs)
        self.objective, self.input_noise = objective, input_noise
        self.held_out_scores = held_out_scores.HeldOutScores()
        names = ("elbo", "log_likelihood", "kl", *(() if objective.is_elbo else ("objective",)))
        self.means = {name: keras.metrics.Mean(name, "float32") for name in names}

    @classmethod
    def from_settings(
        cls, config: Any, image_shape: ImageShape, steps_per_epoch: int, num_classes: int = 0
    ) -> "CVAE":
        """Builds the VAE of a configuration; see `GenerativeModel.from_settings`."""
        pixels = Pixels(config.binarize, config.likelihood)
        networks = build_networks(
            config.network,
            image_shape,
            config.latent_dim,
            config.seed,
            config.precision,
            outputs=pixels.density.decoder_channels(image_shape[-1]),
            head=pixels.density.head and pixels.density.head(),
            num_classes=num_classes,
            options=Options.from_config(config),
        )
        objective = Objective(
            config.objective,
            config.importance_samples,
            config.beta,
            config.kl_warmup_epochs * steps_per_epoch,
            config.free_bits,
            config.shared_latents,
        )
        own = objective, config.denoise, num_classes, config.sampler
        return cls(networks, config.seed, pixels, *own)

    def for_inference(self) -> "CVAE":
        """A copy whose normalisations are faster; it has the same weights."""
        networks = Networks(*(fused_layers.copy(n) for n in self.networks.values()))
        own = self.pixels, self.objective, self.input_noise, self.num_classes
        copy = CVAE(networks, self.seed, *own, self.sampler_name)
        for name, part in copy.finishing_parts.items():
            _copy_variables(self.finishing_parts[name], part)
        return copy

    def get_config(self) -> dict[str, Any]:
        """Returns what the model is made again from, without its weights."""
        networks = [keras.saving.serialize_keras_object(n) for n in (self.encoder, self.decoder)]
        return {
            "networks": networks,
            "seed": self.seed,
            "pixels": self.pixels._asdict(),
            "objective": self.objective._asdict(),
            "input_noise": self.input_noise,
            "num_classes": self.num_classes,
            "sampler": self.sampler_name,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CVAE":
        """Makes a model from what `get_config` returned, also in version 0.1."""
        config = dict(config)
        networks = [keras.saving.deserialize_keras_object(n) for n in config.pop("networks")]
        likelihood = config.pop("likelihood", "bernoulli")  # all that 0.1 knew of pixels
        pixels = Pixels(**config.pop("pixels", {"likelihood": likelihood}))
        objective = Objective(**config.pop("objective"))
        return cls(Networks(*networks), pixels=pixels, objective=objective, **config)

    # Training and evaluation.

    def training_batch(self, grey: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor) -> Any:
        """Makes pixels of grey levels; drawn ones are others at each step."""
        key = derived_key(self.seed, Purpose.BINARIZATION, step)
        pixels = self.pixels.drawn(grey, key, replicas.first_row(tf.shape(grey)[0]))
        return super().training_batch(pixels, labels, step)

    def train_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Takes one gradient step up the objective.

        Args:
            batch: pixels, float32 [B, H, W, C]; of a conditional model with labels [B] beside
                them. Other targets, as Keras gives them, are not looked at.

        Returns:
            The means since the last `reset_metrics()`, over images, in nats.
        """
        images, labels = images_and_labels(batch, self.num_classes)
        step = self.steps
        key = derived_key(self.seed, Purpose.TRAINING_NOISE, step)
        num_samples = self.objective.importance_samples
        noise = replicas.own_rows(
            lambda num: tf.random.stateless_normal([num_samples * num, self.latent_dim], key),
            tf.shape(images)[0],
            num_samples,
        )
        seed_dropout(self.networks.values(), derived_key(self.seed, Purpose.DROPOUT, step))
        seen = self._noisy(images, step)
        with tf.GradientTape() as tape:
            value, terms = climbed.value_and_terms(self, images, labels, noise, seen, training=True)
            negative_value = -value
        gradients = tape.gradient(negative_value, self.trainable_variables)
        replicas.apply(self.optimizer, gradients, self.trainable_variables)
        return self._update_means(value, terms)

    def _noisy(self, images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """What the encoder sees in training (Im et al., "Denoising criterion", 2017)."""
        if not self.input_noise:
            return images
        key = derived_key(self.seed, Purpose.INPUT_NOISE, step)
        shape = tf.shape(images)[1:]
        noise = replicas.own_rows(
            lambda num: tf.random.stateless_normal(tf.concat([[num], shape], axis=0), key),
            tf.shape(images)[0],
        )
        return images + self.input_noise * noise

    def test_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Measures a batch without learning; arguments and result as in training.

        The noise of an image depends on how many came before it since `reset_metrics()`.
        """
        images, labels = images_and_labels(batch, self.num_classes)
        num_samples = self.objective.importance_samples
        first = self.means["elbo"].count / num_samples
        noise = self._evaluation_noise(tf.shape(images)[0], first, num_samples)
        return self._update_means(*climbed.value_and_terms(self, images, labels, noise, images))

    def _evaluation_noise(
        self, num: tf.Tensor, first: tf.Tensor, num_samples: int = 1
    ) -> tf.Tensor:
        """Noise for test images from the `first`, the same every time, [K * B, Z]."""
        key = derived_key(self.seed, Purpose.EVALUATION_NOISE)
        if num_samples == 1:
            return normal_of_images(key, first, num, self.latent_dim)
        return normal_of_samples(key, first, num, self.latent_dim, 0, num_samples)

    def _update_means(self, value: tf.Tensor, terms: ElboTerms) -> dict[str, tf.Tensor]:
        """Adds a batch to the means over images; returns them."""
        names = ("elbo", "log_likelihood", "kl")
        replicas.update_means(self.means, {name: getattr(terms, name) for name in names})
        if not self.objective.is_elbo:
            weight = tf.size(terms.elbo) * replicas.count()
            self.means["objective"].update_state(replicas.mean(value), sample_weight=weight)
        return {name: mean.result() for name, mean in self.means.items()}

    @property
    def train_measures(self) -> dict[str, Measure]:
        """The ELBO, and the objective if that is another."""
        elbo = self.pixels.terms["elbo"]
        objective = Measure("objective", "objective", elbo.unit)
        return {"elbo": elbo, **({} if self.objective.is_elbo else {"objective": objective})}

    @property
    def test_measures(self) -> tuple[Measure, ...]:
        """The ELBO and its parts."""
        return tuple(self.pixels.terms.values())

    def finish(self, name: str, dataset: Any) -> None:
        """Scores held-out images, or fits what samples come from."""
        if name != _SCORES:
            super().finish(name, dataset)
            return
        fast = self.for_inference()
        held_out_scores.measure(fast, dataset.test)
        _copy_variables(fast.held_out_scores, self.held_out_scores)

    @property
    def finishing_parts(self) -> dict[str, Any]:
        """The sampler, if there is one, and the scores of held-out images."""
        return {**super().finishing_parts, _SCORES: self.held_out_scores}

    def measure(
        self, grey: tf.Tensor, labels: tf.Tensor | None, first: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Estimates the terms of the ELBO of test images, each [B], nats."""
        images = self.test_pixels(grey, first)
        noise = self._evaluation_noise(tf.shape(images)[0], first)
        posterior = self.encode(images, labels)
        terms, _ = self.terms_with_noise(images, posterior, noise, labels=labels)
        log_likelihood, kl = (
            tf.cast(part, tf.float64) for part in (terms.log_likelihood, terms.kl)
        )
        values = {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl}
        return {measure.name: values[term] for term, measure in self.pixels.terms.items()}

    # What is shown and exported.

    def describe_test(self, values: dict[str, float]) -> str:
        """Writes the ELBO as the sum that it is."""
        return descriptions.describe_test(self.pixels, values, self.image_shape)

    def epoch_panels(
        self, grey: tf.Tensor, labels: tf.Tensor | None, seed: tf.Tensor
    ) -> list[Panel]:
        """Shows samples from the prior, and test images over their reconstructions."""
        return epoch_picture.epoch_panels(self, self.test_pixels(grey, 0), labels, seed)

    @property
    def curves(self) -> list[CurveGroup]:
        """Draws what is to be large together, and the KL beside it."""
        return epoch_picture.curves(self.pixels)

    def signatures(self) -> Signatures:
        """What its SavedModel can do; see `vae/signatures.py`."""
        return signatures.signatures(self)

    def standalone_parts(self) -> dict[str, keras.Model]:
        """Encoder and decoder, each for itself; see `vae/signatures.py`."""
        return signatures.standalone_parts(self)

    def describe(self) -> dict[str, Any]:
        """What `model.json` says of pixels and of the terms that `score` returns."""
        is_fitted = self.sampler is not None and self.sampler.is_fitted
        known = self.held_out_scores.known
        sampler = "mixture" if is_fitted else "prior"
        return descriptions.describe(self.pixels, sampler, self.objective.name, known)

    def describe_numbers(self, metrics: dict[str, float]) -> str:
        """What the model card says of the ELBO."""
        return descriptions.describe_numbers(self.pixels, metrics, self.image_shape)


def _copy_variables(part: Any, to: Any) -> None:
    for theirs, own in zip(part.variables, to.variables, strict=True):
        own.assign(theirs)
