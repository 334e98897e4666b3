"""One device or many: how a TensorFlow strategy is made, and what a run needs of it.

The engine is `tf.distribute`. Each replica runs the model's own `train_step`, which uses
`core/replicas.py`; the rest here is what one worker must know about the others. TensorFlow's
coordination service runs on the chief. It waits for all workers, but not for ever, exchanges their
settings, and notices when one is gone.
"""

import contextlib
import dataclasses
import functools
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager.context import context  # the service has no public name

from cvae_tf.core import terminal
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.models.base import GenerativeModel
from cvae_tf.training import signals

_OF_OTHERS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
_FEWEST_ROWS = 4  # images for each replica; a GAN compares four
_BYTES_AT_ONCE = 2**20  # that the chief sends, each as a number

_RESOLVERS = tf.distribute.cluster_resolver
_MOST_TASKS = 1024  # of Slurm, on a node
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_LONGEST_WAIT = 45  # seconds


class Cluster(NamedTuple):
    """The workers that train together."""

    workers: tuple[str, ...] = ("here",)  # HOST:PORT of each, the chief first
    number: int = 0  # of this one


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Where a run is trained: the replicas of a strategy, on one or several workers."""

    strategy: tf.distribute.Strategy | None = None  # None: TensorFlow's default
    cluster: Cluster = Cluster()

    @property
    def num_workers(self) -> int:
        """The number of processes that train together."""
        return len(self.cluster.workers)

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the files of the run."""
        return self.cluster.number == 0

    @property
    def num_replicas(self) -> int:
        """The number of replicas on all workers, R."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Within it, each replica gets a copy of new variables."""
        if not self.strategy:
            yield
            return
        with self.strategy.scope(), tf.variable_creator_scope(_alike_on_all_replicas):
            yield

    def prepare(self, model: GenerativeModel) -> None:
        """Lets normalisation layers use the whole batch, not a replica's share."""
        for network in model.networks.values() if self.strategy else ():
            for layer in network._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True

    def check_batch(self, batch_size: int) -> None:
        """Refuses a global batch that cannot be shared evenly."""
        num = self.num_replicas
        if num > 1 and (batch_size % num or batch_size < _FEWEST_ROWS * num):
            raise UserError(
                f"--batch_size: {batch_size} images cannot be shared out evenly among {num} "
                f"replicas; take a multiple of {num}, at least {_FEWEST_ROWS * num}."
            )

    def own_order(self, order: tf.Tensor, batch_size: int) -> tf.Tensor:
        """Picks this worker's images from the order of an epoch, int32 [N]; B is the global batch.

        Returns:
            int32 [steps * B / workers]: those of the first step, then the second, ...
        """
        if self.num_workers == 1:
            return order
        steps, own = order.shape[0] // batch_size, batch_size // self.num_workers
        by_step = tf.reshape(order[: steps * batch_size], [steps, self.num_workers, own])
        return tf.reshape(by_step[:, self.cluster.number], [-1])

    def run(self, step: Any, images: tf.Tensor, labels: tf.Tensor | None) -> Any:
        """Calls a function on each of this worker's replicas with its share of images and labels.

        Args:
            step: returns the same on all replicas.
            images: of this worker, [B, ...].
            labels: their labels [B], or None.
        """
        if not self.strategy:
            return step(images, labels)

        def on_replica() -> Any:
            context, here = tf.distribute.get_replica_context(), self._replicas_here
            number = context.replica_id_in_sync_group % here
            own = (
                part if part is None else tf.reshape(part, [here, -1, *part.shape[1:]])[number]
                for part in (images, labels)
            )
            return step(*own)

        return self._first(self.strategy.run(on_replica))

    def _first(self, found: Any) -> Any:
        """The result of one replica, where all have the same."""
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
            own = values / self._replicas_here  # made here, else TensorFlow has no device for it
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        def add(values: tf.Tensor) -> tf.Tensor:
            return self._first(self.strategy.run(share, args=(values,)))

        return tf.function(add, [tf.TensorSpec([None], tf.float64)], autograph=False)

    def from_chief(self, make: Callable[[], bytes]) -> bytes:
        """Sends what the chief makes to all workers; with one worker nothing is made."""
        if self.num_workers == 1:
            return b""
        content = np.frombuffer(make() if self.is_chief else b"", np.uint8)
        size = round(self.total(np.array([float(len(content))]))[0])
        sent = content if self.is_chief else np.zeros(size, np.uint8)
        parts = (sent[first : first + _BYTES_AT_ONCE] for first in range(0, size, _BYTES_AT_ONCE))
        return b"".join(self.total(part).round().astype(np.uint8).tobytes() for part in parts)

    def agreed_signal(self, received: int | None) -> int | None:
        """Finds the signal that any worker has received, given the one received here, if any.

        All stop by it, and may leave as soon as they know it.
        """
        if self.num_workers == 1:
            return received
        known = (signal.SIGTERM, signal.SIGINT)
        numbers = self.total(np.array([float(received == number) for number in known]))
        if not numbers.any():
            return None
        self.barrier()
        return known[0 if numbers[0] else 1]

    def check_same(self, what: str, make_digest: Callable[[], str]) -> None:
        """Refuses workers whose images, or labels, have other digests."""
        if self.num_workers > 1:
            digest = make_digest()
            self.total(np.zeros(1))  # one may need much longer, or be gone
            check_workers_agree(self.cluster, what, {"their SHA-256": digest})

    def check_settings(self, asked: dict[str, Any]) -> None:
        """Refuses workers with other settings, versions or devices."""
        if self.num_workers > 1:
            here = {
                "TensorFlow": tf.__version__,
                "Keras": keras.__version__,
                "GPUs": len(tf.config.list_physical_devices("GPU")),
                "TF_CONFIG": self.cluster.workers,
                "data_path": None,  # images may be elsewhere on each worker; they are compared
            }
            check_workers_agree(self.cluster, "settings", {**asked, **here})

    @contextlib.contextmanager
    def among_others(self) -> Iterator[None]:
        """Within it, the end of another worker raises an error for people.

        Raises:
            UserError: if one cannot be reached any more.
        """
        try:
            yield
        except _OF_OTHERS as error:
            is_own = isinstance(error, tf.errors.InternalError) and "ollective" not in str(error)
            if self.num_workers == 1 or is_own:
                raise
            raise UserError(
                "--strategy=multiworker: another worker has ended, or cannot be reached any more. "
                "Start all of them again; with --resume a run goes on from its last checkpoint."
            ) from error

    def end_together(self) -> None:
        """Waits until all workers have finished, and all know that."""
        self.total(np.zeros(1))
        self.barrier()

    def barrier(self) -> None:
        """Before this worker leaves, waits until the others know why, if they are not gone."""
        with contextlib.suppress(*_OF_OTHERS):
            self.total(np.zeros(1))


