"""The picture of the latent space: posterior means, coloured by label."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cvae_tf.drawing import canvas, fonts
from cvae_tf.drawing.labels import Classes, are_values, as_classes

_LONGEST_TITLE = 90  # letters
_NARROWEST = 0.5  # of the shorter axis, as a share of the longer one
_COLOUR_MAP = matplotlib.colormaps["viridis"].with_extremes(bad="lightgrey")  # for NaN


def draw_latents(
    path: Path,
    means: np.ndarray,
    labels: np.ndarray | None,
    title: str,
    label_names: Sequence[str] | None = None,
) -> None:
    """Draws posterior means: two dimensions as a plane, one by histograms, more by their PCA.

    Args:
        path: the PNG to write.
        means: [N, Z]; images whose means are not finite are left out.
        labels: numbers or texts, [N], or None.
        title: shown on top.
        label_names: names of the labels 0, 1, ..., if they have any.
    """
    finite = np.isfinite(means).all(axis=1)
    points = np.asarray(means, np.float64)[finite]
    if labels is not None:
        labels = np.asarray(labels).reshape(len(means))[finite]
    title = canvas.plain(canvas.shortened(title, _LONGEST_TITLE))
    if not finite.all():
        title += f"\n{len(means) - len(points)} of {len(means)} are not finite and left out"
    draw = _line if means.shape[1] == 1 else _plane
    figure = draw(points, labels, label_names)
    figure.axes[0].set_title(title)
    canvas.save(figure, path, whole=True)


def _plane(
    means: np.ndarray, labels: np.ndarray | None, label_names: Sequence[str] | None
) -> Figure:
    """Draws means [N, Z] of two or more dimensions as points."""
    points, names = _two_dimensions(means)
    figure = canvas.new_figure(8, 7)
    axes = figure.subplots()
    style = {"s": _dot_size(len(points)), "alpha": 0.75, "linewidths": 0}
    if labels is None:
        axes.scatter(*points.T, **style)
    elif are_values(labels, label_names):
        style |= {"c": labels.astype(np.float64), "cmap": _COLOUR_MAP, "plotnonfinite": True}
        dots = axes.scatter(*points.T, **style)
        figure.colorbar(dots, ax=axes, label="Label", fraction=0.04)
    else:
        classes = as_classes(labels, label_names)
        axes.scatter(*points.T, c=classes.colours[classes.indices], **style)
        _add_legend(axes, classes)
    axes.set(xlabel=names[0], ylabel=names[1], aspect="equal")
    _set_limits(axes, points)
    return figure


def _add_legend(axes: Axes, classes: Classes) -> None:
    dots = [Line2D([], [], marker="o", ls="", color=colour) for colour in classes.colours]
    axes.legend(
        dots, classes.names, title="Label", loc="center left", bbox_to_anchor=(1, 0.5),
        frameon=False,
    )  # fmt: skip


def _dot_size(num: int) -> float:
    """The area of a dot in square points: few are large, many do not hide each other."""
    return float(np.clip(450 / max(num, 1) ** 0.5, 3, 60))


def _set_limits(axes: Axes, points: np.ndarray) -> None:
    """Leaves room about all points [N, 2], on a page that is never a thin strip."""
    if len(points) == 0:
        return
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    least = max(_NARROWEST * half.max(), 1e-6 * np.abs(middle).max())
    half = 1.06 * np.maximum(half, least) if least else np.ones(2)
    axes.set(
        xlim=(middle[0] - half[0], middle[0] + half[0]),
        ylim=(middle[1] - half[1], middle[1] + half[1]),
    )


def _two_dimensions(means: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """Brings [N, Z] of two or more dimensions to [N, 2], and says what the two axes are."""
    if means.shape[1] == 2:
        return means, ("$z_1$", "$z_2$")
    centred = means - means.mean(axis=0) if len(means) else means
    spreads, directions = np.linalg.eigh(centred.T @ centred)  # rising; also for a single image
    shares = np.clip(spreads, 0, None) / max(spreads.sum(), 1e-30)
    names = tuple(f"principal component {i} ({shares[-i]:.0%} of the variance)" for i in (1, 2))
    return centred @ directions[:, [-1, -2]], names


def _line(
    means: np.ndarray, labels: np.ndarray | None, label_names: Sequence[str] | None
) -> Figure:
    """Draws means [N, 1]: a histogram of each class, one under the other."""
    values = means[:, 0]
    figure = canvas.new_figure(8, 5)
    if labels is None:
        axes = figure.subplots()
        axes.hist(values, _edges(values))
        axes.set(ylabel="how many images")
    elif are_values(labels, label_names):
        axes = figure.subplots()
        axes.scatter(values, labels.astype(np.float64), s=_dot_size(len(values)), linewidths=0)
        axes.set(ylabel="Label")
    else:
        figure = _histograms(values, as_classes(labels, label_names))
    figure.axes[0].set(xlabel="$z_1$")
    return figure


def _histograms(values: np.ndarray, classes: Classes) -> Figure:
    """Draws a histogram of the values [N] of each class, each in its own height."""
    num = len(classes.names)
    figure = canvas.new_figure(8, max(5, 0.4 * num + 1))
    axes = figure.subplots()
    edges = _edges(values)
    for number, colour in enumerate(classes.colours):
        counts, _ = np.histogram(values[classes.indices == number], edges)
        bottom = num - 1 - number
        heights = bottom + 0.9 * counts / max(counts.max(), 1)
        axes.stairs(heights, edges, baseline=bottom, fill=True, color=colour)
    axes.set_yticks(np.arange(num)[::-1] + 0.2, list(map(fonts.readable, classes.names)))
    axes.set(ylim=(-0.1, num))
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    return figure


def _edges(values: np.ndarray) -> np.ndarray:
    """The edges of a histogram: the more values, the finer."""
    return np.histogram_bin_edges(values, int(np.clip(3 * len(values) ** 0.5, 10, 100)))
