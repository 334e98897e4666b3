"""The latent space divided into cells, over which `exact_evidence.py` integrates."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from cvae_tf.evaluation import cell_rules
from cvae_tf.models.vae.likelihoods import matrix_product
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.posterior import Posterior, log_normal

_SIDE_OF_CELL = {1: 0.002, 2: 0.1}  # by latent dimensions: a few posterior deviations
_LEAST_EXTENT, _LARGEST_EXTENT = 5.0, 12.0  # of the cells, from 0 in each direction
_DEVIATIONS = 4.0  # of a posterior that must lie within the cells, and be integrated finely


class Grid:
    """The cells, their nodes, and what the decoder says there."""

    def __init__(
        self,
        model: CVAE,
        posteriors: Posterior,
        features: np.ndarray,
        label: int | None = None,
    ):
        """Lays cells so that the prior and all posteriors are covered.

        Args:
            model: the model.
            posteriors: of N images.
            features: theirs, [N, F]. A border that is black in all of them is compared with each
                node once, not with each image: only the features that vary are left to compare.
            label: the class that is decoded, of a conditional model.
        """
        self._posteriors = posteriors
        self._deviations = np.exp(0.5 * posteriors.logvar)
        self.density, self.latent_dim = model.pixels.density, model.latent_dim
        self.varies = (np.ptp(features, axis=0) > 0) | (not self.density.is_matrix_product)  # [F]
        self._constant = features[:1, ~self.varies]
        self.side = _SIDE_OF_CELL[model.latent_dim]
        reach = np.abs(posteriors.mean) + _DEVIATIONS * self._deviations
        self.reach = reach.max(axis=1)  # of each image's posterior, from 0, [N]
        self._cells_a_side = 2 * round(_LARGEST_EXTENT / self.side)
        self._shape = (self._cells_a_side,) * model.latent_dim
        self._decode = tf.function(
            lambda latents: self._fold(*self.density.natural(_decode(model, latents, label))),
            input_signature=[tf.TensorSpec([None, model.latent_dim])],
        )

    def rings(self) -> Iterator[tuple[np.ndarray, float]]:
        """Yields the cells by their distance from 0, and how far each ring of them reaches.

        Cells are numbered from the corner of the smallest latents.
        """
        cells = np.arange(np.prod(self._shape))
        distances = np.abs(self._corners(cells) + self.side / 2).max(axis=1)
        inner = 0.0
        for outer in np.arange(_LEAST_EXTENT, _LARGEST_EXTENT + 1):
            yield cells[(distances > inner) & (distances < outer)], outer
            inner = outer

    def parameters(self, cells: np.ndarray, nodes: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes the nodes of G cells, n a cell.

        Returns:
            Natural parameters of the features that vary, [G * n, V], and [G * n], nats: what is to
            be added to products(features, natural) to have the logarithm of p(x, z) times the
            volume of a cell.
        """
        latent_dim = self.latent_dim
        latents = self._corners(cells)[:, None] + self.side * cell_rules.places(nodes, latent_dim)
        log_prior = log_normal(latents, np.zeros_like(latents), np.zeros_like(latents)).numpy()
        log_density = log_prior + latent_dim * np.log(self.side)
        flat = latents.reshape(-1, latent_dim)
        natural, of_constant = self._decode(tf.constant(flat, tf.float32))
        return natural, tf.constant(log_density.ravel(), natural.dtype) + of_constant

    def is_about_posterior(self, images: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Whether the posteriors of M images lie in M cells, [M]."""
        centres = self._corners(cells) + self.side / 2
        deviations = self._deviations[images]
        distances = np.abs(centres - self._posteriors.mean[images]) - self.side / 2
        return np.all(distances < _DEVIATIONS * deviations, axis=1)

    def is_broad(self, images: np.ndarray) -> np.ndarray:
        """Whether the posteriors of M images are broader than a cell, [M]."""
        return self._deviations[images].min(axis=1) > self.side

    def cells_of_posteriors(self) -> np.ndarray:
        """Finds the cell in which the posterior mean of each image lies, [N]."""
        places = np.floor((self._posteriors.mean + _LARGEST_EXTENT) / self.side).astype(int)
        return np.ravel_multi_index(places.T, self._shape, mode="clip")

    def _fold(self, natural: tf.Tensor, log_normalizer: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Leaves the features that vary [G, V]; adds the others up [G], less the normalizer."""
        if self.varies.all():
            return natural, -log_normalizer
        varying, others = (tf.gather(natural, np.flatnonzero(part), axis=1)
                           for part in (self.varies, ~self.varies))  # fmt: skip
        of_constant = matrix_product(others, tf.constant(self._constant, natural.dtype))[:, 0]
        return varying, of_constant - log_normalizer

    def _corners(self, cells: np.ndarray) -> np.ndarray:
        places = np.stack(np.unravel_index(cells, self._shape), axis=-1)
        return places * self.side - _LARGEST_EXTENT


def _decode(model: CVAE, latents: tf.Tensor, label: int | None) -> tf.Tensor:
    """The parameters of p(x|z), of a conditional model those of one class."""
    labels = None if label is None else tf.fill(tf.shape(latents)[:1], label)
    return model.parameters(latents, labels)
