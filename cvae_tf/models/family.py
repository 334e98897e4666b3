"""What training, pictures and exports need of a family of models.

A family is one object in `models.FAMILIES`, under its name for `--model`. Its methods take one of
its models, so that no other code asks which family a model is of. What a family must define raises
`NotImplementedError` here; the rest has a default.

Where there are `labels`, they are those of a conditional model, int32 [B]; else None.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.data.inspection import evenly_spaced_indices
from cvae_tf.drawing.mosaics import Panel
from cvae_tf.drawing.plots import CurveGroup
from cvae_tf.models.base import GenerativeModel, Measure
from cvae_tf.models.networks import NETWORKS, ImageShape
from cvae_tf.models.saved_model import Signatures, decoding_signatures

_NUM_SAMPLES = 64  # in the picture of an epoch
_MOST_CLASSES, _OF_EACH = 16, 8  # rows and columns of a conditional model's samples


class Family:
    """A kind of model."""

    title: str  # for people
    model_class: type[GenerativeModel]
    evaluations: tuple[str, ...] = ()  # what evaluate.py can measure of such a model
    network_table: Mapping[str, Any] = NETWORKS  # its possible networks, by name
    takes: tuple[str, ...] = ()  # "labels", if models may be conditional; "network settings"

    # How a model is made.

    def build(
        self, config: Any, image_shape: ImageShape, steps_per_epoch: int, num_classes: int
    ) -> GenerativeModel:
        """Builds a model of a `Config` with fresh weights, not yet compiled.

        `num_classes` is that of the labels, if `config.conditional`; else 0.

        Raises:
            UserError: if its networks cannot take such images.
        """
        raise NotImplementedError

    # What is measured, and how it is described.

    def train_measures(self, model: Any) -> dict[str, Measure]:
        """Which numbers of `model.train_step` are kept, by name.

        The first stands in the progress bar; if it is not finite, training is stopped.
        """
        raise NotImplementedError

    def test_measures(self, model: Any) -> tuple[Measure, ...]:
        """What is measured of the test images; the first decides which checkpoint is the best."""
        raise NotImplementedError

    def set_measure(self, model: Any, dataset: Any) -> Callable[[], dict[str, float]] | None:
        """Makes a function that finds the `test_measures` of all test images at once.

        None, the default, if they are means of what `model.measure` finds for each image.
        """
        return None

    def describe_test(self, model: Any, values: dict[str, float]) -> str:
        """Describes for the screen the means over the test images, given by name."""
        return ", ".join(
            f"{measure.title} {values[measure.name]:.4g} {measure.unit}".rstrip()
            for measure in self.test_measures(model)
        )

    def headline(self, model: Any, values: dict[str, float]) -> tuple[Measure, float]:
        """The one number that stands for a model, from the means over the test images."""
        measure = self.test_measures(model)[0]
        return measure, values[measure.name]

    def other_figures(self, model: Any, row: dict[str, float]) -> dict[str, float]:
        """Further columns of `metrics.csv`, computed from the others of a row."""
        return {}

    def warnings(self, model: Any, row: dict[str, float]) -> list[str]:
        """Says what has gone wrong in an epoch, and what to try; `row` is that of `metrics.csv`."""
        return []

    # What is fitted at the end, shown and exported.

    def fit_after_training(self, model: Any, name: str, dataset: Any) -> None:
        """Fits one of `model.fitted_parts` to the `Dataset`, with the weights in use."""

    def epoch_panels(
        self, model: Any, grey: tf.Tensor, labels: tf.Tensor | None, seed: tf.Tensor
    ) -> list[Panel]:
        """What the picture of an epoch shows, side by side.

        Test images `grey`, float32 [B, H, W, C], and the seed, int32 [2], are always the same.
        """
        raise NotImplementedError

    def curves(self, model: Any) -> list[CurveGroup]:
        """Which columns of metrics.csv are drawn together."""
        return [
            CurveGroup(measure.title, measure.unit, {f"test_{measure.name}": "-"})
            for measure in self.test_measures(model)
        ]

    def signatures(self, model: Any) -> Signatures:
        """What its SavedModel can do, by name: a function and its arguments; the first is default.

        By default the two of all families; `saved_model.batch_signature` makes others.
        """
        return decoding_signatures(model)

    def standalone_parts(self, model: Any) -> dict[str, keras.Model]:
        """Keras models for runtimes that take one network: images or latents in, images out."""
        raise NotImplementedError

    def describe(self, model: Any, metrics: dict[str, float] | None = None) -> dict[str, Any]:
        """What `model.json` says of a model, by name; plain values.

        "config": settings of a `Config` that the model knows itself. For its card: "numbers", what
        was measured, in Markdown, from the last row of `metrics.csv`; "pixels", what an image is to
        the model; "limits", what it cannot do.
        """
        known = {"config": {"latent_dim": model.latent_dim, "seed": model.seed}}
        if not metrics:
            return known
        lines = [f"After epoch {metrics['epoch']}, over the test images:\n"]
        lines += (
            f"- {measure.title}: {metrics[f'test_{measure.name}']:.6g} {measure.unit}".rstrip()
            for measure in self.test_measures(model)
        )
        return {**known, "numbers": "\n".join(lines)}


def sample_panel(model: GenerativeModel, seed: tf.Tensor) -> Panel:
    """Shows what a model draws with a seed, int32 [2].

    Each class has a row, and all rows have the same latents; of many classes only some.
    """
    title = f"Samples from the {model.samples_from}"
    if not model.num_classes:
        latents = model.sample_latents(_NUM_SAMPLES, seed).numpy()
        return Panel(title, [np.asarray(model.decode(latents))])
    classes = evenly_spaced_indices(model.num_classes, _MOST_CLASSES)
    latents = model.sample_latents(_OF_EACH, seed).numpy()
    labels = np.repeat(classes, _OF_EACH)
    images = np.asarray(model.decode(np.tile(latents, (len(classes), 1)), labels))
    names = [model.class_names[number] for number in classes]
    return Panel(f"{title}, of each class", [images], _OF_EACH, row_names=names)
