"""The exact log p(x) of models with one or two latent dimensions, by numerical integration.

p(x) is the integral of p(x|z) p(z) over the latents. The latent space is divided into cells. First
every cell is integrated for every image, roughly; a matrix product compares all images with all
latents of a block (the discretized logistic has none, and takes longer). Only the cells that matter
for an image, and those where its posterior q(z|x) lies, are then integrated again: a polynomial
through log p(x, z) at the nodes gives it at many more points (`cell_rules.py`). Where its terms of
the highest degree still count, the cell has twice as many nodes a side next time.

A mode of the true posterior that is narrower than about 0.008 in two dimensions, and lies where the
encoder does not look, can fall between the nodes of the rough integration and be missed.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.progress import progress
from cvae_tf.evaluation import cell_masses, cell_rules
from cvae_tf.evaluation.cell_masses import Masses, Rule, most_spread
from cvae_tf.evaluation.evaluated_model import EvaluatedModel
from cvae_tf.evaluation.latent_cells import Grid
from cvae_tf.models.vae.posterior import Posterior

LARGEST_DIM = 2
TOLERANCE = 0.01  # nats, of the mean
_ROUGH_NODES = 2  # a side of a cell
_FINE = ((4, 4), (4, 16), (8, 64), (16, 64), (32, 64), (64, 64))  # nodes, and points found by them
_FOR_BROAD, _MOST_POINTS = _FINE[0][1], _FINE[-1][1]
_NEGLIGIBLE = 10.0  # nats below the ELBO, of one cell
_LEFT_ROUGH = 13.0  # nats below the log p(x) that was found roughly, of one cell
_SETTLED = 2e-2  # share of p(x) that the highest terms may make in an image's cells to be left
_PAIRS_OF_BATCH = 4000  # times the batch size: pairs of image and cell that are held at once


class Quadrature(NamedTuple):
    """Integrals, and how far they are to be trusted."""

    log_evidence: np.ndarray  # log p(x), [N], nats
    step: float  # mean distance of the nodes where they are closest
    change: float  # of the mean log p(x) if the polynomials had one degree less, nats


class _TooManyPairsError(Exception):
    """More pairs matter than may be held at once."""


class _Pairs(NamedTuple):
    """Images and cells that matter for them; M pairs, sorted by cell."""

    image: np.ndarray  # int [M]
    cell: np.ndarray  # int [M]
    log_mass: np.ndarray  # log of the integral of p(x, z) over the cell, [M], nats
    lower: np.ndarray  # the same by a polynomial of one degree less, [M], nats


def log_evidence(
    model: EvaluatedModel,
    pixels: np.ndarray,
    posteriors: Posterior,
    elbo: np.ndarray,
    batch_size: int,
    tolerance: float = TOLERANCE,
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

    Returns:
        log p(x) of each image.
    """
    with contextlib.suppress(_TooManyPairsError):
        return _log_evidence(model, pixels, posteriors, elbo, batch_size, tolerance)
    half = len(pixels) // 2
    parts = [
        log_evidence(
            model, pixels[own], Posterior(*(part[own] for part in posteriors)), elbo[own],
            batch_size, tolerance,
        )
        for own in (slice(half), slice(half, None))
    ]  # fmt: skip
    shares = half / len(pixels), 1 - half / len(pixels)
    return Quadrature(
        np.concatenate([part.log_evidence for part in parts]),
        max(part.step for part in parts),
        sum(share * part.change for share, part in zip(shares, parts, strict=True)),
    )


def _log_evidence(
    model: EvaluatedModel,
    pixels: np.ndarray,
    posteriors: Posterior,
    elbo: np.ndarray,
    batch_size: int,
    tolerance: float,
) -> Quadrature:
    """Does it for images that are few enough, else raises a `_TooManyPairsError`."""
    features = np.concatenate([
        model.pixels.density.features(tf.constant(pixels[start : start + batch_size])).numpy()
        for start in range(0, len(pixels), batch_size)
    ])  # fmt: skip
    grid = Grid(model, posteriors, features)
    features = features[:, grid.varies]
    pairs, rest = _integrate_everywhere(grid, features, elbo - _NEGLIGIBLE, batch_size, tolerance)
    total, nodes = _add_up(pairs.image, pairs.log_mass, rest), _ROUGH_NODES
    unsettled = pairs.log_mass > total[pairs.image] - _LEFT_ROUGH
    unsettled |= grid.is_about_posterior(pairs.image, pairs.cell)
    for nodes, points in _FINE:
        rule = Rule.of(nodes, points, model.latent_dim)
        # Broad posteriors have very many cells; most others need more points at once.
        chosen = unsettled & (grid.is_broad(pairs.image) | (points > _FOR_BROAD))
        of_chosen = _Pairs(*(part[chosen] for part in pairs))
        found = _integrate_pairs(grid, features, of_chosen, nodes, rule, batch_size)
        pairs.log_mass[chosen], pairs.lower[chosen] = found.log_mass, found.lower
        total = _add_up(pairs.image, pairs.log_mass, rest)
        unsettled[chosen] = (points < _MOST_POINTS) & (found.spread > most_spread(points))
        unsettled |= _is_unsettled(pairs, total)
        if not unsettled.any():
            break
    change = (total - _add_up(pairs.image, pairs.lower, rest)).mean()
    return Quadrature(total, grid.side / nodes, float(change))


