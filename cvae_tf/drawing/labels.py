"""What labels are to a picture: classes with names and colours, or values on a scale."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cvae_tf.drawing import canvas

MOST_CLASSES = 20  # that are told apart by their colours

_GREY = "#d2d2d2"
_COLOURS = [  # ten of Tableau, ten more that differ from them and from each other
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd",
    "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
    "#1b1f6b", "#ffd21f", "#8be04e", "#ff9896", "#c5a3f0",
    "#000000", "#006d6d", "#a8005c", "#5e5e00", "#8fd3ff",
]  # fmt: skip


class Classes(NamedTuple):
    """Labels as classes, in the order in which they are listed."""

    names: list[str]
    indices: np.ndarray  # of the class of each of N images, [N]
    colours: np.ndarray  # of each class, as matplotlib names them, [Y]


def are_values(labels: np.ndarray, label_names: Sequence[str] | None = None) -> bool:
    """Whether labels [N] are numbers on a scale: too many, and without names, to be classes."""
    if label_names is not None or labels.dtype.kind not in "iuf":
        return False
    return len(np.unique(labels[np.isfinite(labels)])) > MOST_CLASSES


def as_classes(labels: np.ndarray, label_names: Sequence[str] | None = None) -> Classes:
    """Sorts labels into at most `MOST_CLASSES` classes.

    Args:
        labels: of N images, numbers or texts, [N].
        label_names: of the labels 0, 1, ..., if they have any.

    Returns:
        The classes. Of too many labels the commonest are kept; the last class is all others.
    """
    if labels.dtype.kind not in "biuf":
        labels = np.array([_text(label) for label in labels.tolist()], dtype=str)
    distinct, indices, counts = np.unique(labels, return_inverse=True, return_counts=True)
    names = [_name(label, label_names) for label in distinct.tolist()]
    colours = _COLOURS[: len(names)]
    if len(names) > MOST_CLASSES:
        kept = np.sort(np.argsort(-counts, kind="stable")[: MOST_CLASSES - 1])
        new_indices = np.full(len(names), len(kept))
        new_indices[kept] = np.arange(len(kept))
        indices = new_indices[indices]
        names = [names[i] for i in kept] + [f"and {len(names) - len(kept)} more"]
        colours = [*_COLOURS[: len(kept)], _GREY]
    return Classes(names, indices, np.array(colours, dtype=str))


def _name(label: object, label_names: Sequence[str] | None) -> str:
    """What a label is called, short enough for a legend."""
    if label_names is not None and label in range(len(label_names)):
        label = label_names[int(label)]
    text = f"{label:g}" if isinstance(label, float) else _text(label)
    return canvas.plain(canvas.shortened(text))


def _text(label: object) -> str:
    return label.decode(errors="replace") if isinstance(label, bytes) else str(label)
