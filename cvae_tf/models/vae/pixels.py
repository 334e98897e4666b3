"""What a pixel is to a VAE, one value: how it is made of a grey level, and its likelihood."""

from typing import NamedTuple

import tensorflow as tf

from cvae_tf.core.randomness import uniform_of_images
from cvae_tf.core.settings import find
from cvae_tf.models.measures import Measure
from cvae_tf.models.vae.likelihoods import (
    BINARIZATIONS,
    LIKELIHOODS,
    Binarization,
    Likelihood,
)
from cvae_tf.models.vae.objectives import ElboTerms

_NATS = "nats per image"


class Pixels(NamedTuple):
    """Pixels and their likelihood, by the names in `BINARIZATIONS` and `LIKELIHOODS`."""

    binarize: str = "threshold"
    likelihood: str = "bernoulli"

    @property
    def density(self) -> Likelihood:
        """p(x|z) of such pixels."""
        return find("likelihood", LIKELIHOODS, self.likelihood)

    @property
    def binarization(self) -> Binarization:
        """How they are made of grey levels."""
        return find("binarize", BINARIZATIONS, self.binarize)

    @property
    def has_likelihood(self) -> bool:
        """Whether p(x|z) is a distribution of them at all.

        The cross-entropy of grey levels is none: nothing makes its exponential a density, so what
        it is part of bounds no log p(x).
        """
        return self.density.takes_grey or self.binarize != "none"

    @property
    def terms(self) -> dict[str, Measure]:
        """What the ELBO and its parts are to be called."""
        kl = Measure("kl", "KL", _NATS, higher_is_better=False)
        if self.has_likelihood:
            return {
                "elbo": Measure("elbo", "ELBO", _NATS),
                "log_likelihood": Measure("log_likelihood", "log-likelihood", _NATS),
                "kl": kl,
            }
        return {
            "elbo": Measure("pseudo_elbo", "pseudo-ELBO", _NATS),
            "log_likelihood": Measure("negative_cross_entropy", "negative cross-entropy", _NATS),
            "kl": kl,
        }

    def named(self, terms: ElboTerms) -> dict[str, tf.Tensor]:
        """The ELBO and its parts, each [B], by what they are to be called."""
        return {measure.name: getattr(terms, term) for term, measure in self.terms.items()}

    def likeliest(self, grey: tf.Tensor) -> tf.Tensor:
        """Makes pixels of grey levels [B, H, W, C] where nothing may be drawn."""
        return self.binarization.pixels(grey)

    def drawn(self, grey: tf.Tensor, key: tf.Tensor, first: int | tf.Tensor = 0) -> tf.Tensor:
        """Makes pixels of grey levels, by chance if that is what they are.

        Args:
            grey: in [0, 1], float32 [B, H, W, C].
            key: int32 [2], as `derived_key` makes it.
            first: number of the first image; each is drawn by its number.

        Returns:
            float32 [B, H, W, C].
        """
        if not self.binarization.is_drawn:
            return self.likeliest(grey)
        values = grey.shape[1] * grey.shape[2] * grey.shape[3]
        chances = uniform_of_images(key, first, tf.shape(grey)[0], values)
        return tf.cast(tf.reshape(chances, tf.shape(grey)) < grey, tf.float32)
