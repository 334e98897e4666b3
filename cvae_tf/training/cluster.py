"""The workers of a cluster, as `TF_CONFIG` or Slurm name them, and how they come together.

TensorFlow's coordination service, which runs on the chief, waits for all of them, but not without
end; it hands on what each has in mind, and notices later who is gone.
"""

import json
import os
import re
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.eager.context import context  # the service has no public name

from cvae_tf.core.errors import UserError
from cvae_tf.training import signals

_RESOLVERS = tf.distribute.cluster_resolver
_MOST_TASKS = 1024  # of Slurm, on a node
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_LONGEST_WAIT = 45  # seconds


class Cluster(NamedTuple):
    """Who trains together."""

    workers: tuple[str, ...] = ("here",)  # HOST:PORT of each, the chief first
    number: int = 0  # of this one


def read_cluster() -> Cluster:
    """Reads the cluster in `TF_CONFIG`; without it, the one of Slurm's variables.

    Raises:
        UserError: if there is none, or it cannot be one.
    """
    is_of_slurm = "TF_CONFIG" not in os.environ and "SLURM_PROCID" in os.environ
    try:
        if is_of_slurm:
            # Slurm itself shares out the GPUs; asked for none, TensorFlow would look for them.
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
    """Waits until all workers are there, and makes their strategy.

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
        with signals.kept():  # TensorFlow takes SIGTERM for itself
            return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (tf.errors.OpError, RuntimeError) as error:
        raise UserError(f"--strategy=multiworker: {_why_alone(cluster, error)}") from error


def _why_alone(cluster: Cluster, error: Exception) -> str:
    """Says why the workers did not come together."""
    text = str(error)
    if not isinstance(error, tf.errors.DeadlineExceededError):
        return f"cannot start at {cluster.workers[cluster.number]} ({text.splitlines()[0]})."
    missing = re.findall(r"^/job:worker/.*task:(\d+)$", text, re.MULTILINE)  # the chief knows
    who = ", ".join(f"worker {i} ({cluster.workers[int(i)]})" for i in missing)
    who = who or f"the chief ({cluster.workers[0]})"
    return f"{who} did not come within {_LONGEST_WAIT} s, or not all of the others."


def check_workers_agree(cluster: Cluster, what: str, own: dict[str, Any]) -> None:
    """Makes sure that all workers, which ask at the same time, have the same in mind.

    Args:
        cluster: the workers.
        what: it is, for people; each may be asked once.
        own: plain values by name.

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
    """Hands a text to all workers, and gets those of all."""
    context().set_config_key_value(f"cvae_tf/{name}/{cluster.number}", own)
    wait = 1000 * _LONGEST_WAIT
    return [
        context().get_config_key_value(f"cvae_tf/{name}/{number}", wait)
        for number in range(len(cluster.workers))
    ]
