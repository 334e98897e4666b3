"""Pairs of an image and a cell of the latent space that matters for it, and their integrals."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.evaluation import cell_masses
from cvae_tf.evaluation.cell_masses import Masses, Rule
from cvae_tf.evaluation.latent_cells import Grid


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


def joined(parts: Sequence[Pairs]) -> Pairs:
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
                masses = cell_masses.traced_of_pairs(natural.dtype, grid.density.products)(
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
