"""What a family of models is to those who train, show and export its models.

A family is one object, in `models.FAMILIES` by the name that `--model` has for it. Its functions
take a model of it: nothing else need know how such a model is told of, so nobody asks which family
it is. What a family must say itself raises `NotImplementedError` here; the rest has a default.

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
    evaluations: tuple[str, ...] = ()  # what evaluate.py can find out of such a model
    network_table: Mapping[str, Any] = NETWORKS  # what its networks may be, by name
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

    # What is measured, and said of it.

    def train_measures(self, model: Any) -> dict[str, Measure]:
        """Which numbers of `model.train_step` are kept, by their names there.

        The first stands in the progress bar; if it is not finite, training is stopped.
        """
        raise NotImplementedError

    def test_measures(self, model: Any) -> tuple[Measure, ...]:
        """What is measured of the test images; the first decides which checkpoint is the best."""
        raise NotImplementedError

    def set_measure(self, model: Any, dataset: Any) -> Callable[[], dict[str, float]] | None:
        """Makes what finds the `test_measures` of all test images at once.

        None, as by default, if they are means of what `model.measure` says of each image.
        """
        return None

    def describe_test(self, model: Any, values: dict[str, float]) -> str:
        """Says for the screen what was measured of the test images; by name, their means."""
        return ", ".join(
            f"{measure.title} {values[measure.name]:.4g} {measure.unit}".rstrip()
            for measure in self.test_measures(model)
        )

    def headline(self, model: Any, values: dict[str, float]) -> tuple[Measure, float]:
        """The number that stands for a model, of the means over test images by their names."""
        measure = self.test_measures(model)[0]
        return measure, values[measure.name]

    def other_figures(self, model: Any, row: dict[str, float]) -> dict[str, float]:
        """Further columns of `metrics.csv`, which follow from the others of a row."""
        return {}

    def warnings(self, model: Any, row: dict[str, float]) -> list[str]:
        """Says what has gone wrong in an epoch, and what to try; `row` is that of `metrics.csv`."""
        return []

    # What is learned at the end, shown and exported.

    def fit_after_training(self, model: Any, name: str, dataset: Any) -> None:
        """Learns one of `model.fitted_parts`, of the `Dataset`, by the weights in use."""

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
        """What its SavedModel can do, by name: a function and its arguments; the first is usual.

        By default the two of all families; `signatures.batch_signature` makes others.
        """
        return decoding_signatures(model)

    def standalone_parts(self, model: Any) -> dict[str, keras.Model]:
        """Keras models for runtimes that take one network: images or latents in, images out."""
        raise NotImplementedError

    def describe(self, model: Any, metrics: dict[str, float] | None = None) -> dict[str, Any]:
        """What `model.json` says of a model, by name; plain values.

        "config", settings of a `Config` that the model knows itself; and of what its card shows:
        "numbers", what was measured, in Markdown, by the last row of `metrics.csv`; "pixels", what
        an image is to the model; "limits", what it cannot do.
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
    """Shows what a model draws by a seed, int32 [2].

    Each class has a row, and all rows have the same latents; of too many classes there are some.
    """
    title = f"Samples from the {model.samples_from}"
    if not model.num_classes:
        return Panel(title, [model.sample(_NUM_SAMPLES, seed).numpy()])
    classes = evenly_spaced_indices(model.num_classes, _MOST_CLASSES)
    latents = model.sample_latents(_OF_EACH, seed)
    labels = tf.constant(np.repeat(classes, _OF_EACH), tf.int32)
    images = model.decode(tf.tile(latents, [len(classes), 1]), labels)
    names = [model.class_names[number] for number in classes]
    return Panel(f"{title}, of each class", [images.numpy()], _OF_EACH, row_names=names)