SINGLE = Distribution()


def _alike_on_all_replicas(next_creator: Any, **options: Any) -> tf.Variable:
    """Makes a variable to which all replicas assign the same value."""
    options["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
    options["synchronization"] = tf.VariableSynchronization.ON_WRITE
    return next_creator(**options)


@contextlib.contextmanager
def start_strategy(name: str, logical_cpus: int, asked: dict[str, Any]) -> Iterator[Distribution]:
    """Prepares TensorFlow for a strategy, before its first use.

    Within it, the end of another worker raises an error for people, and only the chief prints.

    Args:
        name: in `STRATEGIES`.
        logical_cpus: into how many devices the processor is divided; 0 for one.
        asked: the settings that were given, which must be the same on all workers.

    Raises:
        UserError: if there are no such devices, or the other workers cannot be reached.
    """
    if logical_cpus and name != "mirrored":
        raise UserError("--logical_cpus is for --strategy=mirrored.")
    distribution = find("strategy", STRATEGIES, name)(logical_cpus)
    quiet = contextlib.nullcontext() if distribution.is_chief else terminal.verbosity(0)
    with distribution.among_others(), quiet:
        distribution.check_settings(asked)
        yield distribution


def single(_logical_cpus: int) -> Distribution:
    """A single device."""
    return SINGLE


def mirrored(logical_cpus: int) -> Distribution:
    """All GPUs of this machine; or `logical_cpus` parts of its processor."""
    if logical_cpus:
        _divide_processor(logical_cpus)
        devices = [f"CPU:{i}" for i in range(logical_cpus)]
    else:
        devices = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    if not devices:
        raise UserError(
            "--strategy=mirrored: TensorFlow sees no GPU; to try it on the processor, add "
            "--logical_cpus=2."
        )
    return Distribution(tf.distribute.MirroredStrategy(devices))


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


def multiworker(_logical_cpus: int) -> Distribution:
    """The machines that `TF_CONFIG` or Slurm names."""
    cluster = read_cluster()
    return Distribution(join_workers(cluster), cluster)


def read_cluster() -> Cluster:
    """Reads the cluster in `TF_CONFIG`; without it, the one of Slurm's variables.

    Raises:
        UserError: if there is none, or it is not valid.
    """
    is_of_slurm = "TF_CONFIG" not in os.environ and "SLURM_PROCID" in os.environ
    try:
        if is_of_slurm:
            # Slurm itself assigns the GPUs; without these numbers TensorFlow would look for them.
            gpus = {"gpus_per_node": _MOST_TASKS, "gpus_per_task": 1, "auto_set_gpu": False}
            resolver = _RESOLVERS.SlurmClusterResolver(**gpus)
        else:
            resolver = _RESOLVERS.TFConfigClusterResolver()
        spec = resolver.cluster_spec()
        own = spec.task_address(resolver.task_type, resolver.task_id)
        jobs = [spec.job_tasks(job) for job in ("chief", "worker") if job in spec.jobs]
        workers = tuple(address for job in jobs for address in job)
        return Cluster(workers, workers.index(own))
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        if is_of_slurm:
            raise UserError(f"Slurm's variables name no cluster ({error}).") from None
        fault = f"names no worker ({error})" if os.environ.get("TF_CONFIG") else "is not set"
        raise UserError(
            f"--strategy=multiworker: TF_CONFIG {fault}. Each worker needs its own, such as "
            f"{_EXAMPLE}."
        ) from None


def join_workers(cluster: Cluster) -> tf.distribute.Strategy:
    """Waits until all workers have started, and makes their strategy.

    Raises:
        UserError: if one is missing, or this one cannot listen at its address.
    """
    context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        cluster_register_timeout_in_ms=1000 * _LONGEST_WAIT,
    )
    service = context().coordination_service
    service.coordinated_job_list.add(name="worker", num_tasks=len(cluster.workers))
    if hasattr(service, "cluster_register_with_barrier"):  # from TensorFlow 2.19 on
        service.cluster_register_with_barrier = True  # else the chief waits for an hour
    resolver = _RESOLVERS.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.workers)}),
        task_type="worker",
        task_id=cluster.number,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )
    try:
        with signals.kept():  # TensorFlow installs its own SIGTERM handler
            return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (tf.errors.OpError, RuntimeError) as error:
        raise UserError(f"--strategy=multiworker: {_why_alone(cluster, error)}") from error


