"""Methods by which a model draws figures of matplotlib, for notebooks.

The figures are not registered in pyplot, so nothing keeps them in memory.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import as_arrays
from cvae_tf.data.labels import read_labels
from cvae_tf.drawing import canvas, mosaics, plots
from cvae_tf.models.arrays import ArrayMethods, checked_labels, of_arrays, to_images, to_whole

_MOST_SHOWN = 32  # images in a picture
_USUAL_SAMPLES, _LARGEST_PICTURE = 64, 10_000


class FigureMethods(ArrayMethods):
    """Figures that a `GenerativeModel` draws from arrays; it takes them as `ArrayMethods` does."""

    def plot_samples(
        self, num: int | None = None, seed: int | None = None, labels: Any = None
    ) -> Figure:
        """Draws what `sample` returns as a matplotlib figure; with few classes each is a column."""
        names = self.class_names if labels is None else ()
        title = f"samples from the {self.samples_from}"
        columns = len(names) if 0 < len(names) <= mosaics.MOST_COLUMNS else None
        usual = _USUAL_SAMPLES // (columns or 1) * (columns or 1)
        num = usual if num is None else to_whole(num, "num", 1, _LARGEST_PICTURE)
        names = names if columns else ()
        images = self.sample(num, seed, labels)
        panel = mosaics.Panel(f"{num:,} {title}", [images], columns, column_names=names)
        return mosaics.panel_figure(panel)

    def plot_reconstructions(self, images: Any, labels: Any = None) -> Figure:
        """Draws images [N, H, W, C], or the first of many, over their reconstructions."""
        grey = to_images(images, self.image_shape)
        of_each = checked_labels(self, labels, _at_least_one(grey))
        of_shown = {name: each[:_MOST_SHOWN] for name, each in of_each.items()}
        shown = grey[:_MOST_SHOWN]
        number = (
            f"First {len(shown)} of {len(grey):,} images" if len(shown) < len(grey) else "Images"
        )
        title = f"{number}, each over its reconstruction"
        names = "image", "reconstruction"
        sets = [shown, of_arrays(self, "reconstruct", shown, **of_shown)]
        return mosaics.panel_figure(mosaics.Panel(title, sets, row_names=names))

    def plot_latents(self, images: Any, labels: Any = None) -> Figure:
        """Draws posterior means of images [N, H, W, C], coloured by labels of any kind, [N]."""
        grey = to_images(images, self.image_shape)
        num, names = _at_least_one(grey), self.metadata.get("data", {}).get("class_names")
        if self.num_classes:
            labels, names = checked_labels(self, labels, num)["labels"], self.class_names
            means = self.encode(grey, labels).mean
        else:
            of_each = as_arrays(grey, labels, ("images", "labels"))
            (labels,), own = read_labels({"labels": (of_each.get("labels"), num)}, None, "")
            means, names = self.encode(grey).mean, own or names
        title = f"Where {num:,} images lie in the latent space"
        figure = plots.latents_figure(means, labels, title, names)
        canvas.make_all_readable(figure)
        figure.set_layout_engine("constrained")
        return figure


def _at_least_one(images: np.ndarray) -> int:
    """The number of images, [N, ...]; raises a UserError if there is none."""
    if not len(images):
        raise UserError("There is no image to draw.")
    return len(images)
