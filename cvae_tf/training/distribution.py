"""One device or many: how a strategy of TensorFlow is made, and what a run asks of it.

The engine is `tf.distribute`. What a replica computes is the family's own `train_step`, which knows
of `core/replicas.py`; everything else here is what one worker must know of the others.
"""

import contextlib
import dataclasses
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core import terminal
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.models.base import GenerativeModel
from cvae_tf.training import signals
from cvae_tf.training.cluster import Cluster, check_workers_agree

_OF_OTHERS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
_FEWEST_ROWS = 4  # images for each replica; a GAN compares so many
_BYTES_AT_ONCE = 2**20  # that the chief hands out, each as a number
_WATCH = """
import os, sys, time
seconds, watched, text = sys.argv[1:]
time.sleep(float(seconds))
if os.getppid() == int(watched):
    try:
        print(text, file=sys.stderr, flush=True)
    finally:
        os.kill(int(watched), 9)
"""
_LONGEST_START = 45.0  # seconds from the meeting to TensorFlow's own


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Where a run is trained: the replicas of a strategy, on one worker or several."""

    strategy: tf.distribute.Strategy | None = None  # None: TensorFlow as it is
    cluster: Cluster | None = None  # if there are several workers

    @property
    def num_workers(self) -> int:
        """The processes that train together."""
        return len(self.cluster.workers) if self.cluster else 1

    @property
    def worker(self) -> int:
        """The number of this one, from 0."""
        return self.cluster.number if self.cluster else 0

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes what all of them make."""
        return self.worker == 0

    @property
    def num_replicas(self) -> int:
        """The replicas of all workers, R."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    def scope(self) -> contextlib.AbstractContextManager:
        """Within it, variables are made of which each replica has a copy."""
        return self._scope() if self.strategy else contextlib.nullcontext()

    @contextlib.contextmanager
    def _scope(self) -> Iterator[None]:
        with self.strategy.scope(), tf.variable_creator_scope(_alike_on_all_replicas):
            yield

    def prepare(self, model: GenerativeModel) -> None:
        """Makes normalisations look at the whole batch, not at a replica's share."""
        for network in model.networks.values() if self.strategy else ():
            for layer in network._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True

    def check_batch(self, batch_size: int) -> None:
        """Refuses a batch that cannot be shared out evenly.

        Args:
            batch_size: of all replicas together.

        Raises:
            UserError: if replicas would have different numbers of images, or too few.
        """
        num = self.num_replicas
        if num > 1 and batch_size % num:
            raise UserError(
                f"--batch_size: {batch_size} images cannot be shared out evenly among {num} "
                f"replicas; take a multiple of {num}."
            )
        if num > 1 and batch_size // num < _FEWEST_ROWS:
            raise UserError(
                f"--batch_size: {batch_size} images are too few for {num} replicas; take at least "
                f"{_FEWEST_ROWS * num}."
            )

    def own_order(self, order: tf.Tensor, batch_size: int) -> tf.Tensor:
        """Picks this worker's images of an epoch.

        Args:
            order: of all images in this epoch, int32 [N].
            batch_size: of all workers together, B.

        Returns:
            int32 [steps * B / workers]: those of the first step, of the second, ...
        """
        if self.num_workers == 1:
            return order
        steps, own = order.shape[0] // batch_size, batch_size // self.num_workers
        by_step = tf.reshape(order[: steps * batch_size], [steps, self.num_workers, own])
        return tf.reshape(by_step[:, self.worker], [-1])

    def run(self, step: Any, images: tf.Tensor, labels: tf.Tensor | None) -> Any:
        """Calls a function on each of this worker's replicas with its share of images and labels.

        Args:
            step: a function of images and labels, of the same results on all replicas.
            images: of this worker, [B, ...].
            labels: theirs [B], or None.

        Returns:
            The results of one replica.
        """
        if not self.strategy:
            return step(images, labels)

        def on_replica() -> Any:
            context = tf.distribute.get_replica_context()
            number = context.replica_id_in_sync_group % self._replicas_here
            parts = (images,) if labels is None else (images, labels)
            images_here, *labels_here = (self._share(part, number) for part in parts)
            return step(images_here, labels_here[0] if labels_here else None)

        return self._first(self.strategy.run(on_replica))

    def _share(self, part: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """The rows of one of this worker's replicas."""
        num = part.shape[0] // self._replicas_here
        others = part.shape[1:]
        return tf.slice(part, [number * num] + [0] * len(others), [num, *others])

    def _first(self, found: Any) -> Any:
        """What one replica found, where all find the same."""
        results = self.strategy.experimental_local_results
        return tf.nest.map_structure(lambda value: results(value)[0], found)

    @property
    def _replicas_here(self) -> int:
        return self.num_replicas // self.num_workers

    def total(self, values: np.ndarray) -> np.ndarray:
        """Adds arrays [M] over the workers, in float64."""
        if self.num_workers == 1:
            return values
        return self._traced_total(tf.constant(values, tf.float64)).numpy()

    @functools.cached_property
    def _traced_total(self) -> Callable[[tf.Tensor], tf.Tensor]:
        def share(values: tf.Tensor) -> tf.Tensor:
            own = values / self._replicas_here  # made here, else TensorFlow knows no device of it
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        def add(values: tf.Tensor) -> tf.Tensor:
            return self._first(self.strategy.run(share, args=(values,)))

        return tf.function(add, input_signature=[tf.TensorSpec([None], tf.float64)])

    def from_chief(self, make: Callable[[], bytes]) -> bytes:
        """Hands what the chief makes to all workers; with one worker nothing is made."""
        if self.num_workers == 1:
            return b""
        content = np.frombuffer(make() if self.is_chief else b"", np.uint8)
        size = round(self.total(np.array([float(len(content))]))[0])
        sent = content if self.is_chief else np.zeros(size, np.uint8)
        parts = (sent[first : first + _BYTES_AT_ONCE] for first in range(0, size, _BYTES_AT_ONCE))
        return b"".join(self.total(part).round().astype(np.uint8).tobytes() for part in parts)

    def agreed_signal(self, received: int | None) -> int | None:
        """Finds the signal that some worker has received, if any, by the one received here.

        All stop by it, and may leave as soon as they know of it.
        """
        if self.num_workers == 1:
            return received
        known = (signal.SIGTERM, signal.SIGINT)
        numbers = self.total(np.array([float(received == number) for number in known]))
        found = next((number for number, n in zip(known, numbers, strict=True) if n > 0), None)
        if found is not None:
            self.barrier()
        return found

    def agreed(self, is_so: bool) -> bool:
        """Whether something is so on the chief."""
        return is_so if self.num_workers == 1 else self.from_chief(lambda: bytes([is_so])) == b"\1"

    def check_same(self, what: str, make_digest: Callable[[], str]) -> None:
        """Refuses workers that differ in something that only the images tell.

        Args:
            what: it is, for people.
            make_digest: finds what it is on this worker.

        Raises:
            UserError: on every worker, if one has another.
        """
        if self.num_workers == 1:
            return
        digest = make_digest()
        differs = self.from_chief(digest.encode) != digest.encode()
        flags = np.zeros(self.num_workers)
        flags[self.worker] = differs
        for number in np.flatnonzero(self.total(flags)):
            self.barrier()
            who = f"worker {number} ({self.cluster.workers[number]})"
            raise UserError(f"--strategy=multiworker: {who} has other {what} than the chief.")

    @contextlib.contextmanager
    def among_others(self) -> Iterator[None]:
        """Within it, the end of another worker is an error for people.

        Raises:
            UserError: if one cannot be reached any more.
        """
        try:
            yield
        except _OF_OTHERS as error:
            if self.num_workers == 1 or not _is_of_others(error):
                raise
            raise UserError(
                "--strategy=multiworker: another worker has ended, or cannot be reached any more. "
                "Start all of them again; with --resume a run goes on from its last checkpoint."
            ) from error

    def end_together(self) -> None:
        """Waits until all workers have come to the end, and knows of all that they know it too."""
        self.total(np.zeros(1))
        self.barrier()

    def barrier(self) -> None:
        """Waits, before this worker goes, until the others have what it last told them.

        One that is gone already has had it, or has no use for it any more.
        """
        with contextlib.suppress(*_OF_OTHERS):
            self.total(np.zeros(1))


SINGLE = Distribution()


def _is_of_others(error: tf.errors.OpError) -> bool:
    """Whether an error says that another worker is gone, as far as can be told by its text."""
    return not isinstance(error, tf.errors.InternalError) or "ollective" in str(error)


def _alike_on_all_replicas(next_creator: Any, **options: Any) -> tf.Variable:
    """Makes a variable to which all replicas assign the same."""
    options["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
    options["synchronization"] = tf.VariableSynchronization.ON_WRITE
    return next_creator(**options)


@contextlib.contextmanager
def start_strategy(name: str, logical_cpus: int, asked: dict[str, Any]) -> Iterator[Distribution]:
    """Starts a strategy; within it the end of another worker is an error, and the chief speaks.

    Arguments and errors are those of `prepare_strategy`.

    Yields:
        What was started.
    """
    distribution = prepare_strategy(name, logical_cpus, asked)
    with distribution.among_others(), contextlib.ExitStack() as stack:
        if not distribution.is_chief:
            stack.enter_context(terminal.verbosity(0))
        yield distribution


def prepare_strategy(name: str, logical_cpus: int, asked: dict[str, Any]) -> Distribution:
    """Prepares TensorFlow for a strategy; to be called before it is used.

    Args:
        name: in `STRATEGIES`.
        logical_cpus: how many devices the processor is to count as; 0: one.
        asked: the settings that were given, which must be the same on all workers.

    Raises:
        UserError: if there are no such devices, or the other workers cannot be reached.
    """
    if logical_cpus and name != "mirrored":
        raise UserError("--logical_cpus is for --strategy=mirrored.")
    return find("strategy", STRATEGIES, name)(logical_cpus, asked)


def single(_logical_cpus: int, _asked: dict[str, Any]) -> Distribution:
    """One device."""
    return SINGLE


def mirrored(logical_cpus: int, _asked: dict[str, Any]) -> Distribution:
    """All GPUs of this machine; or as many parts of its processor."""
    if logical_cpus:
        _divide_processor(logical_cpus)
        return Distribution(
            tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(logical_cpus)])
        )
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        raise UserError(
            "--strategy=mirrored: TensorFlow sees no GPU; to try it on the processor, add "
            "--logical_cpus=2."
        )
    return Distribution(tf.distribute.MirroredStrategy([gpu.name for gpu in gpus]))


