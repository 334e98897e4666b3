"""The exact log p(x) of models with one or two latent dimensions, by numerical integration.

p(x) is the integral of p(x|z) p(z) over the latents, which are divided into tiles. A coarse pass
compares all images with a few latents of every tile, by a matrix product, to find which tiles
matter to which images. Each such pair is then integrated finely: more latents of the tile are
decoded, and a polynomial through log p(x, z) there gives it at many more points, because the
logarithm is smooth even where p(x, z) itself is a needle. Where the terms of the highest degrees
still matter, or a single point has much of the integral, the tile is divided; its nodes are used
again in its parts. Errors have either sign, so their squares add up. The encoder is not used at
all.

Trefethen, "Approximation Theory and Approximation Practice" (2019), chapters 8, 17 and 19.

A mode of the true posterior is missed if it lies further than 12 from 0, and can be missed if it is
narrower than about 0.008 in two dimensions: it then falls between the nodes of the coarse pass.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.polynomial import legendre

from cvae_tf.core.terminal import progress
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.posterior import log_standard_normal

TOLERANCE = 0.05  # nats of an image
_LARGEST_DIM = 2
_SIDE_OF_TILE = {1: 0.02, 2: 0.2}  # by latent dimensions
_INNER, _OUTER = 5.0, 12.0  # from 0 in each direction: more nodes up to here; the end
_COARSE_NODES, _FAR_NODES, _FINE_NODES = 4, 2, 5  # a side of a tile
_EVEN = np.linspace(0, 1, _FINE_NODES)  # places of the nodes of a side
_POINTS = 16  # a side, at which a polynomial gives log p(x, z)
_MARGIN = 30.0  # nats below an image's best tile in the coarse pass: tiles that matter
_NEGLIGIBLE = 20.0  # nats below log p(x), of a tile
_MOST_AT_A_POINT = 0.41  # of an integral, to the power of Z: more means a too narrow peak
_LARGEST_CHANGE = 1.0  # by terms of the highest degrees: else only the nodes are used
_LARGEST_EXPONENT = 60.0  # else exponentials overflow
_MOST_ABOVE = 20.0  # times the integral by the nodes alone, for one by a polynomial
_SETTLED = 0.015  # nats of error allowed for all tiles of an image together
_MOST_DIVISIONS = 5
_CANCELLING = 0.4  # power of the side: estimated errors cancel more in smaller tiles, measured
_IMAGES_AT_ONCE = 10_000
_LATENTS_AT_ONCE = 4096  # decoded at once
_PAIRS_AT_ONCE = 10_000
_MOST_PAIRS = 500_000  # whose values are held in memory


class ExactLogPx(NamedTuple):
    """Integrals and their probable errors."""

    log_evidence: np.ndarray  # log p(x), [N], nats
    error: np.ndarray  # its probable error, [N], nats


class _Tiles(NamedTuple):
    """Intervals, or squares, of the latent space."""

    corners: np.ndarray  # of the smallest latents, [T, Z]
    side: float

    def at(self, places: np.ndarray) -> np.ndarray:
        """The latents at P places in [0, 1]^Z of each, tile after tile, [T * P, Z]."""
        return (self.corners[:, None] + places * self.side).reshape(-1, self.corners.shape[1])


class _Pairs(NamedTuple):
    """M pairs of an image and a tile that matters to it, sorted by tile."""

    image: np.ndarray  # int [M]
    tile: np.ndarray  # int [M]
    log_mass: np.ndarray  # log of the integral of p(x, z) over the tile, [M], nats
    error: np.ndarray  # relative error of the integral, [M]

    def part(self, own: slice | np.ndarray) -> "_Pairs":
        """Some of the pairs."""
        return _Pairs(*(each[own] for each in self))


class _Polynomials(NamedTuple):
    """Legendre polynomials on a tile. The difference of the others shows how good the first is."""

    full: np.ndarray  # from values at nodes to values at points, [n^Z, m^Z]
    lower: list[np.ndarray]  # the same without terms of the highest degree, and of the two highest
    weights: np.ndarray  # of the points, which add up to 1, [m^Z]
    of_nodes: np.ndarray  # weights of the nodes, [n^Z]


class _Joint:
    """The logarithm of p(x, z) for N images and any latents."""

    def __init__(self, model: CVAE, pixels: np.ndarray, label: int | None):
        """Keeps the features of images, float32 [N, H, W, C]."""
        features = model.pixels.likelihood.features(tf.constant(pixels))
        self._used = np.flatnonzero(np.any(features, axis=0))  # others, as of margins, add nothing
        self.features = tf.gather(features, self._used, axis=1)
        self.latent_dim = model.latent_dim
        self._decode = tf.function(
            lambda latents: _natural(model, label, latents),
            input_signature=[tf.TensorSpec([None, self.latent_dim])],
            autograph=False,
        )

    def decode(self, latents: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes latents [L, Z].

        Returns:
            Natural parameters [L, F] and offsets [L]; log p(x, z) = features @ natural + offset.
        """
        natural, offset = self._decode(latents.astype("f4"))
        return tf.gather(natural, self._used, axis=1), offset


