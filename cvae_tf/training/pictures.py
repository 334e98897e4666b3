"""The pictures of a run and their GIF: the same test images and latents, so that epochs compare.

What the picture of an epoch shows is said by the family of the model, in `epoch_panels`.
"""

import math
from pathlib import Path

import numpy as np
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.data import batches
from cvae_tf.data.batches import batch_slices
from cvae_tf.data.datasets import Dataset
from cvae_tf.data.inspection import choose_shown
from cvae_tf.drawing.mosaics import MANIFOLD_TITLE, animate, draw_manifold, draw_panels
from cvae_tf.drawing.plots import draw_curves, draw_latents
from cvae_tf.models import family_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.training.run_directory import Run
from cvae_tf.training.trainer import averaged

_SHOWN = 32  # test images in the picture of an epoch
MOST_PICTURES, MOST_IN_COLOUR = 60, 20  # of epochs, about; those in colour are large files


def interval_of(epochs: int, most: int) -> int:
    """The k for which every k-th of so many epochs makes at most `most`."""
    return math.ceil(epochs / most)


def is_among(epoch: int, epochs: int, most: int) -> bool:
    """Whether one of so many epochs is among about `most` of them: every k-th, first and last."""
    return epoch in (1, epochs) or epoch % interval_of(epochs, most) == 0


class RunPictures:
    """Draws what a model has learned into its run directory."""

    def __init__(self, run: Run, model: GenerativeModel, dataset: Dataset):
        """Chooses the images and latents that every picture of a run's model shows."""
        self._run, self._model, self._family = run, model, family_of(model)
        self._data_name, self._class_names = dataset.name, dataset.class_names
        self._test = dataset.test
        shown = choose_shown(self._test.labels, len(self._test.images), _SHOWN)
        self._shown = batches.to_unit_floats(self._test.images[shown])
        self._shown_labels = self._labels_of(shown)
        self._seed = derived_key(model.seed, Purpose.PICTURES)

    def draw_epoch(self, epoch: int, test: dict[str, float]) -> Path:
        """Draws what the model shows after an epoch, 0 before training; returns the PNG.

        The title has the number that stands for the model.
        """
        path = self._run.epoch_image(epoch)
        title = f"Epoch {epoch}: {told(self._model, test)} ({self._data_name})"
        with averaged(self._model):
            panels = self._family.epoch_panels(
                self._model, self._shown, self._shown_labels, self._seed
            )
        draw_panels(path, panels, title)
        return path

    def draw_exported(self, row: dict[str, float]) -> None:
        """Draws the exported epoch, by its row, if samples no longer come from the prior.

        Or if it has no picture, because few of many epochs have one.
        """
        epoch = int(row["epoch"])
        if self._model.samples_from != "prior" or not self._run.epoch_image(epoch).exists():
            values = {name.removeprefix("test_"): value for name, value in row.items()}
            self.draw_epoch(epoch, values)

    def draw_summary(self, metrics: list[dict[str, float]]) -> None:
        """Draws the latent space and the curves, from the rows of `metrics.csv`."""
        name = self._data_name
        with averaged(self._model):
            if self._model.latent_dim == 2:
                classes = self._class_names if self._model.num_classes else ()
                title = f"{MANIFOLD_TITLE} ({name})"
                draw_manifold(self._run.manifold, self._model.decode, title, classes)
            means = self._test_latents()
        if means is not None:
            title = f"Where the {len(means):,} test images lie in the latent space ({name})"
            draw_latents(self._run.latents, means, self._test.labels, title, self._class_names)
        curves = self._family.curves(self._model)
        draw_curves(self._run.curves, metrics, curves, f"Training on {name}, epoch by epoch")

    def _labels_of(self, numbers: np.ndarray | slice) -> tf.Tensor | None:
        """The labels of some test images, if the model wants them."""
        if not self._model.num_classes:
            return None
        return tf.constant(self._test.labels[numbers], tf.int32)

    def _test_latents(self) -> np.ndarray | None:
        """The latents of all test images, [N, Z], if the model has an encoder."""
        if "encode" not in self._model.abilities:
            return None
        images = self._test.images
        slices = batch_slices(len(images), images.shape[1:])
        parts = [
            self._model.encode(batches.to_unit_floats(images[own]).numpy(), self._labels_of(own))
            for own in slices
        ]
        return np.concatenate([part.mean for part in parts])


def told(model: GenerativeModel, test: dict[str, float]) -> str:
    """The number that stands for a model, of the means over test images, in words."""
    measure, value = family_of(model).headline(model, test)
    return " ".join(part for part in ("test", measure.title, f"{value:,.2f}", measure.unit) if part)


def animate_epochs(run: Run, path: Path, last: int) -> None:
    """Writes the GIF of the pictures of the epochs up to the `last` one, if there are any.

    That is the exported epoch: what a run learned after it is not what its model shows.
    """
    pictures = [picture for epoch, picture in run.epoch_images.items() if epoch <= last]
    if pictures:
        animate(pictures, path)
