"""The exact log p(x) of models with one or two latent dimensions, by numerical integration.

p(x) is the integral of p(x|z) p(z) over the latents. The latent space is divided into tiles. A
coarse pass compares all images with a few latents of every tile, by a matrix product, outwards
until nothing is gained: so it knows which tiles matter to which images. Each such pair is then
integrated finely: more latents of the tile are decoded, and a polynomial through log p(x, z) there
gives it at many more points, for the logarithm is smooth, also where p(x, z) itself is a needle.
Where the terms of the highest degree still count, or a single point has much of the integral, the
tile is divided. The encoder has no part in all this.

Trefethen, "Approximation Theory and Approximation Practice" (2019), chapters 8, 17 and 19.

A mode of the true posterior that is narrower than about 0.008 in two dimensions can fall between
the nodes of the coarse pass and be missed.
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
from cvae_tf.models.vae.posterior import log_normal

TOLERANCE = 0.01  # nats, of the mean
_LARGEST_DIM = 2
_SIDE_OF_TILE = {1: 0.02, 2: 0.2}  # by latent dimensions
_INNER, _OUTER = 5.0, 12.0  # from 0 in each direction: what is always integrated, and the end
_COARSE_NODES, _FAR_NODES, _FINE_NODES = 4, 2, 6  # a side of a tile
_POINTS = 16  # a side, at which a polynomial gives log p(x, z)
_MARGIN = 20.0  # nats below the best tile of an image in the coarse pass: what matters to it
_NEGLIGIBLE = 20.0  # nats below log p(x), of a tile
_MOST_AT_A_POINT = 0.41  # of an integral, to the power of Z: too narrow peaks have more
_LARGEST_CHANGE = 0.5  # by terms of the highest degree: else the nodes alone are taken
_MOST_ABOVE = 60.0  # nats above the largest value at a node that a polynomial may have
_SETTLED = 0.001  # nats of an image that all its tiles together may be wrong by
_MOST_DIVISIONS = 5
_NOTHING = 1e-37  # beside p(x), and can be divided by
_IMAGES_AT_ONCE = 10_000
_LATENTS_AT_ONCE = 4096  # that are decoded


class ExactLogPx(NamedTuple):
    """Integrals, and how far they are to be trusted."""

    log_evidence: np.ndarray  # log p(x), [N], nats
    error: np.ndarray  # how much polynomials of a lower degree change it, [N], nats


class _Tiles(NamedTuple):
    """Intervals, or squares, of the latent space."""

    corners: np.ndarray  # of the smallest latents, [T, Z]
    side: float

    def nodes(self, number: int) -> np.ndarray:
        """The Gauss-Legendre nodes, n a side, one tile after the other, [T * n^Z, Z]."""
        latent_dim = self.corners.shape[1]
        of_side = (_legendre(number)[0] + 1) / 2 * self.side
        places = np.array(list(itertools.product(of_side, repeat=latent_dim)))
        return (self.corners[:, None] + places).reshape(-1, latent_dim)

    def part(self, own: slice | np.ndarray) -> "_Tiles":
        """Some of them."""
        return self._replace(corners=self.corners[own])


class _Pairs(NamedTuple):
    """Images and tiles that matter to them; M pairs, sorted by tile."""

    image: np.ndarray  # int [M]
    tile: np.ndarray  # int [M]
    log_mass: np.ndarray  # log of the integral of p(x, z) over the tile, [M], nats
    error: np.ndarray  # by how much of itself the integral may be wrong, [M]

    def part(self, own: slice | np.ndarray) -> "_Pairs":
        """Some of them."""
        return _Pairs(*(each[own] for each in self))


class _Joint:
    """The logarithm of p(x, z) for N images and any latents."""

    def __init__(self, model: CVAE, pixels: np.ndarray, label: int | None):
        """Keeps the features of images, float32 [N, H, W, C]."""
        density, self.latent_dim = model.pixels.likelihood, model.latent_dim
        self.features = density.features(tf.constant(pixels))

        self._decode = tf.function(
            lambda latents: _natural(model, label, latents),
            input_signature=[tf.TensorSpec([None, self.latent_dim])],
        )

    def decode(self, latents: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes latents [L, Z].

        Returns:
            Natural parameters [L, F] and offsets [L]; log p(x, z) = features @ natural + offset.
        """
        return self._decode(latents.astype("f4"))