def _is_unsettled(pairs: _Pairs, total: np.ndarray) -> np.ndarray:
    """Whether the highest terms in a cell count, beside the log p(x) [N] of its image, [M]."""
    own_total = total[pairs.image]
    shares = (np.exp(np.minimum(part - own_total, 1)) for part in (pairs.log_mass, pairs.lower))
    moved = np.abs(np.subtract(*shares))
    moved_of_image = np.bincount(pairs.image, moved, len(total))[pairs.image]
    cells_of_image = np.bincount(pairs.image)[pairs.image]
    return (moved_of_image > _SETTLED) & (moved > _SETTLED / cells_of_image)


def _integrate_everywhere(
    grid: Grid, features: np.ndarray, least: np.ndarray, batch_size: int, tolerance: float
) -> tuple[_Pairs, np.ndarray]:
    """Integrates every cell for every image with few nodes, outwards until nothing is added.

    Returns:
        The pairs with more than the `least` log-mass of their image or with its posterior mean in
        the cell, and the log-mass of all others, [N].

    Raises:
        _TooManyPairsError: if there are more of them than may be held at once.
    """
    rest, total = np.full((2, len(features)), -np.inf)
    images = [
        (own, *(tf.constant(part[own], tf.float32) for part in (features, least)))
        for own in _blocks(len(features), batch_size)
    ]
    found: list[_Pairs] = []
    num_pairs = 0
    for ring, is_beyond_posteriors in grid.rings():
        mean_before = total.mean()
        for pairs in _integrate_ring(grid, ring, images, rest, batch_size):
            found.append(pairs)
            num_pairs += len(pairs.image)
            if num_pairs > batch_size * _PAIRS_OF_BATCH and len(features) > 1:
                raise _TooManyPairsError
        joined = _joined(found)
        total = _add_up(joined.image, joined.log_mass, rest)
        if is_beyond_posteriors and total.mean() - mean_before < tolerance / 4:
            break
    return joined, rest


def _integrate_ring(
    grid: Grid,
    ring: np.ndarray,
    images: list[tuple[np.ndarray, tf.Tensor, tf.Tensor]],
    rest: np.ndarray,
    batch_size: int,
) -> Iterator[_Pairs]:
    """Integrates some cells for all images; yields what matters, and adds the others to the rest.

    Args:
        grid: of the cells.
        ring: which ones.
        images: in batches: their numbers, features and least log-masses.
        rest: log-mass of what does not matter, [N]; is added to.
        batch_size: latents that are decoded at once.
    """
    log_weights = cell_rules.log_weights(_ROUGH_NODES, grid.latent_dim)
    num_nodes, homes = len(log_weights), grid.cells_of_posteriors()
    with progress("integrating roughly") as show:
        for block in _blocks(len(ring), batch_size // num_nodes):
            show(block[0] / len(ring))
            cells = ring[block]
            of_nodes = cell_masses.by_node(log_weights, *grid.parameters(cells, _ROUGH_NODES))
            for own, features, least in images:
                given = features, least, *of_nodes, num_nodes, grid.density.products
                log_mass, small = (part.numpy() for part in cell_masses.of_cells(*given))
                kept = (log_mass > least.numpy()[:, None]) | (cells == homes[own, None])
                image, cell = np.nonzero(kept)
                rest[own] = np.logaddexp(rest[own], small)
                masses = log_mass[image, cell].astype(np.float64)
                yield _Pairs(own[image], cells[cell], masses, masses)


def _joined(parts: list[_Pairs]) -> _Pairs:
    """Joins pairs and sorts them by cell."""
    joined = _Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    order = np.argsort(joined.cell, kind="stable")
    return _Pairs(*(column[order] for column in joined))


def _integrate_pairs(
    grid: Grid, features: np.ndarray, pairs: _Pairs, nodes: int, rule: Rule, batch_size: int
) -> Masses:
    """Integrates the cells of pairs finely, by so many nodes a side."""
    found = Masses(*np.empty([len(Masses._fields), len(pairs.cell)]))
    cells, first = np.unique(pairs.cell, return_index=True)
    bounds = np.append(first, len(pairs.cell))
    counts = np.diff(bounds)
    with progress("integrating finely") as show:
        for block in _blocks(len(cells), batch_size // rule.num_nodes):
            show(block[0] / len(cells))
            natural, log_density = grid.parameters(cells[block], nodes)
            natural = tf.reshape(natural, [len(block), -1, natural.shape[1]])
            log_density = tf.reshape(log_density, [len(block), -1])
            # Images are compared with a group of cells at once, though each belongs to one of them.
            at_once = batch_size // counts[block].max() if grid.density.is_matrix_product else 1
            for group in _blocks(len(block), at_once):
                part = slice(group[0], group[-1] + 1)
                rows = np.repeat(np.arange(len(group)), counts[block[group]])
                for some in _blocks(len(rows), batch_size):
                    own = bounds[block[group[0]]] + some
                    masses = cell_masses.of_pairs(
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


def _add_up(image: np.ndarray, log_mass: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Adds the masses [M] of the cells of each image, and the rest [N]: log p(x), [N], nats."""
    # np.logaddexp.at would be shorter, and three times as slow.
    largest = rest.copy()
    np.maximum.at(largest, image, log_mass)
    shares = np.exp(log_mass - largest[image])
    sums = np.bincount(image, shares, len(rest)) + np.exp(rest - largest)
    return largest + np.log(sums)


def _blocks(total: int, size: int) -> Iterator[np.ndarray]:
    """Divides the numbers from 0 to `total` into blocks, of at least one number."""
    size = max(size, 1)
    for start in range(0, total, size):
        yield np.arange(start, min(start + size, total))
