"""The exact log p(x) of models with one or two latent dimensions, by numerical integration.

p(x) is the integral of p(x|z) p(z) over the latents. The latent space is divided into cells. First
every cell is integrated for every image, roughly; a matrix product compares all images with all
latents of a block. Only the cells that matter for an image, and those where its posterior q(z|x)
lies, are then integrated again with twice as many nodes a side, until nothing changes any more.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.exported import Posterior
from cvae_tf.subject import Subject

LARGEST_DIM = 2
_SIDE_OF_CELL = {1: 0.002, 2: 0.1}  # by latent dimensions: a few posterior deviations
_LEAST_EXTENT, _LARGEST_EXTENT = 5.0, 12.0  # of the cells, from 0 in each direction
_DEVIATIONS = 4.0  # of a posterior that must lie within the cells, and be integrated finely
_FIRST_NODES, _MOST_NODES = 2, 64  # a side of a cell
_NEGLIGIBLE = 15.0  # nats below the ELBO, of one cell
_SETTLED = 1e-4  # share of p(x) by which a cell may change to be left as it is


class Quadrature(NamedTuple):
    """Integrals, and how far they are to be trusted."""

    log_likelihood: np.ndarray  # log p(x), [N], nats
    step: float  # mean distance of the nodes in the last refinement
    change: float  # of the mean log-likelihood by that refinement, nats


class _Pairs(NamedTuple):
    """Images and cells that matter for them; M pairs, sorted by cell."""

    image: np.ndarray  # int [M]
    cell: np.ndarray  # int [M]
    log_mass: np.ndarray  # log of the integral of p(x, z) over the cell, [M], nats


def log_likelihood(
    subject: Subject,
    pixels: np.ndarray,
    posteriors: Posterior,
    elbo: np.ndarray,
    batch_size: int,
    tolerance: float = 0.01,
) -> Quadrature:
    """Integrates p(x|z) p(z) over the latents of a model with one or two of them.

    Args:
        subject: the model.
        pixels: of N images, float32 [N, H, W, C].
        posteriors: of the images; where to look finely.
        elbo: of the images, [N], nats; what is far below it does not matter.
        batch_size: images, and latents, that are compared at once.
        tolerance: refined until the mean over images changes by less, nats.

    Returns:
        log p(x) of each image.
    """
    features = np.concatenate([
        subject.likelihood.features(tf.constant(pixels[start : start + batch_size])).numpy()
        for start in range(0, len(pixels), batch_size)
    ])  # fmt: skip
    grid = _Grid(subject, posteriors)
    pairs, rest = _integrate_everywhere(grid, features, elbo - _NEGLIGIBLE, batch_size, tolerance)
    total = _add_up(pairs, rest)
    nodes, change = _FIRST_NODES, np.inf
    unsettled = np.ones(len(pairs.image), bool)
    while (abs(change) >= tolerance or grid.must_refine(nodes)) and nodes < _MOST_NODES:
        nodes *= 2
        chosen = _Pairs(*(part[unsettled] for part in pairs))
        refined = _integrate_pairs(grid, features, chosen, nodes, batch_size)
        before = pairs.log_mass[unsettled]
        pairs.log_mass[unsettled] = refined
        mean_before, total = total.mean(), _add_up(pairs, rest)
        change = total.mean() - mean_before
        shares = (np.exp(value - total[chosen.image]) for value in (before, refined))
        moved = np.abs(np.subtract(*shares)) > _SETTLED
        unsettled[unsettled] = moved | grid.is_about_posterior(chosen, nodes)
    return Quadrature(total, grid.side / nodes, float(change))


class _Grid:
    """The cells, their nodes, and what the decoder says there."""

    def __init__(self, subject: Subject, posteriors: Posterior):
        """Lays cells so that the prior and all posteriors are covered."""
        self._subject, self._posteriors = subject, posteriors
        self._deviations = np.exp(0.5 * posteriors.logvar)
        self.side = _SIDE_OF_CELL[subject.latent_dim]
        reach = np.abs(posteriors.mean) + _DEVIATIONS * self._deviations
        self._reach = reach.max()
        self._cells_a_side = 2 * round(_LARGEST_EXTENT / self.side)
        self._shape = (self._cells_a_side,) * subject.latent_dim
        self._decode = tf.function(
            lambda latents: subject.likelihood.natural(subject.decode(latents)),
            input_signature=[tf.TensorSpec([None, subject.latent_dim])],
        )

    def rings(self) -> Iterator[tuple[np.ndarray, bool]]:
        """Yields the cells by their distance from 0, and whether no posterior reaches further.

        Cells are numbered from the corner of the smallest latents.
        """
        cells = np.arange(np.prod(self._shape))
        distances = np.abs(self._corners(cells) + self.side / 2).max(axis=1)
        inner = 0.0
        for outer in np.arange(_LEAST_EXTENT, _LARGEST_EXTENT + 1):
            yield cells[(distances > inner) & (distances < outer)], outer >= self._reach
            inner = outer

    def nodes_in_cell(self, nodes: int) -> int:
        """Counts the nodes of a cell with so many a side."""
        return nodes**self._subject.latent_dim

    def parameters(self, cells: np.ndarray, nodes: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes the nodes of G cells, n a cell.

        Returns:
            Natural parameters of the pixels, [G * n, F], and [G * n], nats: what is to be added to
            features . natural to have the logarithm of p(x, z) times the weight of the node.
        """
        offsets, log_weights = _nodes_of_cell(nodes, self._subject.latent_dim)
        latents = self._corners(cells)[:, None] + self.side * offsets
        log_prior = -0.5 * np.sum(latents**2 + np.log(2 * np.pi), axis=-1)
        log_measure = log_prior + log_weights + self._subject.latent_dim * np.log(self.side)
        flat = latents.reshape(-1, self._subject.latent_dim)
        natural, log_normalizer = self._decode(tf.constant(flat, tf.float32))
        return natural, tf.constant(log_measure.ravel(), tf.float32) - log_normalizer

    def must_refine(self, nodes: int) -> bool:
        """Whether the nodes are too far apart for nearly the narrowest posteriors."""
        return self.side / nodes > 2 * np.quantile(self._deviations, 0.01)

    def is_about_posterior(self, pairs: _Pairs, nodes: int) -> np.ndarray:
        """Whether the posterior of an image lies in a cell and needs more nodes there, [M]."""
        centres = self._corners(pairs.cell) + self.side / 2
        deviations = self._deviations[pairs.image]
        distances = np.abs(centres - self._posteriors.mean[pairs.image]) - self.side / 2
        near = np.all(distances < _DEVIATIONS * deviations, axis=1)
        return near & (self.side / nodes > deviations.min(axis=1))

    def cells_of_posteriors(self) -> np.ndarray:
        """Finds the cell in which the posterior mean of each image lies, [N]."""
        places = np.floor((self._posteriors.mean + _LARGEST_EXTENT) / self.side).astype(int)
        return np.ravel_multi_index(places.T, self._shape, mode="clip")

    def _corners(self, cells: np.ndarray) -> np.ndarray:
        places = np.stack(np.unravel_index(cells, self._shape), axis=-1)
        return places * self.side - _LARGEST_EXTENT