def _why_alone(cluster: Cluster, error: Exception) -> str:
    """Says why the workers did not come together."""
    text = str(error)
    if not isinstance(error, tf.errors.DeadlineExceededError):
        return f"cannot start at {cluster.workers[cluster.number]} ({text.splitlines()[0]})."
    missing = re.findall(r"^/job:worker/.*task:(\d+)$", text, re.MULTILINE)  # only the chief knows
    who = ", ".join(f"worker {i} ({cluster.workers[int(i)]})" for i in missing)
    who = who or f"the chief ({cluster.workers[0]})"
    return f"{who} did not come within {_LONGEST_WAIT} s, or not all of the others."


def check_workers_agree(cluster: Cluster, what: str, own: dict[str, Any]) -> None:
    """Makes sure that all workers have the same values; all call it once, at the same time.

    Raises:
        UserError: on every worker, if one differs.
    """
    chief, *others = (json.loads(text) for text in _exchange(cluster, what, json.dumps(own)))
    for number, theirs in enumerate(others, start=1):
        for name in [*chief, *theirs]:
            here, there = (json.dumps(each.get(name)) for each in (chief, theirs))
            if here != there:
                _exchange(cluster, f"{what} differ", "")  # nobody leaves before all know
                who = f"worker {number} ({cluster.workers[number]})"
                raise UserError(
                    f"--strategy=multiworker: {who} has other {what} than the chief: {name} is "
                    f"{there} there, {here} at the chief."
                )


def _exchange(cluster: Cluster, name: str, own: str) -> list[str]:
    """Sends a text to all workers, and receives theirs."""
    context().set_config_key_value(f"cvae_tf/{name}/{cluster.number}", own)
    wait = 1000 * _LONGEST_WAIT
    return [
        context().get_config_key_value(f"cvae_tf/{name}/{number}", wait)
        for number in range(len(cluster.workers))
    ]


STRATEGIES = {"single": single, "mirrored": mirrored, "multiworker": multiworker}
