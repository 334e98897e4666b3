"""Encoder and decoder with a Gaussian posterior between them: encode, decode, the ELBO's terms."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core.parts import slices
from cvae_tf.core.progress import progress
from cvae_tf.core.randomness import Purpose, derived_key, numpy_generator
from cvae_tf.data.batches import grey_levels
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.shown_images import spread_rows
from cvae_tf.models.arrays import also_of_arrays
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.batch_parts import images_and_labels
from cvae_tf.models.halves import in_halves
from cvae_tf.models.networks.building import Networks
from cvae_tf.models.vae import latent_mixture, objectives
from cvae_tf.models.vae.amounts import MOST_LATENTS, STEPS
from cvae_tf.models.vae.inferring import inference
from cvae_tf.models.vae.latent_mixture import LatentSampler
from cvae_tf.models.vae.objectives import ElboTerms
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.models.vae.posterior import FullPosterior, Posterior, reparameterize

_MOST_FITTED = 50_000  # images whose latents the mixture is fitted to


class EncoderDecoder(GenerativeModel):
    """q(z|x) and p(x|z), which `model.CVAE` trains; `labels`, if there are any, are int32 [B]."""

    def __init__(
        self,
        networks: Networks,
        seed: int,
        pixels: Pixels,
        num_classes: int = 0,
        sampler: str = "prior",
        **kwargs: Any,
    ):
        """Joins an encoder and a decoder.

        Args:
            networks: the matching pair.
            seed: decides all noise.
            pixels: what they are, and what p(x|z) is; the decoder's outputs are its parameters.
            num_classes: Y, if the networks take labels.
            sampler: where samples come from, "prior" or "mixture".
            **kwargs: passed on to `keras.Model`.
        """
        super().__init__(seed, **kwargs)
        self.encoder, self.decoder = networks
        self.latent_dim = self.decoder.inputs[0].shape[-1]
        self.image_shape = tuple(self.encoder.inputs[0].shape[1:])
        self.pixels, self.num_classes = pixels, num_classes
        self.sampler = None
        if sampler == "mixture":
            self.sampler = LatentSampler(self.latent_dim, dtype="float32")
        self.draws_latents = self.sampler is not None

    @property
    def sampler_name(self) -> str:
        """Where samples come from, as the setting says it."""
        return "prior" if self.sampler is None else "mixture"

    def finish(self, name: str, dataset: Dataset) -> None:
        """Fits the mixture that samples come from; that is all there is."""
        with progress("encoding") as show:
            means = self._means_of(dataset.train, show)
        random = numpy_generator(self.seed, Purpose.FITTED_LATENTS)
        with progress("sampler") as show:
            self.sampler.take(latent_mixture.fit(means, random, show))

    def _means_of(self, split: Split, show: Callable[[float], None]) -> np.ndarray:
        """The posterior means of training images, if there are very many of some, [N, Z]."""
        rows, parts = spread_rows(len(split.images), _MOST_FITTED), []
        for part in slices(len(rows), self.image_shape):
            own, first = rows[part], part.start
            pixels = self.test_pixels(grey_levels(tf.constant(split.images[own])), first)
            labels = tf.constant(split.labels[own], tf.int32) if self.num_classes else None
            parts.append(self._traced_encode(pixels, labels).mean.numpy())
            show(part.stop / len(rows))
        return np.concatenate(parts)

    @functools.cached_property
    def _traced_encode(self) -> Callable[..., Posterior]:
        return tf.function(self.encode, reduce_retracing=True)

    @property
    def finishing_parts(self) -> dict[str, Any]:
        """The sampler, if samples do not come from the prior."""
        return {} if self.sampler is None else {"sampler": self.sampler}

    def sample_latents(self, num: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws latents [num, Z], from the prior or from the fitted mixture."""
        if self.sampler is None:
            return super().sample_latents(num, seed)
        return self.sampler.draw(num, seed)

    @property
    def can_refine(self) -> bool:
        """Whether posteriors can be refined: not if there are very many latents."""
        return self.latent_dim <= MOST_LATENTS and self.pixels.density.information is not None

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    @also_of_arrays
    def encode(
        self, images: tf.Tensor, labels: tf.Tensor | None = None, training: bool = False
    ) -> Posterior:
        """Finds the posterior q(z|x) of each image.

        Args:
            images: pixels as in training, float32 [B, H, W, C].
            labels: of a conditional model, whose posterior is q(z|x, y).
            training: whether dropout drops.

        Returns:
            mean and logvar, each [B, Z].
        """
        code = in_halves(self.encoder, images, labels, training)
        return Posterior(*tf.split(code, 2, axis=1))

    def reparameterize(self, mean: tf.Tensor, logvar: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws one sample of each posterior [B, Z]; the same seed, int32 [2], draws the same."""
        noise = tf.random.stateless_normal(tf.shape(mean), seed)
        return reparameterize(Posterior(mean, logvar), noise)

    @also_of_arrays
    def parameters(
        self, latents: tf.Tensor, labels: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Returns the parameters of p(x|z) for latents [B, Z].

        Of Bernoulli pixels they are the log-odds of being white, [B, H, W, C].
        """
        return in_halves(self.decoder, latents, labels, training)

    @also_of_arrays
    def decode(self, latents: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the mean image for latents [B, Z], [B, H, W, C] in [0, 1].

        Of Bernoulli pixels it is the probability of being white.
        """
        return self.pixels.density.mean(self.parameters(latents, labels))

    def call(self, inputs: Any) -> tf.Tensor:
        """Reconstructs images [B, H, W, C] from their posterior means, as mean images.

        A conditional model takes images and labels, `model((images, labels))`.
        """
        return self.reconstruct(*images_and_labels(inputs, self.num_classes))

    def predict_step(self, batch: Any) -> tf.Tensor:
        """Reconstructs what `predict` is given, if it fits."""
        inputs, *_ = keras.utils.unpack_x_y_sample_weight(batch)
        return self.checked(self, inputs)

    @also_of_arrays
    def reconstruct(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Decodes the posterior means of images [B, H, W, C], as mean images."""
        return self.decode(self.encode(images, labels).mean, labels)

    def elbo_terms(
        self, images: tf.Tensor, seed: tf.Tensor, labels: tf.Tensor | None = None
    ) -> ElboTerms:
        """Estimates the terms of the ELBO with one sample of each posterior.

        Args:
            images: pixels as in training, float32 [B, H, W, C].
            seed: int32 [2], of the posterior samples.
            labels: of a conditional model.

        Returns:
            The terms, each [B], nats.
        """
        noise = tf.random.stateless_normal([tf.shape(images)[0], self.latent_dim], seed)
        posterior = self.encode(images, labels)
        return self.terms_with_noise(images, posterior, noise, labels=labels)[0]

    def terms_with_noise(
        self,
        images: tf.Tensor,
        posterior: Posterior,
        noise: tf.Tensor,
        num_samples: int = 1,
        labels: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[ElboTerms, tf.Tensor]:
        """Samples each posterior K times by given noise; see `objectives.sample_terms`."""
        log_prob = self.pixels.density.log_prob
        of_samples = labels if labels is None else tf.tile(labels, [num_samples])

        def decode(latents: tf.Tensor) -> tf.Tensor:
            return self.parameters(latents, of_samples, training)

        return objectives.sample_terms(decode, log_prob, images, posterior, noise, num_samples)

    def test_pixels(self, grey: tf.Tensor, first: int | tf.Tensor) -> tf.Tensor:
        """Makes pixels of test images from the `first`; drawn ones are the same every time."""
        key = derived_key(self.seed, Purpose.EVALUATION_BINARIZATION)
        return self.pixels.drawn(grey, key, first)

    @also_of_arrays
    def refine(
        self, images: tf.Tensor, labels: tf.Tensor | None = None, *, steps: int | tf.Tensor = STEPS
    ) -> FullPosterior:
        """Finds better posteriors than the encoder's, by Gauss-Newton steps for each image.

        Args:
            images: pixels as in training, float32 [B, H, W, C], B > 0.
            labels: of a conditional model.
            steps: how many are tried.

        Returns:
            Gaussians with full covariance.
        """
        return self.traced_inference(images, labels, tf.convert_to_tensor(steps))

    @functools.cached_property
    def traced_inference(self) -> Callable[..., FullPosterior]:
        """What `refine` calls: a graph of its own, traced once for all that use it."""
        return inference(self)

    def encode_mean(self, grey: tf.Tensor, labels: tf.Tensor | None, first: int) -> tf.Tensor:
        """Finds the posterior means [B, Z] of test images from the `first`."""
        return self.encode(self.test_pixels(grey, first), labels).mean
