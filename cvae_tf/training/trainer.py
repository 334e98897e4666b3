"""Training by epochs: many calls of a model's `train_step` at once, then the whole test set."""

import contextlib
import gc
import json
import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.data import batches
from cvae_tf.data.batches import BatchSource, TrainingPart
from cvae_tf.data.datasets import Dataset, training_margins
from cvae_tf.models import family_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.training.distribution import SINGLE, Distribution

_WHITE = 0.5  # mean level of the margins
_EVALUATION_BATCH = 250  # larger ones are no faster, and need more memory

OnProgress = Callable[[int, int, float], None]


class EpochResult(NamedTuple):
    """The result of one epoch."""

    epoch: int  # from 1
    step: int  # gradient steps since the beginning of training
    train: dict[str, float]  # by measure, means over the epoch, while the weights changed
    test: dict[str, float]  # by measure, means over the test images
    train_seconds: float
    test_seconds: float
    images_per_second: float  # in training

    def as_row(self) -> dict[str, float]:
        """Returns the row of `metrics.csv`."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            **{f"train_{name}": round(value, 4) for name, value in self.train.items()},
            **{f"test_{name}": round(value, 4) for name, value in self.test.items()},
            "train_seconds": round(self.train_seconds, 3),
            "test_seconds": round(self.test_seconds, 3),
            "images_per_second": round(self.images_per_second, 1),
        }


class Trainer:
    """Trains a compiled model on a data set; holds the images and the compiled functions."""

    def __init__(
        self,
        model: GenerativeModel,
        dataset: Dataset,
        batch_size: int,
        augment: float = 0.0,
        flip: bool = False,
        distribution: Distribution = SINGLE,
    ):
        """Takes the model and the data.

        Args:
            model: compiled with an optimizer; `model.seed` decides order and noise, and
                `model.jit_compile` whether the step is compiled with XLA.
            dataset: its images stay uint8, in memory or on disk, until they are batched.
            batch_size: images in a training step; all of them if there are fewer.
            augment: strength of the random warps of training images, 0 for none.
            flip: whether training images are mirrored at random.
            distribution: the replicas; the model was made in its scope.
        """
        self.model, self.dataset, family = model, dataset, family_of(model)
        self._train_measures = family.train_measures(model)
        self._test_measures = family.test_measures(model)
        self._set_measure = family.set_measure(model, dataset)
        self.num_images = len(dataset.train.images)
        self.batch_size = batches.effective_batch_size(self.num_images, batch_size)
        distribution.check_batch(self.batch_size)
        self._own_batch_size = self.batch_size // distribution.num_workers  # of this worker
        self.distribution, self._augment, self._flip = distribution, augment, flip
        is_on_white = augment > 0 and training_margins(dataset) > _WHITE
        self._outside = 1.0 if is_on_white else 0.0  # the level that warps bring in at the margins
        self._train_step = model.train_step  # replicas call it inside another graph
        if not distribution.strategy:
            self._train_step = tf.function(
                model.train_step, jit_compile=model.jit_compile, autograph=False
            )
        self.steps_per_epoch = batches.steps_per_epoch(self.num_images, batch_size)
        self._train, self._test = (
            BatchSource(
                split.images,
                split.labels if model.num_classes else None,
                evenly=distribution.num_workers > 1,
            )
            for split in (dataset.train, dataset.test)
        )
        # Each trainer traces its own graphs, once. With `@tf.function` on methods, TensorFlow would
        # count the traces of all trainers together, and warn from the fifth on.
        images = tf.TensorSpec([None, *dataset.image_shape], tf.uint8)
        numbers, number = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32)
        sums = tf.TensorSpec([len(self._test_measures)], tf.float64)
        self._take_steps = tf.function(
            self._take_steps, [images, numbers, numbers, number, number], autograph=False
        )
        self._add_measures = tf.function(
            self._add_measures, [images, numbers, number, sums], autograph=False
        )

    def run_epochs(
        self,
        epochs: int,
        on_progress: OnProgress = lambda epoch, step, value: None,
        first_epoch: int = 1,
        steps_done: int = 0,
    ) -> Iterator[EpochResult]:
        """Trains, and yields the result of each epoch as soon as it is ready.

        Args:
            epochs: the last one.
            on_progress: called now and then with the epoch, the steps done in it, and its mean
                so far of the first training measure.
            first_epoch: the first one; above 1 for a model that was trained before.
            steps_done: of the first epoch, which goes on after them.

        Raises:
            UserError: at the first step or evaluation whose first measure is not finite.
        """
        for epoch in range(first_epoch, epochs + 1):
            start = time.perf_counter()
            for part in self._parts(epoch, steps_done):
                step = part.begins + int(self._take_steps(*part[:5]))
                on_progress(epoch, step, self._checked_mean(epoch, step))
            train, trained = self._train_means(), time.perf_counter()
            test = self.evaluate()
            measure = self._test_measures[0]
            self._check_finite(test[measure.name], f"epoch {epoch}: the test {measure.title}")
            images_seen = (self.steps_per_epoch - steps_done) * self.batch_size
            steps_done = 0
            yield EpochResult(
                epoch=epoch,
                step=int(self.model.steps.numpy()),
                train=train,
                test=test,
                train_seconds=trained - start,
                test_seconds=time.perf_counter() - trained,
                images_per_second=images_seen / (trained - start),
            )

    def evaluate(self) -> dict[str, float]:
        """Measures all test images, with the same noise every time; returns means by measure."""
        measure = self._set_measure
        with averaged(self.model):
            if not measure:
                return self._means_of_test_images()
            if self.distribution.num_workers == 1:
                return measure()
            return json.loads(self.distribution.from_chief(lambda: json.dumps(measure()).encode()))

    def release(self) -> None:
        """Lets go of the model, of its graphs and of all images; nothing can be trained further."""
        vars(self).clear()
        gc.collect()  # graphs refer to themselves

    def _means_of_test_images(self) -> dict[str, float]:
        """Averages each measure over the test images, each image with the same weight."""
        names = [measure.name for measure in self._test_measures]
        sums = tf.zeros([len(names)], tf.float64)
        for first, images, labels in self._test.parts(_EVALUATION_BATCH):
            sums = self._add_measures(images, labels, tf.constant(first), sums)
        means = self.distribution.total(sums.numpy()) / len(self._test)
        return dict(zip(names, means.tolist(), strict=True))

    def _add_measures(
        self, images: tf.Tensor, labels: tf.Tensor, first: tf.Tensor, sums: tf.Tensor
    ) -> tf.Tensor:
        """Adds the measures of some test images, from number `first` on, to the sums [M].

        Several workers take turns.
        """
        first_of_own = self.distribution.cluster.number * _EVALUATION_BATCH
        stride = self.distribution.num_workers * _EVALUATION_BATCH

        def add(start: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            own = slice(start, start + _EVALUATION_BATCH)
            of_class = labels[own] if self.model.num_classes else None
            grey = batches.to_unit_floats(images[own])
            values = self.model.measure(grey, of_class, first + start)
            every = [tf.cast(values[each.name], tf.float64) for each in self._test_measures]
            return start + stride, sums + tf.reduce_sum(tf.stack(every), axis=1)

        is_left = lambda start, _: start < tf.shape(images)[0]  # noqa: E731
        return tf.while_loop(is_left, add, (first_of_own, sums))[1]

    def _parts(self, epoch: int, steps_done: int) -> Iterator[TrainingPart]:
        """The remaining steps of an epoch, some at a time."""
        if steps_done == 0:
            self.model.reset_metrics()
        order = batches.epoch_order(self.num_images, self.model.seed, epoch)
        order = self.distribution.own_order(order, self.batch_size)
        return self._train.training_parts(
            order, steps_done, self.steps_per_epoch, self._own_batch_size
        )

    def _checked_mean(self, epoch: int, step: int) -> float:
        """The mean of the first measure in this epoch; refuses one that is not finite."""
        first = next(iter(self._train_measures.values()))
        value = self._train_means()[first.name]
        self._check_finite(value, f"epoch {epoch}, step {step}: the training {first.title}")
        return value

    def _train_means(self) -> dict[str, float]:
        measures = self._train_measures.items()
        return {each.name: float(self.model.means[name].result()) for name, each in measures}

    def _check_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            self.distribution.barrier()
            raise UserError(
                f"{what} is {value}. The run was stopped, its checkpoints are as they were; "
                "a smaller --learning_rate may help."
            )

    def _take_steps(
        self, images: tf.Tensor, labels: tf.Tensor, order: tf.Tensor, first: tf.Tensor,
        last: tf.Tensor,
    ) -> tf.Tensor:  # fmt: skip
        """Takes the steps of a part of an epoch, while all is finite; returns the last one, []."""

        def take(images: tf.Tensor, labels: tf.Tensor | None) -> dict[str, tf.Tensor]:
            grey, seed, steps = batches.to_unit_floats(images), self.model.seed, self.model.steps
            if self._flip:
                grey = batches.mirror(grey, seed, steps)
            grey = batches.augment(grey, self._augment, seed, steps, self._outside)
            return self._train_step(self.model.training_batch(grey, labels, steps))

        def take_step(step: tf.Tensor, last: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            indices = batches.batch_indices(order, step, self._own_batch_size)
            of_class = tf.gather(labels, indices) if self.model.num_classes else None
            means = self.distribution.run(take, tf.gather(images, indices), of_class)
            is_finite = tf.math.is_finite(means[next(iter(self._train_measures))])
            return step + 1, tf.where(is_finite, last, step + 1)  # else this was the last one

        return tf.while_loop(tf.less, take_step, (first, last))[0]


@contextlib.contextmanager
def averaged(model: GenerativeModel) -> Iterator[None]:
    """Within it, the weights of a model are their averages; without averages nothing changes.

    The optimizer keeps averages over the last steps if it is asked to. Polyak &
    Juditsky, "Acceleration of stochastic approximation by averaging" (1992), with a decay.
    """
    if not _has_averages(model):
        model.update_batchnorm_statistics()
        yield
        return
    own = [tf.identity(weight) for weight in model.optimized_variables]
    was_within, model.is_averaged = is_within_averages(model), True
    try:
        take_averages(model)
        yield
    finally:
        for weight, value in zip(model.optimized_variables, own, strict=True):
            weight.assign(value)
        model.is_averaged = was_within


def is_within_averages(model: GenerativeModel) -> bool:
    """Whether a model is within `averaged`, or was when that was interrupted.

    They must not be saved then: Ctrl-C may come anywhere, also while weights are restored.
    """
    return getattr(model, "is_averaged", False)


def take_averages(model: GenerativeModel) -> None:
    """Replaces a model's weights by their averages, if there are any; do not train it further."""
    if _has_averages(model):
        model.optimizer.finalize_variable_values(model.optimized_variables)
    model.update_batchnorm_statistics()


def _has_averages(model: GenerativeModel) -> bool:
    optimizer = getattr(model, "optimizer", None)  # a copy for inference has none
    return bool(optimizer) and optimizer.use_ema and int(model.steps.numpy()) > 0
