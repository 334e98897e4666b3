"""Plots: posterior means coloured by label, what labels are to a picture, and curves by epoch."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cvae_tf.drawing import canvas

_LONGEST_TITLE = 90  # letters
_COLOUR_MAP = matplotlib.colormaps["viridis"].with_extremes(bad="lightgrey")  # for NaN
MOST_CLASSES = 20  # that are told apart by their colours
_GREY = "#d2d2d2"
# The first ten, and all, are as far apart as can be in CIELAB, also for those who see no red, no
# green or no blue (by the matrices of Machado et al. 2009), and differ from white.
COLOURS = [
    "#0077aa", "#ee2200", "#661144", "#997777", "#880011",
    "#eecc00", "#bbddaa", "#00ddff", "#332299", "#8800ff",
    "#aa77ff", "#66aa44", "#ee88bb", "#667744", "#ee00bb",
    "#aa2277", "#555544", "#9900cc", "#77ee66", "#661177",
]  # fmt: skip
_FARTHEST = 60  # points from where a name belongs; else there is a legend

_WIDTH, _HEIGHT = 5, 4  # of a pair of axes, inches
_IN_A_ROW = 3
_MOST_DOTS = 60  # epochs that are marked one by one
_CAPITALS = {"elbo": "ELBO", "kl": "KL"}  # in the names of curves

Metrics = list[dict[str, float]]


class Classes(NamedTuple):
    """Labels as classes, in the order in which they are listed."""

    names: list[str]
    indices: np.ndarray  # of the class of each of N images, [N]
    colours: np.ndarray  # of each class, as matplotlib names them, [Y]


def draw_latents(
    path: Path,
    means: np.ndarray,
    labels: np.ndarray | None,
    title: str,
    label_names: Sequence[str] | None = None,
) -> None:
    """Writes what `latents_figure` draws as a PNG; the other arguments are those of it."""
    canvas.save(latents_figure(means, labels, title, label_names), path, whole=True)


def latents_figure(
    means: np.ndarray,
    labels: np.ndarray | None,
    title: str,
    label_names: Sequence[str] | None = None,
) -> Figure:
    """Draws posterior means: two dimensions as a plane, one class by class, more by their PCA.

    Args:
        means: [N, Z]; images whose means are not finite are left out.
        labels: numbers or texts, [N], or None.
        title: shown on top.
        label_names: of the labels 0, 1, ..., if they have any.
    """
    finite = np.isfinite(means).all(axis=1)
    points = np.asarray(means, np.float64)[finite]
    if labels is not None:
        labels = np.asarray(labels).reshape(len(means))[finite]
    title = canvas.shortened(title, _LONGEST_TITLE)
    if not finite.all():
        title += f"\n{len(means) - len(points)} of {len(means)} are not finite and left out"
    figure = canvas.new_figure(8, 7)
    axes = figure.subplots()
    axes.set_title(title)
    if labels is None and means.shape[1] == 1:
        axes.hist(points[:, 0], bins=50)
        axes.set(xlabel="latent 1", ylabel="how many images")
    else:
        _draw_dots(axes, points, labels, label_names)
    return figure


def _draw_dots(
    axes: Axes, means: np.ndarray, labels: np.ndarray | None, label_names: Sequence[str] | None
) -> None:
    """Draws means [N, Z] as dots, coloured by their labels if there are any."""
    area = float(np.clip(450 / max(len(means), 1) ** 0.5, 3, 60))  # many do not hide each other
    style = {"s": area, "alpha": 0.75, "linewidths": 0}
    heights, classes = None, None
    if labels is not None and are_values(labels, label_names):
        heights = labels.astype(np.float64)
        style |= {"c": heights, "cmap": _COLOUR_MAP, "plotnonfinite": True}
    elif labels is not None:
        classes = as_classes(labels, label_names)
        heights = np.random.default_rng(0).uniform(-0.4, 0.4, len(means)) - classes.indices
        style["c"] = classes.colours[classes.indices]
    if means.shape[1] == 1:  # a band for each class
        points = np.column_stack([means, heights])
        names = classes.names if classes else []
        axes.set(xlabel="latent 1", yticks=-np.arange(len(names)), yticklabels=names)
    else:
        points, names = _two_dimensions(means)
        axes.set(xlabel=names[0], ylabel=names[1])
        axes.set_aspect("equal", "datalim")
    dots = axes.scatter(*points.T, **style)
    if classes and means.shape[1] > 1 and len(means):
        _name_classes(axes, points, classes)
    if "cmap" in style:
        axes.figure.colorbar(dots, ax=axes, label="Label", fraction=0.04)


def _name_classes(axes: Axes, points: np.ndarray, classes: Classes) -> None:
    """Writes the name of each class at the median of its points [N, 2]; else makes a legend.

    The legend is for names that would hide each other, and for a class of all others.
    """
    medians = [np.median(points[classes.indices == i], axis=0) for i in range(len(classes.names))]
    axes.figure.draw_without_rendering()  # so that all has its place
    texts = [
        axes.annotate(
            name, median, textcoords="offset points", xytext=(0, 0), ha="center", va="center",
            fontsize=10, bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": colour},
        )
        for name, median, colour in zip(classes.names, medians, classes.colours, strict=True)
    ]  # fmt: skip
    sizes = np.array([text.get_window_extent().size for text in texts]) + 12
    moves = _apart(axes.transData.transform(medians), sizes)
    moves = None if moves is None else moves * 72 / axes.figure.dpi
    if moves is None or np.abs(moves).max() > _FARTHEST or classes.colours[-1] == _GREY:
        for text in texts:
            text.remove()
        _add_legend(axes, classes)
        return
    for text, move in zip(texts, moves, strict=True):
        text.set_position(move)


def _apart(middles: np.ndarray, sizes: np.ndarray) -> np.ndarray | None:
    """Moves boxes, both [N, 2], until none is over another; None if that takes too long."""
    moved = middles + 1e-3 * np.arange(len(middles))[:, None]
    for _ in range(300):
        between = moved[:, None] - moved
        over = (sizes[:, None] + sizes) / 2 - np.abs(between)
        over[np.diag_indices(len(over))] = 0
        if not (is_over := (over > 0.5).all(axis=2)).any():
            return moved - middles
        along = np.eye(2)[over.argmin(axis=2)]  # by the shortest way
        moved += np.sum(0.3 * np.sign(between) * over * along * is_over[..., None], axis=1)
    return None


def _add_legend(axes: Axes, classes: Classes) -> None:
    dots = [Line2D([], [], marker="o", ls="", color=colour) for colour in classes.colours]
    axes.legend(
        dots, classes.names, title="Label", loc="center left", bbox_to_anchor=(1, 0.5),
        frameon=False,
    )  # fmt: skip


def _two_dimensions(means: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """Brings [N, Z] of two or more dimensions to [N, 2], and says what the two axes are."""
    if means.shape[1] == 2:
        return means, ("latent 1", "latent 2")
    centred = means - means.mean(axis=0) if len(means) else means
    spreads, directions = np.linalg.eigh(centred.T @ centred)  # rising; also for a single image
    shares = np.clip(spreads, 0, None) / max(spreads.sum(), 1e-30)
    names = tuple(f"principal component {i} ({shares[-i]:.0%} of the variance)" for i in (1, 2))
    return centred @ directions[:, [-1, -2]], names


def are_values(labels: np.ndarray, label_names: Sequence[str] | None = None) -> bool:
    """Whether labels [N] are numbers on a scale: too many, and without names, to be classes."""
    if label_names is not None or labels.dtype.kind not in "iuf":
        return False
    return len(np.unique(labels[np.isfinite(labels)])) > MOST_CLASSES


def as_classes(labels: np.ndarray, label_names: Sequence[str] | None = None) -> Classes:
    """Sorts labels [N], numbers or texts, into at most `MOST_CLASSES` classes.

    Of too many labels the commonest are kept; the last class is all others.
    """
    if labels.dtype.kind not in "biuf":
        labels = np.array([_text(label) for label in labels.tolist()], dtype=str)
    distinct, indices, counts = np.unique(labels, return_inverse=True, return_counts=True)
    names = [_name(label, label_names) for label in distinct.tolist()]
    colours = COLOURS[: len(names)]
    if len(names) > MOST_CLASSES:
        kept = np.sort(np.argsort(-counts, kind="stable")[: MOST_CLASSES - 1])
        new_indices = np.full(len(names), len(kept))
        new_indices[kept] = np.arange(len(kept))
        indices = new_indices[indices]
        names = [names[i] for i in kept] + [f"and {len(names) - len(kept)} more"]
        colours = [*COLOURS[: len(kept)], _GREY]
    return Classes(names, indices, np.array(colours, dtype=str))


def _name(label: object, label_names: Sequence[str] | None) -> str:
    """What a label is called, short enough for a legend."""
    if label_names is not None and label in range(len(label_names)):
        label = label_names[int(label)]
    return canvas.shortened(f"{label:g}" if isinstance(label, float) else _text(label))


def _text(label: object) -> str:
    return label.decode(errors="replace") if isinstance(label, bytes) else str(label)


class CurveGroup(NamedTuple):
    """Quantities of one unit that are drawn on the same axes."""

    title: str
    unit: str
    columns: dict[str, str]  # column of `metrics.csv` -> matplotlib line style


def draw_curves(path: Path, metrics: Metrics, groups: list[CurveGroup], title: str) -> None:
    """Draws columns of the metrics by epoch.

    Args:
        path: the PNG to write.
        metrics: the rows of `metrics.csv`, each with its `epoch`.
        groups: which columns stand together; those that no row has are left out.
        title: shown on top.
    """
    known = {name for row in metrics for name in row}
    shown = [group for group in groups if known & group.columns.keys()] or groups[:1]
    rows, columns = math.ceil(len(shown) / _IN_A_ROW), min(len(shown), _IN_A_ROW)
    figure = canvas.new_figure(_WIDTH * columns, _HEIGHT * rows)
    first_colour = 0
    for number, group in enumerate(shown):
        present = {name: style for name, style in group.columns.items() if name in known}
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.set(title=group.title, xlabel="epoch", ylabel=group.unit)
        _draw_lines(axes, metrics, present, first_colour)
        first_colour += len(present)
    canvas.fit(figure.suptitle(title), 0.96 * figure.bbox.width)
    figure.tight_layout()
    canvas.save(figure, path)


def _draw_lines(axes: Axes, metrics: Metrics, styles: dict[str, str], first_colour: int) -> None:
    epochs = [row["epoch"] for row in metrics]
    marker = "." if len(epochs) <= _MOST_DOTS else None
    for number, (name, style) in enumerate(styles.items(), first_colour):
        values = [row.get(name, math.nan) for row in metrics]
        label = " ".join(_CAPITALS.get(word, word) for word in name.split("_"))
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(epochs, values, ls=style, marker=marker, color=colour, label=label)
    if len(styles) > 1:
        axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