@functools.cache
def _nodes_of_cell(nodes: int, latent_dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes of the unit cell, [n, Z], and the logarithms of their weights, [n]."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    offsets = np.array(list(itertools.product((places + 1) / 2, repeat=latent_dim)))
    products = np.array(list(itertools.product(weights / 2, repeat=latent_dim))).prod(axis=1)
    return offsets, np.log(products)


def _integrate_everywhere(
    grid: _Grid, features: np.ndarray, least: np.ndarray, batch_size: int, tolerance: float
) -> tuple[_Pairs, np.ndarray]:
    """Integrates every cell for every image with few nodes, outwards until nothing is added.

    Returns:
        The pairs with more than the `least` log-mass of their image or with its posterior mean in
        the cell, and the log-mass of all others, [N].
    """
    rest, total = np.full((2, len(features)), -np.inf)
    homes = grid.cells_of_posteriors()
    found: list[_Pairs] = []
    for ring, is_beyond_posteriors in grid.rings():
        mean_before = total.mean()
        for block in _blocks(len(ring), batch_size // grid.nodes_in_cell(_FIRST_NODES)):
            cells = ring[block]
            natural, log_measure = grid.parameters(cells, _FIRST_NODES)
            for images in _blocks(len(features), batch_size):
                own = (tf.constant(part[images], tf.float32) for part in (features, least))
                log_mass, small = (
                    part.numpy()
                    for part in _log_mass_of_cells(*own, natural, log_measure, len(cells))
                )
                kept = (log_mass > least[images, None]) | (cells == homes[images, None])
                image, cell = np.nonzero(kept)
                found.append(_Pairs(images[image], cells[cell], log_mass[image, cell]))
                rest[images] = np.logaddexp(rest[images], small)
        total = _add_up(_joined(found), rest)
        if is_beyond_posteriors and total.mean() - mean_before < tolerance / 10:
            break
    return _joined(found), rest


def _joined(parts: list[_Pairs]) -> _Pairs:
    """Joins pairs and sorts them by cell."""
    image, cell, log_mass = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(cell, kind="stable")
    return _Pairs(image[order], cell[order], log_mass[order].astype(np.float64))


@tf.function(reduce_retracing=True)
def _log_mass_of_cells(
    features: tf.Tensor,
    least: tf.Tensor,
    natural: tf.Tensor,
    log_measure: tf.Tensor,
    num_cells: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Integrates p(x, z) over G cells for B images.

    Returns:
        The log-masses, [B, G], and that of those together which are not above the least, [B].
    """
    log_joint = tf.matmul(features, natural, transpose_b=True) + log_measure
    by_cell = tf.reshape(log_joint, [tf.shape(features)[0], num_cells, -1])
    log_mass = tf.reduce_logsumexp(by_cell, axis=-1)
    small = tf.where(log_mass > least[:, None], -np.inf, log_mass)
    return log_mass, tf.reduce_logsumexp(small, axis=-1)


def _integrate_pairs(
    grid: _Grid, features: np.ndarray, pairs: _Pairs, nodes: int, batch_size: int
) -> np.ndarray:
    """Integrates the cells of pairs with more nodes, [M], nats."""
    log_mass = np.empty(len(pairs.cell))
    cells, first = np.unique(pairs.cell, return_index=True)
    bounds = [*first, len(pairs.cell)]
    for block in _blocks(len(cells), batch_size // grid.nodes_in_cell(nodes)):
        natural, log_measure = (part.numpy() for part in grid.parameters(cells[block], nodes))
        natural = natural.reshape(len(block), -1, natural.shape[1])
        log_measure = log_measure.reshape(len(block), -1)
        for row, number in enumerate(block):
            own = slice(bounds[number], bounds[number + 1])
            log_joint = features[pairs.image[own]] @ natural[row].T + log_measure[row]
            largest = log_joint.max(axis=1)
            log_mass[own] = largest + np.log(np.exp(log_joint - largest[:, None]).sum(axis=1))
    return log_mass


def _add_up(pairs: _Pairs, rest: np.ndarray) -> np.ndarray:
    """Adds the masses of the cells of each image, log p(x) [N], nats."""
    largest = rest.copy()
    np.maximum.at(largest, pairs.image, pairs.log_mass)
    shares = np.exp(pairs.log_mass - largest[pairs.image])
    sums = np.bincount(pairs.image, shares, len(rest)) + np.exp(rest - largest)
    return largest + np.log(sums)


def _blocks(total: int, size: int) -> Iterator[np.ndarray]:
    """Divides the numbers from 0 to `total` into blocks, of at least one number."""
    size = max(size, 1)
    for start in range(0, total, size):
        yield np.arange(start, min(start + size, total))
