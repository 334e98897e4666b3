"""The variational autoencoder as a Keras model: encode, decode, `train_step`."""

from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key, normal_of_images, normal_of_samples
from cvae_tf.drawing.curves import CurveGroup
from cvae_tf.drawing.panels import Panel
from cvae_tf.models import fused_layers
from cvae_tf.models.base import GenerativeModel, Signatures, images_of
from cvae_tf.models.halves import in_halves
from cvae_tf.models.measures import Measure
from cvae_tf.models.networks.building import ImageShape, Networks, build_networks
from cvae_tf.models.vae import descriptions, epoch_picture, objectives, signatures
from cvae_tf.models.vae.objectives import ElboTerms, Objective
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.models.vae.posterior import Posterior, reparameterize


@keras.saving.register_keras_serializable(package="cvae_tf")
class CVAE(GenerativeModel):
    """A VAE with Gaussian posterior, standard Gaussian prior and, by default, Bernoulli pixels.

    `compile(optimizer)` and `fit(images)` work as with any Keras model, on images [B, H, W, C]
    of such pixels as the likelihood knows. All noise follows from `seed` and the optimizer's step,
    so that a run can be repeated and resumed.
    """

    title = "variational autoencoder"
    evaluations = ("likelihood",)

    def __init__(
        self,
        networks: Networks,
        seed: int = 0,
        pixels: Pixels = Pixels(),  # noqa: B008 (it cannot change)
        objective: Objective = objectives.ELBO,
        **kwargs: Any,
    ):
        """Joins an encoder and a decoder.

        Args:
            networks: the matching pair.
            seed: decides all noise of training and evaluation.
            pixels: what they are, and what p(x|z) is; the decoder's outputs are its parameters.
            objective: what a training step climbs.
            **kwargs: passed on to `keras.Model`.
        """
        super().__init__(seed, **kwargs)
        self.encoder, self.decoder = networks
        self.latent_dim = self.decoder.input_shape[-1]
        self.image_shape = self.encoder.input_shape[1:]
        self.pixels, self.objective = pixels, objective
        names = ("elbo", "log_likelihood", "kl", *(() if objective.is_elbo else ("objective",)))
        self.means = {name: keras.metrics.Mean(name) for name in names}

    @classmethod
    def from_settings(cls, config: Any, image_shape: ImageShape, steps_per_epoch: int) -> "CVAE":
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
        )
        objective = Objective(
            config.objective,
            config.importance_samples,
            config.beta,
            config.kl_warmup_epochs * steps_per_epoch,
            config.free_bits,
        )
        return cls(networks, config.seed, pixels, objective)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    def for_inference(self) -> "CVAE":
        """A copy whose normalisations are faster; it has the same weights."""
        networks = Networks(*(fused_layers.copy(n) for n in self.networks.values()))
        return CVAE(networks, self.seed, self.pixels, self.objective)

    def get_config(self) -> dict[str, Any]:
        """Returns what the model is made again from, without its weights."""
        networks = [keras.saving.serialize_keras_object(n) for n in (self.encoder, self.decoder)]
        return {
            "networks": networks,
            "seed": self.seed,
            "pixels": self.pixels._asdict(),
            "objective": self.objective._asdict(),
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

    # Inference and generation.

    def encode(self, images: tf.Tensor) -> Posterior:
        """Finds the posterior q(z|x) of each image.

        Args:
            images: pixels as in training, float32 [B, H, W, C].

        Returns:
            mean and logvar, each [B, Z].
        """
        return Posterior(*tf.split(in_halves(self.encoder, images), 2, axis=1))

    def reparameterize(self, mean: tf.Tensor, logvar: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws one sample of each posterior [B, Z]; the same seed, int32 [2], draws the same."""
        noise = tf.random.stateless_normal(tf.shape(mean), seed)
        return reparameterize(Posterior(mean, logvar), noise)

    def decode(self, latents: tf.Tensor) -> tf.Tensor:
        """Returns the parameters of p(x|z) for latents [B, Z].

        Of Bernoulli pixels they are the log-odds of being white, [B, H, W, C].
        """
        return in_halves(self.decoder, latents)

    def decode_mean(self, latents: tf.Tensor) -> tf.Tensor:
        """Returns the mean image for latents [B, Z], [B, H, W, C] in [0, 1].

        Of Bernoulli pixels it is the probability of being white.
        """
        return self.pixels.density.mean(self.decode(latents))

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Reconstructs images [B, H, W, C] from their posterior means, as mean images."""
        return self.decode_mean(self.encode(images).mean)

    # Training and evaluation.

    def elbo_terms(self, images: tf.Tensor, seed: tf.Tensor) -> ElboTerms:
        """Estimates the terms of the ELBO with one sample of each posterior.

        Args:
            images: pixels as in training, float32 [B, H, W, C].
            seed: int32 [2], of the posterior samples.

        Returns:
            The terms, each [B], nats.
        """
        noise = tf.random.stateless_normal([tf.shape(images)[0], self.latent_dim], seed)
        return self.terms_with_noise(images, self.encode(images), noise)[0]

    def terms_with_noise(
        self, images: tf.Tensor, posterior: Posterior, noise: tf.Tensor, num_samples: int = 1
    ) -> tuple[ElboTerms, tf.Tensor]:
        """Samples each posterior K times by given noise; see `objectives.sample_terms`."""
        log_prob = self.pixels.density.log_prob
        return objectives.sample_terms(self.decode, log_prob, images, posterior, noise, num_samples)

    def training_batch(self, grey: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Makes pixels of grey levels; drawn ones are others at each step."""
        return self.pixels.drawn(grey, derived_key(self.seed, Purpose.BINARIZATION, step))

    def train_step(self, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes one gradient step up the objective.

        Args:
            batch: pixels, float32 [B, H, W, C]; targets beside them, as Keras gives them, are not
                looked at.

        Returns:
            The means since the last `reset_metrics()`, over images, in nats.
        """
        images, step = images_of(batch), self.steps
        key = derived_key(self.seed, Purpose.TRAINING_NOISE, step)
        num_latents = self.objective.importance_samples * tf.shape(images)[0]
        noise = tf.random.stateless_normal([num_latents, self.latent_dim], key)
        with tf.GradientTape() as tape:
            value, terms = self._objective_value(images, noise)
            negative_value = -value
        gradients = tape.gradient(negative_value, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._update_means(value, terms)

    def test_step(self, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """Measures a batch without learning; arguments and result as in training.

        The noise of an image depends on how many came before it since `reset_metrics()`.
        """
        images, num_samples = images_of(batch), self.objective.importance_samples
        first = self.means["elbo"].count / num_samples
        noise = self._evaluation_noise(tf.shape(images)[0], first, num_samples)
        return self._update_means(*self._objective_value(images, noise))

    def _objective_value(self, images: tf.Tensor, noise: tf.Tensor) -> tuple[tf.Tensor, ElboTerms]:
        """What a step climbs now, and the terms [K * B] that it is made of."""
        objective, posterior = self.objective, self.encode(images)
        num_samples = objective.importance_samples
        terms, latents = self.terms_with_noise(images, posterior, noise, num_samples)
        beta = objective.beta_at(self.steps)
        return objectives.objective_value(objective, terms, posterior, latents, beta), terms

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
        for name in ("elbo", "log_likelihood", "kl"):
            self.means[name].update_state(getattr(terms, name))
        if not self.objective.is_elbo:
            self.means["objective"].update_state(value, sample_weight=tf.size(terms.elbo))
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

    def test_pixels(self, grey: tf.Tensor, first: int | tf.Tensor) -> tf.Tensor:
        """Makes pixels of test images from the `first`; drawn ones are the same every time."""
        key = derived_key(self.seed, Purpose.EVALUATION_BINARIZATION)
        return self.pixels.drawn(grey, key, first)

    def measure(self, grey: tf.Tensor, first: tf.Tensor) -> dict[str, tf.Tensor]:
        """Estimates the terms of the ELBO of test images, each [B], nats."""
        images = self.test_pixels(grey, first)
        noise = self._evaluation_noise(tf.shape(images)[0], first)
        terms, _ = self.terms_with_noise(images, self.encode(images), noise)
        log_likelihood, kl = (
            tf.cast(part, tf.float64) for part in (terms.log_likelihood, terms.kl)
        )
        values = {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl}
        return {measure.name: values[term] for term, measure in self.pixels.terms.items()}

    # What is shown and exported.

    def describe_test(self, values: dict[str, float]) -> str:
        """Writes the ELBO as the sum that it is."""
        return descriptions.describe_test(self.pixels, values, self.image_shape)

    def encode_mean(self, grey: tf.Tensor, first: int) -> tf.Tensor:
        """Finds the posterior means [B, Z] of test images from the `first`."""
        return self.encode(self.test_pixels(grey, first)).mean

    def epoch_panels(self, grey: tf.Tensor, seed: tf.Tensor) -> list[Panel]:
        """Shows samples from the prior, and test images over their reconstructions."""
        return epoch_picture.epoch_panels(self, self.test_pixels(grey, 0), seed)

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
        return descriptions.describe(self.pixels)

    def describe_numbers(self, metrics: dict[str, float]) -> str:
        """What the model card says of the ELBO."""
        return descriptions.describe_numbers(self.pixels, metrics, self.image_shape)
