"""When checkpoints are written: now and then, after an epoch, and when a run is stopped."""

import contextlib
import time
from collections.abc import Iterator

import numpy as np

from cvae_tf.core.errors import LostImagesError
from cvae_tf.core.terminal import Progress as Bar
from cvae_tf.training import averaged_weights, checkpoint_files, run_directory, stop_signals
from cvae_tf.training.checkpoint_files import Interval, Metrics, Moment, Progress
from cvae_tf.training.run_files import Run
from cvae_tf.training.trainer import Trainer


class Keeper:
    """Looks after a run between two calls of the training loop.

    How far a run has come follows from its rows and from the optimizer's count of steps, and a call
    takes its steps wholly or not at all. So there is something to keep wherever Ctrl-C strikes.
    """

    def __init__(self, run: Run, trainer: Trainer, metrics: Metrics, every: Interval):
        """Begins.

        Args:
            run: the run.
            trainer: whose model is looked after, as it was built or restored.
            metrics: the rows of the epochs that are done.
            every: how often to write a checkpoint within an epoch.
        """
        self.metrics = metrics
        self._run, self._model, self._every = run, trainer.model, every
        self._steps_per_epoch = trainer.steps_per_epoch
        self._agree = trainer.distribution.agreed_signal
        self._saved = self._now()
        self._bar: Bar | None = None  # of the epoch that is being trained

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Within it, a run that is stopped, or loses its images, gets a last checkpoint first.

        Raises:
            KeyboardInterrupt: of which a signal to a script makes a `Stopped`.
            LostImagesError: if images cannot be read any more.
        """
        try:
            with stop_signals.held_back(self._agree) as self.stop_if_asked:
                yield
        except (KeyboardInterrupt, LostImagesError):
            if self._now().step > self._saved.step and self._is_sound():
                self.save()
            raise
        finally:
            self._end_bar()

    def __call__(self, epoch: int, steps_done: int, value: float) -> None:
        """Is called by the trainer now and then, with a mean of the epoch so far."""
        if self._bar is None:
            self._bar = Bar(f"epoch {epoch}/{self._run.config.epochs}")
        self._bar.show(steps_done / self._steps_per_epoch, f"training {value:.2f}")
        if steps_done == self._steps_per_epoch:
            self._end_bar()
        self.stop_if_asked()
        if self._every.is_over(self._saved, self._now()):
            self.save()

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Counts an epoch as done; called last, when its row and its picture are on the disk."""
        self.metrics = [*self.metrics, row]
        self.save()

    def save(self) -> None:
        """Writes a checkpoint of this moment; the first one makes the run the latest."""
        is_first = not checkpoint_files.list_checkpoints(self._run.checkpoints)
        now, rows = self._now(), self.metrics
        steps_done = now.step - len(rows) * self._steps_per_epoch
        progress = Progress(len(rows) + 1, steps_done, rows)
        checkpoint_files.save_checkpoint(self._run.checkpoints, self._model, progress)
        self._saved = now
        if is_first:
            run_directory.point_latest_to(self._run)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.clear()
            self._bar = None

    def _is_sound(self) -> bool:
        """Whether all weights are those that learn, and finite.

        A run may be stopped just before it would say that they are not.
        """
        if averaged_weights.is_within(self._model):
            return False
        return all(np.isfinite(weight.numpy()).all() for weight in self._model.trainable_variables)

    def _now(self) -> Moment:
        return Moment(int(self._model.steps.numpy()), time.monotonic())
