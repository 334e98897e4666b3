"""The exact log p(x) of models with one or two latent dimensions, by numerical integration.

p(x) is the integral of p(x|z) p(z) over the latents. The latent space is divided into cells. First
every cell is integrated for every image, roughly (`everywhere.py`). Only the cells that matter for
an image, and those where its posterior q(z|x) lies, are then integrated again: a polynomial through
log p(x, z) at the nodes gives it at many more points (`cell_rules.py`). Where its terms of the
highest degree still count, the cell has twice as many nodes a side next time.

A mode of the true posterior that is narrower than about 0.008 in two dimensions, and lies where the
encoder does not look, can fall between the nodes of the rough integration and be missed.
"""

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.terminal import progress
from cvae_tf.evaluation import everywhere
from cvae_tf.evaluation.cell_masses import most_spread
from cvae_tf.evaluation.everywhere import TooManyPairsError
from cvae_tf.evaluation.latent_cells import Grid
from cvae_tf.evaluation.pairs import Pairs, add_up, integrate_pairs
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
    pairs, rest = everywhere.integrate(grid, features, least, batch_size, tolerance)
    return _refined(grid, features, pairs, rest, batch_size)


def _refined(
    grid: Grid, features: np.ndarray, pairs: Pairs, rest: np.ndarray, batch_size: int
) -> Quadrature:
    """Integrates the cells that matter again, each as finely as it needs; changes the pairs."""
    total, nodes = add_up(pairs.image, pairs.log_mass, rest), everywhere.NODES
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
