"""The Frechet distance between two sets of images, by Gaussians of their features.

Heusel et al., "GANs trained by a two time-scale update rule" (2017), equation 6. It is never
called FID here, which is a distance in the features of one published network.
"""

from typing import NamedTuple

import numpy as np

MOST_IMAGES = 10_000  # of each kind: the distance depends on how many are compared


class Statistics(NamedTuple):
    """Mean and covariance of features, in float64."""

    mean: np.ndarray  # [F]
    covariance: np.ndarray  # [F, F]


def statistics(features: np.ndarray) -> Statistics:
    """Describes features [N, F] of N images by a Gaussian; one image alone has no covariance."""
    features = np.asarray(features, np.float64)
    mean = features.mean(axis=0)
    centred = features - mean
    return Statistics(mean, centred.T @ centred / max(len(features) - 1, 1))


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """The squared distance of Frechet between two Gaussians, from 0.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). The eigenvalues of C1 C2 are those of the symmetric
    C1^(1/2) C2 C1^(1/2), which has real roots however nearly singular the covariances are.
    """
    if not all(np.isfinite(part).all() for part in (*first, *second)):
        return float("nan")
    root = _symmetric_root(first.covariance)
    eigenvalues = np.linalg.eigvalsh(root @ second.covariance @ root)
    of_root = np.sqrt(eigenvalues.clip(min=0)).sum()
    of_means = np.sum((first.mean - second.mean) ** 2)
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    return max(float(of_means + traces - 2 * of_root), 0.0)


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    """The square root of a symmetric matrix without negative eigenvalues but by rounding."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