def _natural(model: CVAE, label: int | None, latents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    labels = None if label is None else tf.fill(tf.shape(latents)[:1], label)
    natural, log_normalizer = model.pixels.likelihood.natural(model.parameters(latents, labels))
    log_prior = log_standard_normal(latents)
    return natural, tf.cast(log_prior, natural.dtype) - log_normalizer


@tf.function(reduce_retracing=True, autograph=False)
def _largest(
    natural: tf.Tensor, offset: tf.Tensor, features: tf.Tensor, nodes: tf.Tensor
) -> tf.Tensor:
    """The largest log p(x, z) of N images at the nodes of T tiles, [T, N]."""
    log_joint = tf.matmul(tf.cast(natural, tf.float32), features, transpose_b=True)
    log_joint += tf.cast(offset, tf.float32)[:, None]
    return tf.reduce_max(tf.reshape(log_joint, [-1, nodes, tf.shape(features)[0]]), axis=1)


def can_integrate(model: CVAE) -> bool:
    """Whether a model has few enough latents and a likelihood that is a matrix product."""
    is_fast = model.pixels.has_likelihood and model.pixels.likelihood.is_matrix_product
    return is_fast and model.latent_dim <= _LARGEST_DIM


def log_evidence(model: CVAE, pixels: np.ndarray, labels: np.ndarray | None = None) -> ExactLogPx:
    """Integrates p(x|z) p(z) over the latents.

    Args:
        model: the model; `can_integrate` says which ones.
        pixels: of N images, float32 [N, H, W, C].
        labels: for a conditional model the classes y of p(x|y), int [N].

    Returns:
        log p(x) of each image.
    """
    found = ExactLogPx(*np.empty((2, len(pixels))))
    for label in [None] if labels is None else np.unique(labels).tolist():
        of_label = np.arange(len(pixels)) if label is None else np.flatnonzero(labels == label)
        for start in range(0, len(of_label), _IMAGES_AT_ONCE):
            own = of_label[start : start + _IMAGES_AT_ONCE]
            part = _integrate(_Joint(model, pixels[own], label))
            found.log_evidence[own], found.error[own] = part
    return found


def _integrate(joint: _Joint) -> ExactLogPx:
    tiles, pairs = coarse_pass(joint)
    num = len(joint.features)
    found = ExactLogPx(*np.empty((2, num)))
    for own in np.array_split(np.arange(num), len(pairs.image) // _MOST_PAIRS + 1):
        is_own = (pairs.image >= own[0]) & (pairs.image <= own[-1])
        part = _integrate_images(joint, tiles, pairs.part(is_own))
        found.log_evidence[own], found.error[own] = (each[own] for each in part)
    return found


def _integrate_images(joint: _Joint, tiles: _Tiles, pairs: _Pairs) -> ExactLogPx:
    num, settled = len(joint.features), []
    values = _log_joint(joint, tiles, pairs, _grid(_EVEN, joint.latent_dim))
    for divisions_left in range(_MOST_DIVISIONS, -1, -1):
        pairs = integrate_pairs(tiles, pairs, values)
        everything = _Pairs(*map(np.concatenate, zip(*settled, pairs, strict=True)))
        total = np.full(num, -np.inf)
        np.logaddexp.at(total, everything.image, everything.log_mass)
        wrong = np.exp(everything.log_mass - total[everything.image]) * everything.error
        is_negligible = pairs.log_mass < total[pairs.image] - _NEGLIGIBLE
        unsettled = _are_unsettled(everything.image, wrong)[-len(pairs.image) :]
        unsettled |= (pairs.error >= 1) & ~is_negligible
        if not unsettled.any() or not divisions_left:
            break
        settled.append(pairs.part(~unsettled & ~is_negligible))
        tiles, pairs, values = _divide(joint, tiles, pairs.part(unsettled), values[unsettled])
    squares = np.bincount(everything.image, wrong**2, num)
    return ExactLogPx(total, np.log1p(np.sqrt(squares)))


def _are_unsettled(image: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Chooses the worst pairs of each image, so that the others' squares are small, [M]."""
    square = np.minimum(wrong, 1) ** 2  # else sums over all images would lose small ones
    order = np.lexsort((square, image))
    sums = np.cumsum(square[order])
    starts = np.flatnonzero(np.diff(image[order], prepend=-1))
    before = np.repeat((sums - square[order])[starts], np.diff(starts, append=len(image)))
    return (sums - before > _SETTLED**2)[np.argsort(order)]


def coarse_pass(joint: _Joint) -> tuple[_Tiles, _Pairs]:
    """Compares all images with a few latents of every tile.

    Returns:
        The tiles, and the pairs of images and tiles that matter, not yet integrated.
    """
    best, found, blocks = np.full(len(joint.features), -np.inf, "f4"), [], []
    features = tf.cast(joint.features, tf.float32)
    for block, places in _blocks(joint.latent_dim):
        natural = joint.decode(block.at(places))
        rough = _largest(*natural, features, tf.constant(len(places))).numpy()
        best = np.maximum(best, rough.max(axis=0))
        tile, image = np.nonzero(rough > best - _MARGIN)
        first = sum(map(len, blocks))
        found.append((image, first + tile, rough[tile, image]))
        blocks.append(block.corners)
    image, tile, rough = map(np.concatenate, zip(*found, strict=True))
    pairs = _Pairs(image, tile, rough, np.ones(len(image)))
    return _Tiles(np.concatenate(blocks), block.side), pairs.part(rough > best[image] - _MARGIN)


def _blocks(latent_dim: int) -> Iterator[tuple[_Tiles, np.ndarray]]:
    """Yields all tiles, some at a time, with the places of their nodes."""
    side = _SIDE_OF_TILE[latent_dim]
    of_side = np.arange(-round(_OUTER / side), round(_OUTER / side)) * side
    corners = _grid(of_side, latent_dim)
    is_inner = np.abs(corners + side / 2).max(axis=1) < _INNER
    for own, nodes in ((corners[is_inner], _COARSE_NODES), (corners[~is_inner], _FAR_NODES)):
        places = _grid((legendre.leggauss(nodes)[0] + 1) / 2, latent_dim)
        at_once = _LATENTS_AT_ONCE // len(places)
        for start in range(0, len(own), at_once):
            yield _Tiles(own[start : start + at_once], side), places


def _log_joint(joint: _Joint, tiles: _Tiles, pairs: _Pairs, places: np.ndarray) -> np.ndarray:
    """Finds log p(x, z) of M pairs at P places of their tiles, [M, P]."""
    numbers, starts = np.unique(pairs.tile, return_index=True)
    bounds, values = np.append(starts, len(pairs.tile)), []
    at_once = max(_LATENTS_AT_ONCE // len(places), 1)
    with progress("integrating") as show:
        for first in range(0, len(numbers), at_once):
            show(first / len(numbers))
            last = min(first + at_once, len(numbers))
            images = pairs.image[bounds[first] : bounds[last]]
            some = tiles._replace(corners=tiles.corners[numbers[first:last]])
            natural = joint.decode(some.at(places))
            counts = np.diff(bounds[first : last + 1])
            values.append(_compare(joint.features, images, counts, *natural).numpy())
    return np.concatenate(values)


@tf.function(reduce_retracing=True, autograph=False)
def _compare(
    features: tf.Tensor, image: tf.Tensor, counts: tf.Tensor, natural: tf.Tensor, offset: tf.Tensor
) -> tf.Tensor:
    """The logarithms of p(x, z) of M pairs at the nodes of their tiles, [M, n^Z].

    Each tile is compared with its images, whose number is its count.
    """
    num_tiles, num_nodes = tf.size(counts), tf.size(offset) // tf.size(counts)
    ends = tf.cumsum(counts)
    parts = tf.TensorArray(features.dtype, num_tiles, infer_shape=False)

    def add_tile(tile: tf.Tensor, parts: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        images = tf.gather(features, image[ends[tile] - counts[tile] : ends[tile]])
        nodes = slice(tile * num_nodes, (tile + 1) * num_nodes)
        products = tf.matmul(images, natural[nodes], transpose_b=True)
        return tile + 1, parts.write(tile, products + offset[nodes])

    return tf.while_loop(lambda tile, _: tile < num_tiles, add_tile, (0, parts))[1].concat()


def integrate_pairs(tiles: _Tiles, pairs: _Pairs, values: np.ndarray) -> _Pairs:
    """Integrates the tiles of M pairs, from log p(x, z) at their even nodes, [M, n^Z]."""
    latent_dim = tiles.corners.shape[1]
    parts = [
        _integrals(values[start : start + _PAIRS_AT_ONCE], latent_dim)
        for start in range(0, len(values), _PAIRS_AT_ONCE)
    ]
    log_mass, error = (np.concatenate(each) for each in zip(*parts, strict=True))
    left = (tiles.side / _SIDE_OF_TILE[latent_dim]) ** _CANCELLING
    error = np.where(error < 1, left * error, error)
    return pairs._replace(log_mass=log_mass + latent_dim * np.log(tiles.side), error=error)


@tf.function(reduce_retracing=True, autograph=False)
def _integrals(values: tf.Tensor, latent_dim: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Averages over tiles, given the logarithms at their nodes, [M, n^Z].

    Returns:
        The logarithms of the averages, [M], and their relative errors, [M].
    """
    polynomials = _polynomials(latent_dim)
    largest = tf.reduce_max(values, axis=1, keepdims=True)
    relative = tf.cast(values - largest, tf.float32)
    by_nodes = tf.reduce_sum(tf.exp(relative) * polynomials.of_nodes, axis=1)
    at_points, *of_lower = (
        tf.exp(tf.minimum(tf.matmul(relative, matrix), _LARGEST_EXPONENT)) * polynomials.weights
        for matrix in (polynomials.full, *polynomials.lower)
    )
    by_points = tf.reduce_sum(at_points, axis=1)
    changes = [tf.reduce_sum(tf.abs(at_points - each), axis=1) for each in of_lower]
    change = tf.reduce_max(changes, axis=0) / tf.maximum(by_points, 1e-37)
    is_narrow = tf.reduce_max(at_points, axis=1) > _MOST_AT_A_POINT**latent_dim * by_points
    above = by_points / by_nodes
    is_good = (above > 0) & (above < _MOST_ABOVE) & (change < _LARGEST_CHANGE) & ~is_narrow
    integrals = tf.where(is_good, by_points, by_nodes)
    errors = tf.where(is_good, change, tf.maximum(above, 1))
    return tf.cast(tf.math.log(integrals), values.dtype) + largest[:, 0], errors


def _divide(
    joint: _Joint, tiles: _Tiles, pairs: _Pairs, values: np.ndarray
) -> tuple[_Tiles, _Pairs, np.ndarray]:
    """Halves the sides of the tiles of M pairs, so that each becomes 2^Z pairs.

    Values at the nodes of the tiles, [M, n^Z], are used again.
    """
    side, latent_dim, last = tiles.side / 2, joint.latent_dim, _FINE_NODES - 1
    index = _grid(np.arange(2 * last + 1), latent_dim)  # of the nodes of all parts of a tile
    is_new = (index % 2 > 0).any(axis=1)
    finer = np.empty([len(values), len(index)], values.dtype)
    finer[:, ~is_new] = values
    finer[:, is_new] = _log_joint(joint, tiles, pairs, index[is_new] / (2 * last))
    shifts = _grid(np.arange(2), latent_dim)
    middles = (2 * shifts + 1) * last / 2
    own = [np.flatnonzero((abs(index - each) <= last / 2).all(axis=1)) for each in middles]
    finer = finer[:, np.array(own)].reshape(-1, values.shape[1])

    numbers, places = np.unique(pairs.tile, return_inverse=True)
    corners = (tiles.corners[numbers][:, None] + shifts * side).reshape(-1, latent_dim)
    tile = (places[:, None] * len(shifts) + np.arange(len(shifts))).ravel()
    parts = _Pairs(*(np.repeat(each, len(shifts)) for each in pairs))._replace(tile=tile)
    order = np.argsort(tile, kind="stable")
    return _Tiles(corners, side), parts.part(order), finer[order]


def _grid(of_side: np.ndarray, latent_dim: int) -> np.ndarray:
    """All combinations of n numbers, [n^Z, Z], the last one changing first."""
    return np.array(list(itertools.product(of_side, repeat=latent_dim)))


@functools.cache
def _polynomials(latent_dim: int) -> _Polynomials:
    def of_tile(of_side: np.ndarray) -> np.ndarray:
        return functools.reduce(np.kron, [of_side] * latent_dim).astype("f4")

    terms = np.linalg.inv(legendre.legvander(2 * _EVEN - 1, _FINE_NODES - 1))
    points, weights = legendre.leggauss(_POINTS)
    at_points = legendre.legvander(points, _FINE_NODES - 1)
    full, *lower = (
        of_tile((at_points[:, :kept] @ terms[:kept]).T)
        for kept in range(_FINE_NODES, _FINE_NODES - 3, -1)
    )
    return _Polynomials(full, lower, of_tile(weights / 2), of_tile(terms[0]))
