"""The convolutional variational autoencoder as a Keras model."""

from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.randomness import Stream, stream_seed
from cvae_tf.models.networks.building import Networks
from cvae_tf.models.vae import objectives
from cvae_tf.models.vae.likelihoods import LIKELIHOODS
from cvae_tf.models.vae.objectives import ElboTerms, Objective, Posterior


@keras.saving.register_keras_serializable(package="cvae_tf")
class CVAE(keras.Model):
    """A VAE with Gaussian posterior, standard Gaussian prior and, by default, Bernoulli pixels.

    `compile(optimizer)` and `fit(images)` work as with any Keras model, on images [B, H, W, C]
    of such pixels as the likelihood knows. All noise follows from `seed` and the optimizer's step,
    so that a run can be repeated and resumed.
    """

    def __init__(
        self,
        networks: Networks,
        seed: int = 0,
        likelihood: str = "bernoulli",
        objective: Objective = objectives.ELBO,
        **kwargs,
    ):
        """Joins an encoder and a decoder.

        Args:
            networks: the matching pair.
            seed: decides all noise of training and evaluation.
            likelihood: what p(x|z) is, a name in `LIKELIHOODS`; the decoder's outputs are its
                parameters.
            objective: what a training step climbs.
            **kwargs: passed on to `keras.Model`.
        """
        super().__init__(**kwargs)
        self.encoder = networks.encoder
        self.decoder = networks.decoder
        self.seed = seed
        self.latent_dim = self.decoder.input_shape[-1]
        self.image_shape = self.encoder.input_shape[1:]
        self.likelihood = likelihood
        self.objective = objective
        names = ("elbo", "log_likelihood", "kl", *(() if objective.is_elbo else ("objective",)))
        self.means = {name: keras.metrics.Mean(name) for name in names}

    def get_config(self) -> dict[str, Any]:
        """Returns what the model is made again from, without its weights."""
        networks = [keras.saving.serialize_keras_object(n) for n in (self.encoder, self.decoder)]
        return {
            "networks": networks,
            "seed": self.seed,
            "likelihood": self.likelihood,
            "objective": self.objective._asdict(),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CVAE":
        """Makes a model from what `get_config` returned."""
        networks = [keras.saving.deserialize_keras_object(n) for n in config["networks"]]
        objective = Objective(**config["objective"])
        return cls(**{**config, "networks": Networks(*networks), "objective": objective})

    def encode(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the posterior q(z|x) of each image.

        Args:
            images: as in training, float32 [B, H, W, C].

        Returns:
            mean and logvar, each [B, Z].
        """
        mean, logvar = tf.split(_in_halves(self.encoder, images), 2, axis=1)
        return mean, logvar

    def reparameterize(self, mean: tf.Tensor, logvar: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws one sample of each posterior; see `objectives.reparameterize`."""
        return objectives.reparameterize(mean, logvar, seed)

    def decode(self, latents: tf.Tensor) -> tf.Tensor:
        """Returns the parameters of p(x|z) for latents [B, Z].

        Of Bernoulli pixels they are the log-odds of being white, [B, H, W, C].
        """
        return _in_halves(self.decoder, latents)

    def decode_mean(self, latents: tf.Tensor) -> tf.Tensor:
        """Returns the mean image for latents [B, Z], [B, H, W, C] in [0, 1].

        Of Bernoulli pixels it is the probability of being white.
        """
        return LIKELIHOODS[self.likelihood].mean(self.decode(latents))

    def sample(self, num: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws images from the model: latents from the prior, decoded.

        Args:
            num: number of images.
            seed: int32 [2].

        Returns:
            Their means, of Bernoulli pixels the probabilities of white, [num, H, W, C] in [0, 1].
        """
        return self.decode_mean(tf.random.stateless_normal([num, self.latent_dim], seed))

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Reconstructs images [B, H, W, C] from their posterior means, as mean images."""
        mean, _ = self.encode(images)
        return self.decode_mean(mean)

    def elbo_terms(self, images: tf.Tensor, seed: tf.Tensor) -> ElboTerms:
        """Estimates the terms of the ELBO with one sample of each posterior.

        Args:
            images: as in training, float32 [B, H, W, C].
            seed: int32 [2], of the posterior samples.

        Returns:
            The terms, each [B], nats.
        """
        return self._terms_and_posterior(images, seed)[0]

    def _terms_and_posterior(
        self, images: tf.Tensor, seed: tf.Tensor, num_samples: int = 1
    ) -> tuple[ElboTerms, Posterior]:
        """Samples each posterior K times; the terms are [K * B]."""
        mean, logvar = self.encode(images)
        log_prob = LIKELIHOODS[self.likelihood].log_prob
        return objectives.sample_terms(
            self.decode, log_prob, images, mean, logvar, seed, num_samples
        )

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes one gradient step up the objective.

        Args:
            images: a batch, float32 [B, H, W, C].

        Returns:
            The means since the last `reset_metrics()`, over images, in nats.
        """
        step, objective = self.optimizer.iterations, self.objective
        seed = stream_seed(self.seed, Stream.TRAINING_NOISE, step)
        with tf.GradientTape() as tape:
            terms, posterior = self._terms_and_posterior(images, seed, objective.importance_samples)
            beta = objective.beta_at(step)
            value = objectives.objective_value(objective, terms, posterior, beta)
            negative_value = -value
        gradients = tape.gradient(negative_value, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        if not objective.is_elbo:
            self.means["objective"].update_state(value)
        return self._update_means(terms)

    def test_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Estimates the ELBO of a batch without learning; arguments and result as in training."""
        images_before = self.means["elbo"].count
        seed = stream_seed(self.seed, Stream.EVALUATION_NOISE, images_before)
        return self._update_means(self.elbo_terms(images, seed))

    def _update_means(self, terms: ElboTerms) -> dict[str, tf.Tensor]:
        for name in ("elbo", "log_likelihood", "kl"):
            self.means[name].update_state(getattr(terms, name))
        return {name: mean.result() for name, mean in self.means.items()}


def _in_halves(network: keras.Model, batch: tf.Tensor) -> tf.Tensor:
    """Runs a network on the two halves of a batch, which TensorFlow then computes side by side.

    Two cores with a half each are faster than two that share every operation. A GPU is not.
    """
    size = batch.shape[0]
    if size is None or size % 2 or tf.config.list_physical_devices("GPU"):
        return tf.cast(network(batch), tf.float32)
    halves = [network(half) for half in tf.split(batch, 2)]
    return tf.cast(tf.concat(halves, axis=0), tf.float32)