def _divide_processor(number: int) -> None:
    processor = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * number
    try:
        tf.config.set_logical_device_configuration(processor, parts)
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) < number:
            raise UserError(
                f"--logical_cpus={number}: TensorFlow is in use already; start Python anew."
            ) from None


def multiworker(_logical_cpus: int, asked: dict[str, Any]) -> Distribution:
    """As many machines as `TF_CONFIG` or Slurm names."""
    cluster = Cluster.from_environment()
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    # Each machine may have its images elsewhere; they are compared themselves.
    settings = {name: value for name, value in asked.items() if name != "data_path"}
    devices = {"GPUs": len(tf.config.list_physical_devices("GPU"))}
    check_workers_agree(cluster, {"settings": settings, "versions": versions, "devices": devices})
    with _limited_wait(), signals.kept():  # TensorFlow takes SIGTERM for itself
        return Distribution(tf.distribute.MultiWorkerMirroredStrategy(), cluster)


@contextlib.contextmanager
def _limited_wait() -> Iterator[None]:
    """Ends the process if a worker has gone since all met, for which TensorFlow would wait an hour.

    It cannot be interrupted in that, by no signal and by no thread of this process; so another
    process watches.
    """
    text = (
        "error: --strategy=multiworker: a worker has gone before training began; start all again."
    )
    own = [str(_LONGEST_START), str(os.getpid()), text]
    watch = subprocess.Popen([sys.executable, "-c", _WATCH, *own])
    try:
        yield
    finally:
        watch.kill()
        watch.wait()


STRATEGIES = {"single": single, "mirrored": mirrored, "multiworker": multiworker}
