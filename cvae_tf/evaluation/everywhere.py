"""Log p(x) roughly: every cell of the latent space for every image, and which of them matter.

A matrix product compares all images with all latents of a block (the discretized logistic has none,
and takes longer). Far from the prior's centre, where decoders vary less, a single node says first
which cells are worth more.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.terminal import progress
from cvae_tf.evaluation import cell_masses, cell_rules
from cvae_tf.evaluation.latent_cells import Grid
from cvae_tf.evaluation.pairs import Pairs, add_up, blocks, integrate_pairs, joined

NODES = 2  # a side of a cell
_MARGIN = 20.0  # nats that these may find in a cell beyond what a single one does, far out
_PAIRS_OF_BATCH = 4000  # times the batch size: pairs of image and cell that are held at once


class TooManyPairsError(Exception):
    """More pairs matter than may be held at once."""


class _Images(NamedTuple):
    """What is known of images."""

    number: np.ndarray  # among all, [I]
    home: np.ndarray  # cell of the posterior mean, [I]
    least: np.ndarray  # log-mass from which on a cell matters, [I], nats
    features: np.ndarray  # [I, F]

    def part(self, own: np.ndarray) -> "_Images":
        """Some of them."""
        return _Images(*(each[own] for each in self))


def integrate(
    grid: Grid, features: np.ndarray, least: np.ndarray, batch_size: int, tolerance: float
) -> tuple[Pairs, np.ndarray]:
    """Integrates every cell for every image with few nodes, outwards until nothing is added.

    Args:
        grid: of the cells.
        features: of N images, [N, F].
        least: log-mass from which on a cell matters to an image, [N], nats.
        batch_size: images, and latents, that are compared at once.
        tolerance: rings of cells further out are left if the mean over images gains less, nats.

    Returns:
        The pairs with more than the least log-mass of their image or with its posterior mean in
        the cell, and the log-mass of all others, [N].

    Raises:
        TooManyPairsError: if there are more of them than may be held at once.
    """
    num = len(features)
    images = _Images(np.arange(num), grid.cells_of_posteriors(), least, features)
    chosen = images.number
    rest, total = np.full((2, num), -np.inf)
    found: list[Pairs] = []
    for ring, outer in grid.rings():
        mean_before = total.mean()
        is_far = bool(found)
        for pairs in _integrate_ring(grid, ring, images, chosen, rest, batch_size, is_far):
            found.append(pairs)
            if _count(found) > batch_size * _PAIRS_OF_BATCH and num > 1:
                raise TooManyPairsError
        pairs = joined(found)
        total = add_up(pairs.image, pairs.log_mass, rest)
        if total.mean() - mean_before < tolerance / 4:
            # Further out only those gain whose encoder says so.
            chosen = chosen[grid.reach[chosen] > outer]
        if not len(chosen):
            break
    return pairs, rest


def _count(found: list[Pairs]) -> int:
    return sum(len(pairs.image) for pairs in found)


def _integrate_ring(
    grid: Grid,
    ring: np.ndarray,
    images: _Images,
    chosen: np.ndarray,
    rest: np.ndarray,
    batch_size: int,
    is_far: bool,
) -> Iterator[Pairs]:
    """Integrates some cells for some images; yields what matters, and adds the others to the rest.

    Args:
        grid: of the cells.
        ring: which ones.
        images: all N.
        chosen: the numbers of those for which they are integrated, [I].
        rest: log-mass of what does not matter, [N]; is added to.
        batch_size: latents that are decoded at once.
        is_far: whether a single node says first what may matter.
    """
    nodes, margin = NODES, 0.0
    if is_far:  # broad posteriors vary so little that a single node is good enough
        nodes, margin = 1, np.where(grid.is_broad(images.number), 0.0, _MARGIN)
    lower = images._replace(least=images.least - margin)
    parts = [lower.part(chosen[some]) for some in blocks(len(chosen), batch_size)]
    compared = [
        [tf.constant(each, tf.float32) for each in (part.features, part.least)] for part in parts
    ]
    log_weights = cell_rules.log_weights(nodes, grid.latent_dim)
    with progress("integrating roughly") as show:
        for block in blocks(len(ring), batch_size // len(log_weights)):
            show(block[0] / len(ring))
            cells, found = ring[block], []
            of_nodes = cell_masses.by_node(log_weights, *grid.parameters(cells, nodes))
            for part, of_images in zip(parts, compared, strict=True):
                given = *of_images, *of_nodes, len(log_weights), grid.density.products
                excess, matters, small = cell_masses.of_cells(*given)
                rest[part.number] = np.logaddexp(rest[part.number], small)
                found.append(_that_matter(part, cells, np.array(matters), np.asarray(excess)))
            pairs = joined(found)
            yield _looked_at_again(grid, pairs, images, rest, batch_size) if is_far else pairs


def _that_matter(
    images: _Images, cells: np.ndarray, matters: np.ndarray, excess: np.ndarray
) -> Pairs:
    """Adds up the nodes of cells [G] that matter [I, G] to images, from their excess [I, n * G]."""
    place = np.minimum(np.searchsorted(cells, images.home), len(cells) - 1)
    at_home = np.flatnonzero(cells[place] == images.home)
    matters[at_home, place[at_home]] = True
    image, cell = np.divmod(np.flatnonzero(matters), len(cells))
    of_nodes = excess.reshape(len(matters), -1, len(cells))[image, :, cell].astype(np.float64)
    log_mass = np.logaddexp.reduce(of_nodes, axis=1) + images.least[image]
    return Pairs(images.number[image], cells[cell], log_mass, log_mass, np.zeros_like(log_mass))


def _looked_at_again(
    grid: Grid, pairs: Pairs, images: _Images, rest: np.ndarray, batch_size: int
) -> Pairs:
    """Integrates pairs with all nodes; those that matter, the others are added to the rest."""
    is_broad = grid.is_broad(pairs.image)
    broad, others = pairs.part(is_broad), pairs.part(~is_broad)
    log_mass = integrate_pairs(grid, images.features, others, NODES, NODES, batch_size).log_mass
    others = others._replace(log_mass=log_mass, lower=log_mass)
    matter = log_mass > images.least[others.image]
    matter |= others.cell == images.home[others.image]
    small = others.part(~matter)
    rest[:] = add_up(small.image, small.log_mass, rest)
    return joined([broad, others.part(matter)])
