"""True posteriors p(z|x) of a two-dimensional latent space, on grids: found, and as a picture."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse

from cvae_tf.drawing.canvas import new_figure, save, show_image
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.posterior import Posterior

_EXTENT, _SIDE = 3.0, 200  # of the grids
_CANDIDATES = 100
_LEAST_DISTANCE = 1.0  # between two modes
_LEAST_SHARE = 0.05  # of the lesser mode
_DEVIATIONS = 3  # of q(z|x), which lie inside the picture
_MARGIN = 0.15  # of the picture's side, about what lies inside
_LEAST_HALF_SIDE = 0.2  # of the picture
_SEEN_NATS = 15.0  # below the maximum, what a picture still shows plainly
_WIDENINGS = 6  # at most, until all of that lies inside
_DECODED_AT_ONCE = 1000  # latents
_LOWEST = -20.0  # log p(z|x) that is told from less, nats below the maximum

Compare = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # images, latents -> log p(x|z) [B, G]
Box = tuple[float, float, float, float]  # left, right, bottom, top


class Modes(NamedTuple):
    """The true posterior of an image, about its two highest modes."""

    image: int  # its number
    box: Box  # what is shown, a square
    log_density: (
        np.ndarray
    )  # in the box, nats, less its maximum, [G, G]; rows are the second latent
    places: np.ndarray  # latents of the modes, [2, 2]
    decoded: np.ndarray  # mean images there, [2, H, W, C]


def find_two_modes(
    model: CVAE,
    pixels: np.ndarray,
    missed: np.ndarray,
    posteriors: Posterior,
) -> Modes | None:
    """Finds an image whose posterior has two modes, as equal as can be.

    If q(z|x) proposes one of two equal modes, its samples miss half of p(x): log 2 nats.

    Args:
        model: a model with two latent dimensions.
        pixels: of N images, [N, H, W, C].
        missed: how much of log p(x) a bound by many samples of q(z|x) misses, [N], nats.
        posteriors: q(z|x) of the images.

    Returns:
        That image and its posterior; None if no image has two modes worth the name.
    """
    candidates = np.argsort(np.abs(missed - math.log(2)), kind="stable")[:_CANDIDATES]
    latents, compare = _grid((-_EXTENT, _EXTENT, -_EXTENT, _EXTENT)), _comparison(model)
    densities = np.exp(_log_densities(compare, pixels[candidates], latents))
    places, shares = zip(*(_two_highest(density, latents) for density in densities), strict=True)
    best = int(np.argmax(shares))
    if shares[best] < _LEAST_SHARE:
        return None
    image, modes = int(candidates[best]), places[best]
    mean, deviation = posteriors.mean[image], np.exp(0.5 * posteriors.logvar[image])
    inside = [*modes, mean - _DEVIATIONS * deviation, mean + _DEVIATIONS * deviation]
    box, log_density = _whole_posterior(compare, pixels[[image]], np.array(inside, np.float64))
    decoded = model.pixels.density.mean(model.parameters(tf.constant(modes)))
    return Modes(image, box, log_density, modes, np.asarray(decoded))


def _comparison(model: CVAE) -> Compare:
    """Makes a graph of what compares images with latents: many times as fast as single calls."""
    return tf.function(
        lambda pixels, latents: model.pixels.density.log_prob_of_all(
            pixels, model.parameters(latents)
        ),
        input_signature=[
            tf.TensorSpec([None, *model.image_shape]),
            tf.TensorSpec([None, model.latent_dim]),
        ],
    )


def _whole_posterior(
    compare: Compare, pixels: np.ndarray, inside: np.ndarray
) -> tuple[Box, np.ndarray]:
    """Finds a square box about points [P, 2] in which all of a posterior lies that can be seen.

    Returns:
        The box, and log p(z|x) in it less its maximum, [G, G].
    """
    for _ in range(_WIDENINGS):
        low, high = inside.min(axis=0), inside.max(axis=0)
        centre, half = (low + high) / 2, (high - low).max() / 2 / (1 - 2 * _MARGIN)
        half = max(half, _LEAST_HALF_SIDE)
        box = (centre[0] - half, centre[0] + half, centre[1] - half, centre[1] + half)
        latents = _grid(box)
        log_density = _log_densities(compare, pixels, latents)[0]
        seen = latents[log_density > -_SEEN_NATS]
        if (np.abs(seen - centre) < (1 - _MARGIN / 2) * half).all():
            break
        inside = np.concatenate([inside, seen])
    return box, log_density.reshape(_SIDE, _SIDE)


def _grid(box: Box) -> np.ndarray:
    """Lays latents over a box row by row, float32 [G * G, 2]."""
    x, y = np.meshgrid(np.linspace(*box[:2], _SIDE), np.linspace(*box[2:], _SIDE))
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def _log_densities(compare: Compare, pixels: np.ndarray, latents: np.ndarray) -> np.ndarray:
    """The log posterior of each image at all latents less its maximum, nats, [B, G * G]."""
    rows = []
    for start in range(0, len(latents), _DECODED_AT_ONCE):
        row = latents[start : start + _DECODED_AT_ONCE]
        log_likelihood = compare(tf.constant(pixels), tf.constant(row)).numpy()
        rows.append(log_likelihood - 0.5 * np.sum(row**2, axis=1))
    log_joint = np.concatenate(rows, axis=1)
    return log_joint - log_joint.max(axis=1, keepdims=True)


def _two_highest(density: np.ndarray, latents: np.ndarray) -> tuple[np.ndarray, float]:
    """Finds the highest mode and the highest one far from it, and the lesser's share of mass.

    What is highest at the edge of the grid is no mode: it may be higher outside.
    """
    first = int(density.argmax())
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(density.reshape(_SIDE, _SIDE), 1, constant_values=np.inf), (3, 3)
    )
    is_mode = density == around.max(axis=(2, 3)).ravel()
    is_away = np.sum((latents - latents[first]) ** 2, axis=1) > _LEAST_DISTANCE**2
    second = int(np.where(is_mode & is_away, density, -1).argmax())
    near = [
        density[np.sum((latents - latents[mode]) ** 2, axis=1) < (_LEAST_DISTANCE / 2) ** 2].sum()
        for mode in (first, second)
    ]
    share = min(near) / sum(near) if is_mode[[first, second]].all() else 0
    return latents[[first, second]], float(share)


def draw_posterior(
    path: Path,
    image: np.ndarray,
    modes: Modes,
    posterior: tuple[np.ndarray, np.ndarray],
) -> None:
    """Draws an image whose true posterior has two modes, and what the encoder makes of it.

    Args:
        path: the PNG to write.
        image: [H, W, C].
        modes: its true posterior.
        posterior: mean and logvar of q(z|x), each [2].
    """
    figure = new_figure(11.5, 5)
    grid = figure.add_gridspec(2, 3, width_ratios=[2.7, 1.5, 1.1])
    axes = figure.add_subplot(grid[:, 0])
    _draw_density(axes, modes, posterior)
    show_image(figure.add_subplot(grid[:, 1]), image, "The image")
    for row, name in enumerate("AB"):
        show_image(figure.add_subplot(grid[row, 2]), modes.decoded[row], f"decoded at {name}")
    figure.tight_layout()
    save(figure, path)


def _draw_density(axes: Axes, modes: Modes, posterior: tuple[np.ndarray, np.ndarray]) -> None:
    """Draws log p(z|x), with lines where it and q(z|x) are as low as 3 deviations from a mode."""
    mean, deviation = posterior[0], np.exp(0.5 * posterior[1])
    style = {"origin": "lower", "extent": modes.box}
    shown = axes.imshow(modes.log_density, cmap="magma", vmin=_LOWEST, vmax=0, **style)
    axes.figure.colorbar(
        shown, ax=axes, extend="min", label="log p(z|x) less its maximum, nats", fraction=0.046
    )
    level = -(_DEVIATIONS**2) / 2
    axes.contour(modes.log_density, [level], colors="white", linestyles="-", **style)
    size = 2 * _DEVIATIONS * deviation
    axes.add_patch(Ellipse(mean, *size, fill=False, color="deepskyblue", linewidth=1.8))
    for name, place in zip("AB", modes.places, strict=True):
        axes.annotate(
            name, place, (14, 14), textcoords="offset points", color="white", fontsize=12,
            arrowprops={"color": "white", "arrowstyle": "-", "shrinkB": 0},
            bbox={"color": "black", "alpha": 0.5, "pad": 1.5},
        )  # fmt: skip
    axes.set(xlabel="$z_1$", ylabel="$z_2$")
    axes.set_title(
        f"True posterior p(z|x); white: {-level} nats below its maximum,\n"
        "as 3 deviations of a Gaussian are; blue: q(z|x), 3 deviations", fontsize=10,
    )  # fmt: skip
