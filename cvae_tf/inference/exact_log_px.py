"""The exact log p(x) of models with one or two latent dimensions, by numerical integration.

p(x) is the integral of p(x|z) p(z) over the latents. The latent space is divided into cells. First
every cell is integrated for every image, roughly: a matrix product compares all images with all
latents of a block (the discretized logistic has none, and takes longer); far from the prior's
centre, where decoders vary less, a single node says first which cells are worth more. Only the
cells that matter for an image, and those where its posterior q(z|x) lies, are then integrated
again: a polynomial through log p(x, z) at the nodes gives it at many more points
(`latent_cells.py`). Where its terms of the highest degree still count, the cell has twice as many
nodes a side next time.

A mode of the true posterior that is narrower than about 0.008 in two dimensions, and lies where the
encoder does not look, can fall between the nodes of the rough integration and be missed.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.terminal import progress
from cvae_tf.inference.latent_cells import (
    Grid,
    Masses,
    Rule,
    by_node,
    most_spread,
    node_log_weights,
    of_cells,
    traced_of_pairs,
)
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.posterior import Posterior

LARGEST_DIM = 2
TOLERANCE = 0.01  # nats, of the mean
_FINE = ((4, 4), (4, 16), (8, 64), (16, 64), (32, 64), (64, 64))  # nodes, and points found by them
_FOR_BROAD, _MOST_POINTS = _FINE[0][1], _FINE[-1][1]
_NEGLIGIBLE = 10.0  # nats below the ELBO, of one cell
_LEFT_ROUGH = 13.0  # nats below the log p(x) that was found roughly, of one cell
_SETTLED = 2e-2  # share of p(x) that the highest terms may make in an image's cells to be left
_TOO_SHARP = 2000.0  # nats in a cell: a peak's deviation may be half a gap of 64 points
_COARSE_NODES = 2  # a side of a cell
_MARGIN = 20.0  # nats that these may find in a cell beyond what a single one does, far out
_PAIRS_OF_BATCH = 4000  # times the batch size: pairs of image and cell that are held at once


class Quadrature(NamedTuple):
    """Integrals, and how far they are to be trusted."""

    log_evidence: np.ndarray  # log p(x), [N], nats
    lower: np.ndarray  # the same by polynomials of one degree less, [N], nats
    too_sharp: np.ndarray  # share of p(x) in peaks that may lie between the points, [N]
    step: float  # mean distance of the nodes where they are closest

    @property
    def change(self) -> float:
        """The mean log p(x) less that of polynomials of one degree less, nats."""
        return float((self.log_evidence - self.lower).mean())

    @property
    def too_sharp_share(self) -> float:
        """The share of p(x) in peaks that may lie between the points, mean over the images."""
        return float(self.too_sharp.mean())


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


class Pairs(NamedTuple):
    """Images and cells that matter for them; M pairs, sorted by cell."""

    image: np.ndarray  # int [M]
    cell: np.ndarray  # int [M]
    log_mass: np.ndarray  # log of the integral of p(x, z) over the cell, [M], nats
    lower: np.ndarray  # the same by a polynomial of one degree less, [M], nats
    spread: np.ndarray  # of log p(x, z) in the cell, if it was looked at finely, else 0, [M], nats

    def part(self, own: np.ndarray) -> "Pairs":
        """Some of them."""
        return Pairs(*(each[own] for each in self))


def joined(parts: Sequence[Quadrature], images: Sequence[np.ndarray]) -> Quadrature:
    """Joins the integrals of parts of N images.

    Args:
        parts: the integrals.
        images: the numbers of the images of each part, from 0 to N - 1.
    """
    order = np.argsort(np.concatenate(images))
    *of_images, steps = zip(*parts, strict=True)
    return Quadrature(*(np.concatenate(each)[order] for each in of_images), max(steps))


def log_evidence(
    model: CVAE,
    pixels: np.ndarray,
    posteriors: Posterior,
    elbo: np.ndarray,
    batch_size: int,
    tolerance: float = TOLERANCE,
    label: int | None = None,
) -> Quadrature:
    """Integrates p(x|z) p(z) over the latents of a model with one or two of them.

    Posteriors that are spread out have many cells; if they are too many for the memory, the images
    are done in two halves.

    Args:
        model: the model.
        pixels: of N images, float32 [N, H, W, C].
        posteriors: of the images; where to look finely.
        elbo: of the images, [N], nats; what is far below it does not matter.
        batch_size: images, and latents, that are compared at once; bounds the memory.
        tolerance: cells further out are left if the mean over images gains less by them, nats.
        label: of a conditional model the class under which p(x|y) is integrated.

    Returns:
        log p(x) of each image.
    """
    with contextlib.suppress(TooManyPairsError):
        return _log_evidence(model, pixels, posteriors, elbo, batch_size, tolerance, label)
    halves = np.array_split(np.arange(len(pixels)), 2)
    parts = [
        log_evidence(
            model, pixels[own], Posterior(*(part[own] for part in posteriors)), elbo[own],
            batch_size, tolerance, label,
        )
        for own in halves
    ]  # fmt: skip
    return joined(parts, halves)


def _log_evidence(
    model: CVAE,
    pixels: np.ndarray,
    posteriors: Posterior,
    elbo: np.ndarray,
    batch_size: int,
    tolerance: float,
    label: int | None,
) -> Quadrature:
    """Does it for images that are few enough, else raises a `TooManyPairsError`."""
    features = np.concatenate([
        model.pixels.density.features(tf.constant(pixels[start : start + batch_size])).numpy()
        for start in range(0, len(pixels), batch_size)
    ])  # fmt: skip
    grid = Grid(model, posteriors, features, label)
    features, least = features[:, grid.varies], elbo - _NEGLIGIBLE
    pairs, rest = integrate_coarsely(grid, features, least, batch_size, tolerance)
    return _refined(grid, features, pairs, rest, batch_size)


def _refined(
    grid: Grid, features: np.ndarray, pairs: Pairs, rest: np.ndarray, batch_size: int
) -> Quadrature:
    """Integrates the cells that matter again, each as finely as it needs; changes the pairs."""
    total, nodes = add_up(pairs.image, pairs.log_mass, rest), _COARSE_NODES
    unsettled = pairs.log_mass > total[pairs.image] - _LEFT_ROUGH
    unsettled |= grid.is_about_posterior(pairs.image, pairs.cell)
    for nodes, points in _FINE:
        # Broad posteriors have very many cells; most others need more points at once.
        chosen = unsettled & (grid.is_broad(pairs.image) | (points > _FOR_BROAD))
        with progress("integrating finely") as show:
            given = pairs.part(chosen), nodes, points, batch_size, show
            found = integrate_pairs(grid, features, *given)
        for values, of_found in zip(pairs[-len(found) :], found, strict=True):
            values[chosen] = of_found
        total = add_up(pairs.image, pairs.log_mass, rest)
        unsettled[chosen] = (points < _MOST_POINTS) & (found.spread > most_spread(points))
        unsettled |= _is_unsettled(pairs, total)
        if not unsettled.any():
            break
    lower = add_up(pairs.image, pairs.lower, rest)
    shares = np.exp(pairs.log_mass - total[pairs.image]) * (pairs.spread > _TOO_SHARP)
    return Quadrature(total, lower, np.bincount(pairs.image, shares, len(total)), grid.side / nodes)


def _is_unsettled(pairs: Pairs, total: np.ndarray) -> np.ndarray:
    """Whether the highest terms in a cell count, beside the log p(x) [N] of its image, [M]."""
    own_total = total[pairs.image]
    shares = (np.exp(np.minimum(part - own_total, 1)) for part in (pairs.log_mass, pairs.lower))
    moved = np.abs(np.subtract(*shares))
    moved_of_image = np.bincount(pairs.image, moved, len(total))[pairs.image]
    cells_of_image = np.bincount(pairs.image)[pairs.image]
    return (moved_of_image > _SETTLED) & (moved > _SETTLED / cells_of_image)


def integrate_coarsely(
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
        pairs = join_pairs(found)
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
    nodes, margin = _COARSE_NODES, 0.0
    if is_far:  # broad posteriors vary so little that a single node is good enough
        nodes, margin = 1, np.where(grid.is_broad(images.number), 0.0, _MARGIN)
    lower = images._replace(least=images.least - margin)
    parts = [lower.part(chosen[some]) for some in blocks(len(chosen), batch_size)]
    compared = [
        [tf.constant(each, tf.float32) for each in (part.features, part.least)] for part in parts
    ]
    log_weights = node_log_weights(nodes, grid.latent_dim)
    with progress("integrating roughly") as show:
        for block in blocks(len(ring), batch_size // len(log_weights)):
            show(block[0] / len(ring))
            cells, found = ring[block], []
            of_nodes = by_node(log_weights, *grid.parameters(cells, nodes))
            for part, of_images in zip(parts, compared, strict=True):
                given = *of_images, *of_nodes, len(log_weights), grid.density.products
                excess, matters, small = of_cells(*given)
                rest[part.number] = np.logaddexp(rest[part.number], small)
                found.append(_that_matter(part, cells, np.array(matters), np.asarray(excess)))
            pairs = join_pairs(found)
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
    given = images.features, others, _COARSE_NODES, _COARSE_NODES, batch_size
    log_mass = integrate_pairs(grid, *given).log_mass
    others = others._replace(log_mass=log_mass, lower=log_mass)
    matter = log_mass > images.least[others.image]
    matter |= others.cell == images.home[others.image]
    small = others.part(~matter)
    rest[:] = add_up(small.image, small.log_mass, rest)
    return join_pairs([broad, others.part(matter)])


def join_pairs(parts: Sequence[Pairs]) -> Pairs:
    """Joins pairs and sorts them by cell."""
    together = Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return together.part(np.argsort(together.cell, kind="stable"))


def add_up(image: np.ndarray, log_mass: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Adds the masses [M] of the cells of each image, and the rest [N]: log p(x), [N], nats."""
    # np.logaddexp.at would be shorter, and three times as slow.
    largest = rest.copy()
    np.maximum.at(largest, image, log_mass)
    shares = np.exp(log_mass - largest[image])
    sums = np.bincount(image, shares, len(rest)) + np.exp(rest - largest)
    return largest + np.log(sums)


