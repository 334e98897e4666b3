"""True posteriors p(z|x) of a two-dimensional latent space, on grids."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.evaluation.evaluated_model import Subject

_EXTENT, _SIDE = 3.0, 200  # of the grids
_CANDIDATES = 100
_LEAST_DISTANCE = 1.0  # between two modes
_LEAST_SHARE = 0.05  # of the lesser mode
_MARGIN = 0.4  # about the modes in the picture


class Modes(NamedTuple):
    """The true posterior of an image, about its two highest modes."""

    image: int  # its number
    box: tuple[float, float, float, float]  # what is shown: left, right, bottom, top
    density: np.ndarray  # in the box, relative to its maximum, [G, G]; rows are the second latent
    places: np.ndarray  # latents of the modes, [2, 2]
    decoded: np.ndarray  # mean images there, [2, H, W, C]


def find_two_modes(subject: Subject, pixels: np.ndarray, missed: np.ndarray) -> Modes | None:
    """Finds an image whose posterior has two modes, as equal as can be.

    If q(z|x) proposes one of two equal modes, its samples miss half of p(x): log 2 nats.

    Args:
        subject: a model with two latent dimensions.
        pixels: of N images, [N, H, W, C].
        missed: how much of log p(x) a bound by many samples of q(z|x) misses, [N], nats.

    Returns:
        That image and its posterior; None if no image has two modes worth the name.
    """
    candidates = np.argsort(np.abs(missed - math.log(2)), kind="stable")[:_CANDIDATES]
    latents = _grid((-_EXTENT, _EXTENT, -_EXTENT, _EXTENT))
    densities = _densities(subject, pixels[candidates], latents)
    places, shares = zip(*(_two_highest(density, latents) for density in densities), strict=True)
    best = int(np.argmax(shares))
    if shares[best] < _LEAST_SHARE:
        return None
    image, modes = int(candidates[best]), places[best]
    centre, half = modes.mean(axis=0), np.ptp(modes, axis=0).max() / 2 + _MARGIN
    box = (centre[0] - half, centre[0] + half, centre[1] - half, centre[1] + half)
    density = _densities(subject, pixels[[image]], _grid(box)).reshape(_SIDE, _SIDE)
    decoded = subject.likelihood.mean(subject.decode(tf.constant(modes)))
    return Modes(image, box, density, modes, np.asarray(decoded))


def _grid(box: tuple[float, float, float, float]) -> np.ndarray:
    """Lays latents over a box row by row, float32 [G * G, 2]."""
    x, y = np.meshgrid(np.linspace(*box[:2], _SIDE), np.linspace(*box[2:], _SIDE))
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def _densities(subject: Subject, pixels: np.ndarray, latents: np.ndarray) -> np.ndarray:
    """The posterior of each image at all latents, relative to its maximum, [B, G * G]."""
    rows = []
    for start in range(0, len(latents), _SIDE):
        row = latents[start : start + _SIDE]
        outputs = subject.decode(tf.constant(row))
        log_likelihood = subject.likelihood.log_prob_of_all(tf.constant(pixels), outputs).numpy()
        rows.append(log_likelihood - 0.5 * np.sum(row**2, axis=1))
    log_joint = np.concatenate(rows, axis=1)
    return np.exp(log_joint - log_joint.max(axis=1, keepdims=True))


def _two_highest(density: np.ndarray, latents: np.ndarray) -> tuple[np.ndarray, float]:
    """Finds the highest mode and the highest one far from it, and the lesser's share of mass."""
    first = int(density.argmax())
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(density.reshape(_SIDE, _SIDE), 1), (3, 3)
    )
    is_mode = density == around.max(axis=(2, 3)).ravel()
    is_away = np.sum((latents - latents[first]) ** 2, axis=1) > _LEAST_DISTANCE**2
    second = int(np.where(is_mode & is_away, density, -1).argmax())
    near = [
        density[np.sum((latents - latents[mode]) ** 2, axis=1) < (_LEAST_DISTANCE / 2) ** 2].sum()
        for mode in (first, second)
    ]
    return latents[[first, second]], float(min(near) / sum(near))
