"""The convolutional variational autoencoder as a Keras model."""

from typing import Any

import keras
import tensorflow as tf

from cvae_tf import objectives
from cvae_tf.networks import Networks
from cvae_tf.objectives import ElboTerms
from cvae_tf.randomness import Stream, stream_seed


@keras.saving.register_keras_serializable(package="cvae_tf")
class CVAE(keras.Model):
    """A VAE with Gaussian posterior, standard Gaussian prior and Bernoulli pixels.

    `compile(optimizer)` and `fit(images)` work as with any Keras model, on binary images
    [B, H, W, C]. All noise follows from `seed` and the optimizer's step, so that a run can be
    repeated and resumed.
    """

    def __init__(self, networks: Networks, seed: int = 0, **kwargs):
        """Joins an encoder and a decoder.

        Args:
            networks: the matching pair.
            seed: decides all noise of training and evaluation.
            **kwargs: passed on to `keras.Model`.
        """
        super().__init__(**kwargs)
        self.encoder = networks.encoder
        self.decoder = networks.decoder
        self.seed = seed
        self.latent_dim = self.decoder.input_shape[-1]
        self.image_shape = self.encoder.input_shape[1:]
        self.means = {name: keras.metrics.Mean(name) for name in ("elbo", "log_likelihood", "kl")}

    def get_config(self) -> dict[str, Any]:
        """Returns what the model is made again from, without its weights."""
        networks = [keras.saving.serialize_keras_object(n) for n in (self.encoder, self.decoder)]
        return {"networks": networks, "seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CVAE":
        """Makes a model from what `get_config` returned."""
        networks = [keras.saving.deserialize_keras_object(n) for n in config["networks"]]
        return cls(**{**config, "networks": Networks(*networks)})

    def encode(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the posterior q(z|x) of each image.

        Args:
            images: binary pixels, float32 [B, H, W, C].

        Returns:
            mean and logvar, each [B, Z].
        """
        mean, logvar = tf.split(_in_halves(self.encoder, images), 2, axis=1)
        return mean, logvar

    def reparameterize(self, mean: tf.Tensor, logvar: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws one sample of each posterior so that gradients reach its parameters.

        Args:
            mean: [B, Z].
            logvar: [B, Z].
            seed: int32 [2]; the same seed gives the same noise.

        Returns:
            latents, [B, Z].
        """
        noise = tf.random.stateless_normal(tf.shape(mean), seed)
        return mean + tf.exp(0.5 * logvar) * noise

    def decode(self, latents: tf.Tensor) -> tf.Tensor:
        """Returns the log-odds of each pixel being white, [B, H, W, C], for latents [B, Z]."""
        return _in_halves(self.decoder, latents)

    def sample(self, num: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws images from the model: latents from the prior, decoded.

        Args:
            num: number of images.
            seed: int32 [2].

        Returns:
            Probabilities of a white pixel in [0, 1], [num, H, W, C].
        """
        latents = tf.random.stateless_normal([num, self.latent_dim], seed)
        return tf.sigmoid(self.decode(latents))

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Reconstructs images [B, H, W, C] from their posterior means, as probabilities."""
        mean, _ = self.encode(images)
        return tf.sigmoid(self.decode(mean))

    def elbo_terms(self, images: tf.Tensor, seed: tf.Tensor) -> ElboTerms:
        """Estimates the terms of the ELBO with one sample of each posterior.

        Args:
            images: binary pixels, float32 [B, H, W, C].
            seed: int32 [2], of the posterior samples.

        Returns:
            The terms, each [B], nats.
        """
        mean, logvar = self.encode(images)
        latents = self.reparameterize(mean, logvar, seed)
        return objectives.elbo_terms(images, self.decode(latents), latents, mean, logvar)

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes one gradient step up the ELBO.

        Args:
            images: a batch of binary images, float32 [B, H, W, C].

        Returns:
            The means since the last `reset_metrics()`, over images, in nats.
        """
        seed = stream_seed(self.seed, Stream.TRAINING_NOISE, self.optimizer.iterations)
        with tf.GradientTape() as tape:
            terms = self.elbo_terms(images, seed)
            negative_elbo = -tf.reduce_mean(terms.elbo)
        gradients = tape.gradient(negative_elbo, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._update_means(terms)

    def test_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Estimates the ELBO of a batch without learning; arguments and result as in training."""
        images_before = self.means["elbo"].count
        seed = stream_seed(self.seed, Stream.EVALUATION_NOISE, images_before)
        return self._update_means(self.elbo_terms(images, seed))

    def _update_means(self, terms: ElboTerms) -> dict[str, tf.Tensor]:
        for name, mean in self.means.items():
            mean.update_state(getattr(terms, name))
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