def integrate_pairs(
    grid: Grid,
    features: np.ndarray,
    pairs: Pairs,
    nodes: int,
    points: int,
    batch_size: int,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Masses:
    """Integrates the cell of each of M pairs for its image.

    Args:
        grid: of the cells.
        features: of N images, [N, F].
        pairs: sorted by cell.
        nodes: a side of a cell.
        points: a side, at which a polynomial through the nodes gives log p(x, z).
        batch_size: latents that are decoded, and compared with images, at once.
        on_progress: called now and then.

    Returns:
        The integrals, as arrays.
    """
    rule = Rule.of(nodes, points, grid.latent_dim)
    found = Masses(*np.empty([len(Masses._fields), len(pairs.cell)]))
    cells, first = np.unique(pairs.cell, return_index=True)
    bounds = np.append(first, len(pairs.cell))
    counts = np.diff(bounds)
    for block in blocks(len(cells), batch_size // rule.num_nodes):
        on_progress(block[0] / len(cells))
        natural, log_density = grid.parameters(cells[block], nodes)
        natural = tf.reshape(natural, [len(block), -1, natural.shape[1]])
        log_density = tf.reshape(log_density, [len(block), -1])
        # Images are compared with a group of cells at once, though each belongs to one of them.
        at_once = batch_size // counts[block].max() if grid.density.is_matrix_product else 1
        for group in blocks(len(block), at_once):
            part = slice(group[0], group[-1] + 1)
            rows = np.repeat(np.arange(len(group)), counts[block[group]])
            for some in blocks(len(rows), batch_size):
                own = bounds[block[group[0]]] + some
                masses = traced_of_pairs(natural.dtype, grid.density.products)(
                    tf.constant(features[pairs.image[own]], natural.dtype),
                    natural[part],
                    log_density[part],
                    tf.constant(rows[some]),
                    rule,
                    grid.density.products,
                )
                for values, of_some in zip(found, masses, strict=True):
                    values[own] = of_some
    return found


def blocks(total: int, size: int) -> Iterator[np.ndarray]:
    """Divides the numbers from 0 to `total` into blocks, of at least one number."""
    size = max(size, 1)
    for start in range(0, total, size):
        yield np.arange(start, min(start + size, total))
