"""Training by epochs: many steps in one `tf.function` call, then the whole test set."""

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Stream, stream_seed
from cvae_tf.data import batches
from cvae_tf.data.datasets import Dataset
from cvae_tf.models.vae.model import CVAE

_STEPS_PER_CALL = 100  # enough to hide the cost of a call, few enough to answer within a second
_EVALUATION_BATCH = 250  # larger ones are no faster, and need more memory

OnProgress = Callable[[int, int, float], None]


class Evaluation(NamedTuple):
    """Means over a set of images, in nats per image."""

    elbo: float
    log_likelihood: float
    kl: float


class EpochResult(NamedTuple):
    """What one epoch brought."""

    epoch: int  # from 1
    step: int  # gradient steps since the beginning of training
    train_elbo: float  # mean over the epoch, while the weights were changing
    train_objective: float | None  # what was climbed, in the same way; None if it is that ELBO
    test: Evaluation
    train_seconds: float
    test_seconds: float
    images_per_second: float  # in training

    def as_row(self, names: dict[str, str]) -> dict[str, float]:
        """Returns the row of `metrics.csv`, its terms called as `Config.term_names` says."""
        objective = {"train_objective": round(self.train_objective or 0.0, 4)}
        return {
            "epoch": self.epoch,
            "step": self.step,
            f"train_{names['elbo']}": round(self.train_elbo, 4),
            **({} if self.train_objective is None else objective),
            **{
                f"test_{names[term]}": round(value, 4)
                for term, value in self.test._asdict().items()
            },
            "train_seconds": round(self.train_seconds, 3),
            "test_seconds": round(self.test_seconds, 3),
            "images_per_second": round(self.images_per_second, 1),
        }


class Trainer:
    """Trains a compiled model on a data set; holds the images and the compiled functions."""

    def __init__(
        self,
        model: CVAE,
        dataset: Dataset,
        batch_size: int,
        augment: float = 0.0,
        jit: bool = False,
        binarize: str = "threshold",
    ):
        """Takes the model and the data.

        Args:
            model: compiled with an optimizer; `model.seed` decides order and noise.
            dataset: its images stay uint8 until they are batched.
            batch_size: images in a training step.
            augment: strength of the random warps of training images, 0 for none.
            jit: whether to compile the step with XLA.
            binarize: how grey levels become pixels, see `batches.binarize`.

        Raises:
            UserError: if the batch is larger than the training set.
        """
        self.model = model
        self.batch_size = batch_size
        self._augment, self._binarize = augment, binarize
        self._step = tf.function(model.train_step, jit_compile=jit)
        self.num_images = len(dataset.train.images)
        self.steps_per_epoch = batches.steps_per_epoch(self.num_images, batch_size)
        self._train_images = batches.resident(dataset.train.images)
        self._test_images = batches.resident(dataset.test.images)
        # Variables must exist before the first call is traced.
        model.optimizer.build(model.trainable_variables)

    def run_epochs(
        self,
        epochs: int,
        on_progress: OnProgress = lambda epoch, step, elbo: None,
        first_epoch: int = 1,
        steps_done: int = 0,
    ) -> Iterator[EpochResult]:
        """Trains, and yields the result of each epoch as soon as there is one.

        Args:
            epochs: the last one.
            on_progress: called now and then with the epoch, the steps done in it, and its mean
                training ELBO so far.
            first_epoch: where to begin; later than 1 with a model that was trained before.
            steps_done: of the first epoch, which then goes on after them.

        Yields:
            One result for each epoch.

        Raises:
            UserError: at the first step or evaluation whose ELBO is not finite.
        """
        for epoch in range(first_epoch, epochs + 1):
            start = time.perf_counter()
            train_elbo = self._train_epoch(epoch, steps_done, on_progress)
            objective = self.model.means.get("objective")
            trained = time.perf_counter()
            test = self.evaluate()
            _check_finite(test.elbo, f"epoch {epoch}: the test ELBO")
            images_seen = (self.steps_per_epoch - steps_done) * self.batch_size
            steps_done = 0
            yield EpochResult(
                epoch=epoch,
                step=int(self.model.optimizer.iterations.numpy()),
                train_elbo=train_elbo,
                train_objective=float(objective.result()) if objective else None,
                test=test,
                train_seconds=trained - start,
                test_seconds=time.perf_counter() - trained,
                images_per_second=images_seen / (trained - start),
            )

    def evaluate(self) -> Evaluation:
        """Estimates the ELBO of all test images, with the same noise every time."""
        means = evaluation_means(self.model, self._test_images, self._binarize)
        log_likelihood, kl = means.numpy()
        return Evaluation(float(log_likelihood - kl), float(log_likelihood), float(kl))

    def _train_epoch(self, epoch: int, steps_done: int, on_progress: OnProgress) -> float:
        if steps_done == 0:
            self.model.reset_metrics()
        order = batches.epoch_order(self.num_images, self.model.seed, epoch)
        for first in range(steps_done, self.steps_per_epoch, _STEPS_PER_CALL):
            last = min(first + _STEPS_PER_CALL, self.steps_per_epoch)
            step = int(self._train_steps(order, tf.constant(first), tf.constant(last)))
            train_elbo = float(self.model.means["elbo"].result())
            _check_finite(train_elbo, f"epoch {epoch}, step {step}: the training ELBO")
            on_progress(epoch, last, train_elbo)
        return float(self.model.means["elbo"].result())

    @tf.function
    def _train_steps(self, order: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        """Takes the steps from `first` up to `last` of an epoch, while the ELBO is finite.

        Returns:
            The number of steps done in the epoch.
        """
        step = first
        while step < last:
            grey = batches.training_batch(self._train_images, order, step, self.batch_size)
            taken, seed = self.model.optimizer.iterations, self.model.seed
            warped = batches.augment(grey, self._augment, seed, taken)
            key = stream_seed(seed, Stream.BINARIZATION, taken)
            means = self._step(batches.binarize(warped, self._binarize, key))
            step += 1
            if not tf.math.is_finite(means["elbo"]):
                last = step
        return step


def _check_finite(elbo: float, what: str) -> None:
    if not math.isfinite(elbo):
        raise UserError(
            f"{what} is {elbo}. The run was stopped, its checkpoints are as they were; "
            "a smaller --learning_rate may help."
        )


@tf.function
def evaluation_means(model: CVAE, images: tf.Tensor, binarize: str = "threshold") -> tf.Tensor:
    """Averages log-likelihood and KL over images, each image with the same weight.

    Args:
        model: the model.
        images: uint8 [N, H, W, C].
        binarize: see `batches.binarize`.

    Returns:
        float64 [2], nats per image: log-likelihood and KL by one posterior sample each.
    """
    num_images = tf.shape(images)[0]
    sums = tf.zeros([2], tf.float64)
    for start in tf.range(0, num_images, _EVALUATION_BATCH):
        batch = batches.evaluation_batch(images, start, _EVALUATION_BATCH, binarize, model.seed)
        seed = stream_seed(model.seed, Stream.EVALUATION_NOISE, start)
        terms = model.elbo_terms(batch, seed)
        both = tf.stack([terms.log_likelihood, terms.kl])
        sums += tf.reduce_sum(tf.cast(both, tf.float64), axis=1)
    return sums / tf.cast(num_images, tf.float64)
