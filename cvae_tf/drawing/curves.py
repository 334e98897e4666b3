"""Curves by epoch, one pair of axes for each group of columns of `metrics.csv`."""

import math
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cvae_tf.drawing import canvas

_WIDTH, _HEIGHT = 5, 4  # of a pair of axes, inches
_IN_A_ROW = 3
_MOST_DOTS = 60  # epochs that are marked one by one

Metrics = list[dict[str, float]]


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
    canvas.fit(figure.suptitle(canvas.plain(title)), 0.96 * figure.bbox.width)
    figure.tight_layout()
    canvas.save(figure, path)


def _draw_lines(axes: Axes, metrics: Metrics, styles: dict[str, str], first_colour: int) -> None:
    epochs = [row["epoch"] for row in metrics]
    marker = "." if len(epochs) <= _MOST_DOTS else None
    for number, (name, style) in enumerate(styles.items(), first_colour):
        values = [row.get(name, math.nan) for row in metrics]
        label = name.replace("_", " ")
        axes.plot(epochs, values, ls=style, marker=marker, color=f"C{number % 10}", label=label)
    if len(styles) > 1:
        axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
