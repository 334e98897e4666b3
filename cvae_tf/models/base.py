"""What a family of models is: all that training, export, pictures and generation know of it.

A family is a subclass of `GenerativeModel` and one line in `registry.FAMILIES`. What it must say
itself raises `NotImplementedError` here; the rest has a default that it may replace.

Where there are `labels`, they are those of a conditional model, int32 [B]; else None.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.drawing.curves import CurveGroup
from cvae_tf.drawing.panels import Panel
from cvae_tf.models.arrays import ArrayMethods, joined_samples
from cvae_tf.models.keras_loop import CheckedModel
from cvae_tf.models.measures import Measure
from cvae_tf.models.networks.building import ImageShape

Signatures = dict[str, tuple[Callable[..., dict[str, tf.Tensor]], list[tf.TensorSpec]]]

_NOT_COMPILED_IN = ("loss", "loss_weights", "metrics", "weighted_metrics")


class GenerativeModel(ArrayMethods, CheckedModel):
    """A Keras model that draws images from latents, and knows how it is trained and shown."""

    title = "generative model"  # for people
    evaluations: tuple[str, ...] = ()  # what evaluate.py can find out of it
    measures_sets: bool = False  # whether `measure_set` does more than to average

    def __init__(self, seed: int, **kwargs: Any):
        """Takes the seed that decides all noise, and what else `keras.Model` knows."""
        super().__init__(**{"dtype": "float32", **kwargs})
        self.seed = seed
        self.means: dict[str, keras.metrics.Mean] = {}  # what `train_step` returns, by name
        self.built = True  # its networks are, and Keras need not call the model to know

    # How it is built.

    image_shape: ImageShape
    latent_dim: int  # Z
    draws_latents: bool = False  # whether samples come from elsewhere than the prior
    num_classes: int = 0  # Y of a conditional model; 0 if it knows no labels

    @classmethod
    def from_settings(
        cls, config: Any, image_shape: ImageShape, steps_per_epoch: int, num_classes: int = 0
    ) -> "GenerativeModel":
        """Builds a model with fresh weights, not yet compiled.

        Args:
            config: the `Config` of the run.
            image_shape: height, width and channels of an image.
            steps_per_epoch: gradient steps in an epoch.
            num_classes: of the labels, if `config.conditional`; else 0.

        Raises:
            UserError: if its networks cannot take such images.
        """
        raise NotImplementedError

    @classmethod
    def optimizer_options(cls, config: Any) -> dict[str, Any]:
        """What the optimizer is given beside the settings that all families share."""
        return {}

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The networks that learn, by the names under which checkpoints keep them."""
        raise NotImplementedError

    def for_inference(self) -> "GenerativeModel":
        """A model that does the same, faster where nothing is learned any more."""
        return self

    # How it learns, and what is measured of it.

    def compile(
        self,
        optimizer: str | keras.Optimizer = "rmsprop",
        *,
        jit_compile: bool | str = False,
        **options: Any,
    ) -> None:
        """Prepares `fit` and our own trainer.

        The optimizer gets its variables at once, so that it is saved and loaded whole, before its
        first step too. What is to be set before that, such as `exclude_from_weight_decay`, must be
        set before this call.

        Args:
            optimizer: its name, or itself.
            jit_compile: whether steps are compiled by XLA. Keras' own default, "auto", does it
                wherever there is a GPU; here that must be asked for.
            **options: `run_eagerly`, `steps_per_execution`, as `keras.Model.compile` knows them.

        Raises:
            ValueError: if there is a loss or a metric: the model has its own.
        """
        refused = [name for name in _NOT_COMPILED_IN if options.get(name) is not None]
        if refused:
            raise ValueError(
                f"The model has its own objective and measures; compile it without {refused[0]}."
            )
        super().compile(optimizer, jit_compile=jit_compile, **options)
        self.optimizer.build(self.optimized_variables)

    @property
    def optimized_variables(self) -> list[keras.Variable]:
        """What the optimizer learns, and averages if that is asked for."""
        return self.trainable_variables

    def look_at(self, dataset: Any) -> None:
        """Sees the `Dataset` before anything is measured or learned."""

    def finish(self, name: str, dataset: Any) -> None:
        """Learns one of `finishing_parts`, of the `Dataset`, by the weights in use."""

    @property
    def finishing_parts(self) -> dict[str, Any]:
        """What is learned at the end, as `checkpoint_parts`; it is kept beside the checkpoints.

        `if_missing` of each part says what follows if it could not be learned.
        """
        return {}

    def settle(self) -> None:
        """Finds what depends on the weights as they are now, before they are used."""

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a model that Keras loads."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def training_batch(self, grey: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor) -> Any:
        """Makes grey levels [B, H, W, C] in [0, 1] what `train_step` takes at a step."""
        return grey if labels is None else (grey, labels)

    def train_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Takes one gradient step; returns means since the last `reset_metrics()`, by name."""
        raise NotImplementedError

    @property
    def train_measures(self) -> dict[str, Measure]:
        """Which numbers of `train_step` are kept, by their names there.

        The first stands in the progress bar; if it is not finite, training is stopped.
        """
        raise NotImplementedError

    @property
    def test_measures(self) -> tuple[Measure, ...]:
        """What `measure` returns; the first decides which checkpoint is the best."""
        raise NotImplementedError

    def measure(
        self, grey: tf.Tensor, labels: tf.Tensor | None, first: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Measures each of some test images.

        Args:
            grey: float32 [B, H, W, C] in [0, 1].
            labels: theirs, if it wants them.
            first: the number of the first one in the test set.

        Returns:
            By the names of `test_measures`, a number for each image, [B].
        """
        raise NotImplementedError

    def measure_set(self, images: Any, means: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Measures all test images.

        Args:
            images: uint8 [N, H, W, C], an array or what reads them from the disk by slices.
            means: finds the means over the images of what `measure` returns.

        Returns:
            By the names of `test_measures`; by default those means. A family whose measure is one
            of the whole set replaces this.
        """
        return means()

    def describe_test(self, values: dict[str, float]) -> str:
        """Says for the screen what was measured of the test images; by name, their means."""
        return ", ".join(
            f"{measure.title} {values[measure.name]:.4g} {measure.unit}".rstrip()
            for measure in self.test_measures
        )

    def warnings(self, row: dict[str, float]) -> list[str]:
        """Says what has gone wrong in an epoch, and what to try; `row` is that of `metrics.csv`."""
        return []

    @property
    def steps(self) -> Any:
        """The variable that counts the gradient steps, int64 []."""
        return self.optimizer.iterations

    @property
    def checkpoint_parts(self) -> dict[str, Any]:
        """All that training changes, by names that never change: objects with `variables`."""
        return {**self.networks, "optimizer": self.optimizer, **self.means}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What Keras resets after an epoch, and shows."""
        return list(self.means.values())

    # What is shown of it.

    def decode(self, latents: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Draws the image of latents [B, Z]: [B, H, W, C] in [0, 1]."""
        raise NotImplementedError

    def sample(
        self, num: int | tf.Tensor, seed: tf.Tensor | int = 0, labels: Any = None
    ) -> tf.Tensor | np.ndarray:
        """Draws images: latents, decoded.

        Args:
            num: number of images; they are all in memory at once, unlike in `sample_in_parts`.
            seed: int32 [2] for a tensor, a whole number for an array.
            labels: one for each image, if it wants them; of an array by default all in turn.

        Returns:
            [num, H, W, C] in [0, 1]; of black-and-white pixels the probabilities of white.
        """
        if not tf.is_tensor(seed):
            return joined_samples(self, num, seed, labels)
        return self.decode(self.sample_latents(num, seed), labels)

    def sample_latents(self, num: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws latents [num, Z] of which images are drawn: by default from the prior."""
        return tf.random.stateless_normal([num, self.latent_dim], seed)

    def encode_mean(
        self, grey: tf.Tensor, labels: tf.Tensor | None, first: int
    ) -> tf.Tensor | None:
        """Finds the latents [B, Z] of test images from the `first`; None if it has no encoder."""
        return None

    def epoch_panels(
        self, grey: tf.Tensor, labels: tf.Tensor | None, seed: tf.Tensor
    ) -> list[Panel]:
        """What the picture of an epoch shows.

        Args:
            grey: always the same test images, float32 [B, H, W, C].
            labels: theirs, if it wants them.
            seed: int32 [2], always the same.

        Returns:
            The parts of the picture, side by side.
        """
        raise NotImplementedError

    @property
    def curves(self) -> list[CurveGroup]:
        """Which columns of metrics.csv are drawn together."""
        return [
            CurveGroup(measure.title, measure.unit, {f"test_{measure.name}": "-"})
            for measure in self.test_measures
        ]

    # What is exported of it.

    def signatures(self) -> Signatures:
        """What its SavedModel can do, by name: a function and its arguments.

        `models/signature_parts.py` has `sample` and `decode`, with which a family begins.
        """
        raise NotImplementedError

    def standalone_parts(self) -> dict[str, keras.Model]:
        """Keras models for runtimes that take one network: images or latents in, images out."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What `model.json` says of the model beside its settings; plain values.

        Of these the model card shows "pixels", what an image is to the model, and "limits", what
        it cannot do.
        """
        return {}

    def describe_numbers(self, metrics: dict[str, float]) -> str:
        """Says for the model card what was measured, in Markdown; `metrics` is the last row."""
        lines = (
            f"- {measure.title}: {metrics[f'test_{measure.name}']:.4g} {measure.unit}".rstrip()
            for measure in self.test_measures
        )
        return "\n".join(lines)
