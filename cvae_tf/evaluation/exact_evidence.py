"""The exact log p(x) of models with one or two latent dimensions, by numerical integration.

p(x) is the integral of p(x|z) p(z) over the latents. The latent space is divided into cells. First
every cell is integrated for every image, roughly; a matrix product compares all images with all
latents of a block (the discretized logistic has none, and takes longer). Only the cells that matter
for an image, and those where its posterior q(z|x) lies, are then integrated again with twice as
many nodes a side, until nothing changes any more.

A mode of the true posterior that is narrower than about 0.008 in two dimensions, and lies where the
encoder does not look, can fall between the nodes of the rough integration and be missed.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.progress import progress
from cvae_tf.evaluation import cell_masses
from cvae_tf.evaluation.evaluated_model import EvaluatedModel
from cvae_tf.evaluation.latent_cells import Grid
from cvae_tf.models.vae.posterior import Posterior

LARGEST_DIM = 2
TOLERANCE = 0.01  # nats, of the mean
_FIRST_NODES, _MOST_NODES = 2, 64  # a side of a cell
_NEGLIGIBLE = 10.0  # nats below the ELBO, of one cell
_LEFT_ROUGH = 13.0  # nats below the log p(x) that was found roughly, of one cell
_SETTLED = 2e-2  # share of p(x) by which all cells of an image may change to be left as they are
_PAIRS_OF_BATCH = 4000  # times the batch size: pairs of image and cell that are held at once


class Quadrature(NamedTuple):
    """Integrals, and how far they are to be trusted."""

    log_evidence: np.ndarray  # log p(x), [N], nats
    step: float  # mean distance of the nodes in the last refinement
    change: float  # of the mean log p(x) by that refinement, nats


class _TooManyPairsError(Exception):
    """More pairs matter than may be held at once."""


class _Pairs(NamedTuple):
    """Images and cells that matter for them; M pairs, sorted by cell."""

    image: np.ndarray  # int [M]
    cell: np.ndarray  # int [M]
    log_mass: np.ndarray  # log of the integral of p(x, z) over the cell, [M], nats


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
        tolerance: refined until the mean over images changes by less, nats.

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
    total = _add_up(pairs, rest)
    nodes, change = _FIRST_NODES, np.inf
    unsettled = pairs.log_mass > total[pairs.image] - _LEFT_ROUGH
    unsettled |= grid.is_about_posterior(pairs.image, pairs.cell, nodes)
    while (
        (abs(change) >= tolerance or grid.must_refine(nodes))
        and nodes < _MOST_NODES
        and unsettled.any()
    ):
        nodes *= 2
        chosen = _Pairs(*(part[unsettled] for part in pairs))
        refined = _integrate_pairs(grid, features, chosen, nodes, batch_size)
        before = pairs.log_mass[unsettled]
        pairs.log_mass[unsettled] = refined
        mean_before, total = total.mean(), _add_up(pairs, rest)
        change = total.mean() - mean_before
        shares = (np.exp(value - total[chosen.image]) for value in (before, refined))
        moved = np.abs(np.subtract(*shares))
        moves_of_image = np.bincount(chosen.image, moved, len(total))[chosen.image]
        cells_of_image = np.bincount(chosen.image)[chosen.image]
        moves = (moves_of_image > _SETTLED) & (moved > _SETTLED / cells_of_image)
        unsettled[unsettled] = moves | grid.is_about_posterior(chosen.image, chosen.cell, nodes)
    return Quadrature(total, grid.side / nodes, float(change))


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
        total = _add_up(_joined(found), rest)
        if is_beyond_posteriors and total.mean() - mean_before < tolerance / 4:
            break
    return _joined(found), rest


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
    num_nodes, homes = grid.nodes_in_cell(_FIRST_NODES), grid.cells_of_posteriors()
    with progress("integrating roughly") as show:
        for block in _blocks(len(ring), batch_size // num_nodes):
            show(block[0] / len(ring))
            cells = ring[block]
            of_nodes = cell_masses.by_node(num_nodes, *grid.parameters(cells, _FIRST_NODES))
            for own, features, least in images:
                given = features, least, *of_nodes, num_nodes, grid.density.products
                log_mass, small = (part.numpy() for part in cell_masses.of_cells(*given))
                kept = (log_mass > least.numpy()[:, None]) | (cells == homes[own, None])
                image, cell = np.nonzero(kept)
                rest[own] = np.logaddexp(rest[own], small)
                yield _Pairs(own[image], cells[cell], log_mass[image, cell])


def _joined(parts: list[_Pairs]) -> _Pairs:
    """Joins pairs and sorts them by cell."""
    image, cell, log_mass = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(cell, kind="stable")
    return _Pairs(image[order], cell[order], log_mass[order].astype(np.float64))


def _integrate_pairs(
    grid: Grid, features: np.ndarray, pairs: _Pairs, nodes: int, batch_size: int
) -> np.ndarray:
    """Integrates the cells of pairs with more nodes, [M], nats."""
    log_mass = np.empty(len(pairs.cell))
    cells, first = np.unique(pairs.cell, return_index=True)
    bounds = np.append(first, len(pairs.cell))
    counts = np.diff(bounds)
    with progress("integrating finely") as show:
        for block in _blocks(len(cells), batch_size // grid.nodes_in_cell(nodes)):
            show(block[0] / len(cells))
            natural, log_measure = grid.parameters(cells[block], nodes)
            natural = tf.reshape(natural, [len(block), -1, natural.shape[1]])
            log_measure = tf.reshape(log_measure, [len(block), -1])
            # Images are compared with a group of cells at once, though each belongs to one of them.
            at_once = batch_size // counts[block].max() if grid.density.is_matrix_product else 1
            for group in _blocks(len(block), at_once):
                limits = bounds[block[group[0]] : block[group[-1]] + 2]
                own, part = slice(limits[0], limits[-1]), slice(group[0], group[-1] + 1)
                log_mass[own] = cell_masses.of_pairs(
                    tf.constant(features[pairs.image[own]], natural.dtype),
                    natural[part],
                    log_measure[part],
                    tf.constant(np.repeat(np.arange(len(group)), counts[block[group]])),
                    grid.density.products,
                )
    return log_mass


def _add_up(pairs: _Pairs, rest: np.ndarray) -> np.ndarray:
    """Adds the masses of the cells of each image, log p(x) [N], nats."""
    # np.logaddexp.at would be shorter, and three times as slow.
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