def _natural(model: CVAE, label: int | None, latents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    labels = None if label is None else tf.fill(tf.shape(latents)[:1], label)
    natural, log_normalizer = model.pixels.likelihood.natural(model.parameters(latents, labels))
    log_prior = log_normal(latents, tf.zeros_like(latents), tf.zeros_like(latents))
    return natural, tf.cast(log_prior, natural.dtype) - log_normalizer


@tf.function(reduce_retracing=True)
def _largest(
    natural: tf.Tensor, offset: tf.Tensor, features: tf.Tensor, nodes: tf.Tensor
) -> tf.Tensor:
    """The largest log p(x, z) of N images at the nodes of T tiles, [T, N]."""
    log_joint = tf.matmul(tf.cast(natural, tf.float32), features, transpose_b=True)
    log_joint += tf.cast(offset, tf.float32)[:, None]
    return tf.reduce_max(tf.reshape(log_joint, [-1, nodes, tf.shape(features)[0]]), axis=1)


def can_integrate(model: CVAE) -> bool:
    """Whether a model has few enough latents, and a likelihood that is a matrix product."""
    is_fast = model.pixels.has_likelihood and model.pixels.likelihood.is_matrix_product
    return is_fast and model.latent_dim <= _LARGEST_DIM


def log_evidence(model: CVAE, pixels: np.ndarray, labels: np.ndarray | None = None) -> ExactLogPx:
    """Integrates p(x|z) p(z) over the latents.

    Args:
        model: the model; `can_integrate` says which ones.
        pixels: of N images, float32 [N, H, W, C].
        labels: of a conditional model the classes under which p(x|y) is integrated, int [N].

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
    num, settled = len(joint.features), []
    tiles, pairs = coarse_pass(joint)
    for _ in range(_MOST_DIVISIONS + 1):
        pairs = integrate_pairs(joint, tiles, pairs)
        everything = _Pairs(*map(np.concatenate, zip(*settled, pairs, strict=True)))
        total = _add_up(everything, num)
        wrong = np.exp(everything.log_mass - total[everything.image]) * everything.error
        unsettled = _are_unsettled(everything.image, wrong)[-len(pairs.image) :]
        unsettled |= (pairs.error >= 1) & (pairs.log_mass > total[pairs.image] - _NEGLIGIBLE)
        if not unsettled.any():
            break
        settled.append(pairs.part(~unsettled))
        tiles, pairs = _divide(tiles, pairs.part(unsettled))
    return ExactLogPx(total, np.log1p(np.bincount(everything.image, wrong, num)))


def _are_unsettled(image: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Chooses the worst pairs of each image, so that all others together are good enough, [M]."""
    order = np.lexsort((wrong, image))
    sums = np.cumsum(wrong[order])
    starts = np.flatnonzero(np.diff(image[order], prepend=-1))
    before = np.repeat((sums - wrong[order])[starts], np.diff(starts, append=len(image)))
    unsettled = np.empty(len(image), bool)
    unsettled[order] = sums - before > _SETTLED
    return unsettled


def coarse_pass(joint: _Joint) -> tuple[_Tiles, _Pairs]:
    """Compares all images with a few latents of every tile, outwards until nothing is gained.

    Args:
        joint: of N images.

    Returns:
        The tiles, and the pairs of images and tiles that matter, with about their integrals.
    """
    num, found, rings = len(joint.features), [], []
    chosen, (total, best) = np.arange(num), np.full((2, num), -np.inf)
    for ring, nodes in _rings(joint.latent_dim):
        before, features = total.copy(), tf.cast(tf.gather(joint.features, chosen), tf.float32)
        num_nodes = tf.constant(nodes**joint.latent_dim)
        at_once = _LATENTS_AT_ONCE // nodes**joint.latent_dim
        log_volume = joint.latent_dim * np.log(ring.side)
        for start in range(0, len(ring.corners), at_once):
            block = ring.part(slice(start, start + at_once))
            natural = joint.decode(block.nodes(nodes))
            rough = log_volume + _largest(*natural, features, num_nodes).numpy()
            best[chosen] = np.maximum(best[chosen], rough.max(axis=0))
            total[chosen] = np.logaddexp(total[chosen], _log_sum(rough))
            tile, image = np.nonzero(rough > best[chosen] - _MARGIN)
            first = sum(map(len, rings)) + start
            found.append((chosen[image], first + tile, rough[tile, image]))
        rings.append(ring.corners)
        chosen = chosen[total[chosen] > before[chosen] + _SETTLED / 10]
        if not len(chosen):
            break
    image, tile, rough = map(np.concatenate, zip(*found, strict=True))
    pairs = _Pairs(image, tile, rough, np.ones(len(image)))
    return _Tiles(np.concatenate(rings), ring.side), pairs.part(rough > best[image] - _MARGIN)


def _rings(latent_dim: int) -> Iterator[tuple[_Tiles, int]]:
    """Yields an inner square of tiles and rings around it, each with the nodes of a side."""
    side = _SIDE_OF_TILE[latent_dim]
    of_side = np.arange(-round(_OUTER / side), round(_OUTER / side)) * side
    corners = np.array(list(itertools.product(of_side, repeat=latent_dim)))
    distance = np.abs(corners + side / 2).max(axis=1)
    yield _Tiles(corners[distance < _INNER], side), _COARSE_NODES
    for outer in np.arange(_INNER, _OUTER) + 1:
        yield _Tiles(corners[(distance > outer - 1) & (distance < outer)], side), _FAR_NODES


def integrate_pairs(joint: _Joint, tiles: _Tiles, pairs: _Pairs) -> _Pairs:
    """Integrates the tile of each of M pairs for its image.

    Args:
        joint: of N images.
        tiles: T of them.
        pairs: their integrals are not known yet.
    """
    numbers, starts = np.unique(pairs.tile, return_index=True)
    bounds, found = np.append(starts, len(pairs.tile)), []
    at_once = max(_LATENTS_AT_ONCE // _FINE_NODES**joint.latent_dim, 1)
    log_volume = joint.latent_dim * np.log(tiles.side)
    with progress("integrating") as show:
        for first in range(0, len(numbers), at_once):
            show(first / len(numbers))
            last = min(first + at_once, len(numbers))
            part = pairs.part(slice(bounds[first], bounds[last]))
            natural, offset = joint.decode(tiles.part(numbers[first:last]).nodes(_FINE_NODES))
            counts = np.diff(bounds[first : last + 1])
            values = log_volume + _compare(joint.features, part.image, counts, natural, offset)
            found.append(_integrals(values, joint.latent_dim))
    log_mass, error = map(np.concatenate, zip(*found, strict=True))
    return pairs._replace(log_mass=log_mass, error=error)


@tf.function(reduce_retracing=True)
def _compare(
    features: tf.Tensor, image: tf.Tensor, counts: tf.Tensor, natural: tf.Tensor, offset: tf.Tensor
) -> tf.Tensor:
    """The logarithms of p(x, z) of M pairs at the nodes of their tiles, [M, n^Z].

    One tile after the other is compared with its images, so many as its count says.
    """
    num_tiles, num_nodes = tf.size(counts), tf.size(offset) // tf.size(counts)
    ends = tf.cumsum(counts)
    parts = tf.TensorArray(features.dtype, num_tiles, infer_shape=False)
    for tile in tf.range(num_tiles):
        images = tf.gather(features, image[ends[tile] - counts[tile] : ends[tile]])
        nodes = slice(tile * num_nodes, (tile + 1) * num_nodes)
        products = tf.matmul(images, natural[nodes], transpose_b=True)
        parts = parts.write(tile, products + offset[nodes])
    return parts.concat()


@tf.function(reduce_retracing=True)
def _integrals(values: tf.Tensor, latent_dim: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Integrates over tiles, from the logarithms at their nodes times their volume, [M, n^Z].

    Returns:
        The logarithms of the integrals, [M], and by how much of itself each may be wrong, [M].
    """
    largest = tf.reduce_max(values, axis=1, keepdims=True)
    relative = tf.cast(values - largest, tf.float32)
    by_nodes = tf.reduce_sum(tf.exp(relative) * _weights(_FINE_NODES, latent_dim), axis=1)
    at_points, of_lower = (
        tf.exp(tf.minimum(tf.matmul(relative, matrix), _MOST_ABOVE)) * _weights(_POINTS, latent_dim)
        for matrix in _to_points(latent_dim)
    )
    by_points = tf.reduce_sum(at_points, axis=1)
    change = tf.abs(by_points - tf.reduce_sum(of_lower, axis=1)) / (by_points + _NOTHING)
    is_narrow = tf.reduce_max(at_points, axis=1) > _MOST_AT_A_POINT**latent_dim * by_points
    is_good = (by_points > 0) & (change < _LARGEST_CHANGE) & ~is_narrow
    integrals = tf.where(is_good, by_points, by_nodes)
    errors = tf.where(is_good, change, tf.maximum(by_points / by_nodes, 1))
    return tf.cast(tf.math.log(integrals), values.dtype) + largest[:, 0], errors


def _divide(tiles: _Tiles, pairs: _Pairs) -> tuple[_Tiles, _Pairs]:
    """Halves the sides of the tiles of some pairs, so that each becomes 2^Z pairs."""
    numbers, places = np.unique(pairs.tile, return_inverse=True)
    side, latent_dim = tiles.side / 2, tiles.corners.shape[1]
    shifts = np.array(list(itertools.product([0, side], repeat=latent_dim)))
    corners = (tiles.corners[numbers][:, None] + shifts).reshape(-1, latent_dim)
    tile = (places[:, None] * len(shifts) + np.arange(len(shifts))).ravel()
    parts = _Pairs(*(np.repeat(each, len(shifts)) for each in pairs))._replace(tile=tile)
    return _Tiles(corners, side), parts.part(np.argsort(tile, kind="stable"))


def _add_up(pairs: _Pairs, num: int) -> np.ndarray:
    """Adds the masses of the tiles of each image: log p(x), [num], nats."""
    # np.logaddexp.at would be shorter, and three times as slow.
    largest = np.full(num, -np.inf)
    np.maximum.at(largest, pairs.image, pairs.log_mass)
    shares = np.exp(pairs.log_mass - largest[pairs.image])
    return largest + np.log(np.bincount(pairs.image, shares, num))


def _log_sum(values: np.ndarray) -> np.ndarray:
    """The logarithm of the sum of exponentials over the first axis."""
    largest = values.max(axis=0)
    return largest + np.log(np.exp(values - largest).sum(axis=0))


@functools.cache
def _legendre(number: int) -> tuple[np.ndarray, np.ndarray]:
    return legendre.leggauss(number)


@functools.cache
def _weights(nodes: int, latent_dim: int) -> np.ndarray:
    """The weights of the nodes of a tile, which add up to 1, [n^Z]."""
    return functools.reduce(np.kron, [_legendre(nodes)[1] / 2] * latent_dim).astype("f4")


@functools.cache
def _to_points(latent_dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the values at the points of a tile from those at its nodes, by Legendre polynomials.

    Returns:
        Two matrices [n^Z, m^Z]: of the polynomial through the values, and of the same without its
        terms of the highest degree. How far they differ says how good the first one is.
    """
    places, weights = _legendre(_FINE_NODES)
    degrees = np.arange(_FINE_NODES)
    of_terms = legendre.legvander(places, _FINE_NODES - 1).T * weights * (degrees[:, None] + 0.5)
    at_points = legendre.legvander(_legendre(_POINTS)[0], _FINE_NODES - 1)
    full, lower = at_points @ of_terms, at_points[:, :-1] @ of_terms[:-1]
    return tuple(
        functools.reduce(np.kron, [of_side.T] * latent_dim).astype("f4")
        for of_side in (full, lower)
    )
