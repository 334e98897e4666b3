"""The workers of a cluster, as `TF_CONFIG` or Slurm name them."""

import json
import os
from typing import Any, NamedTuple

from cvae_tf.core.errors import UserError

VARIABLE = "TF_CONFIG"
_MOST_TASKS = 1024  # of Slurm, on a node
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)


class Cluster(NamedTuple):
    """Who trains together."""

    workers: tuple[str, ...]  # HOST:PORT of each, the chief first
    number: int  # of this one

    @classmethod
    def from_environment(cls) -> "Cluster":
        """Reads the cluster, and writes `TF_CONFIG` if only Slurm has named it.

        Raises:
            UserError: if there is none, or it cannot be one.
        """
        if VARIABLE not in os.environ and "SLURM_PROCID" in os.environ:
            os.environ[VARIABLE] = _from_slurm()
        text = os.environ.get(VARIABLE)
        if not text:
            raise UserError(
                f"--strategy=multiworker: {VARIABLE} is not set. Each worker needs its own, such "
                f"as {_EXAMPLE}."
            )
        try:
            given = json.loads(text)
        except ValueError as error:
            raise UserError(f"{VARIABLE}: is no JSON ({error}).") from None
        try:
            return cls._parse(given)
        except ValueError as error:
            raise UserError(f"{VARIABLE}: {error}.") from None

    @classmethod
    def _parse(cls, given: Any) -> "Cluster":
        """Reads what stands in the variable; raises a ValueError for people."""
        jobs, task = _mapping(given, "cluster"), _mapping(given, "task")
        unknown = set(jobs) - {"chief", "worker", "evaluator"}
        if unknown:
            raise ValueError(f"the job '{min(unknown)}' is unknown; there are chief and worker")
        chiefs, others = (_addresses(jobs, job) for job in ("chief", "worker"))
        if len(chiefs) > 1:
            raise ValueError("there may be one chief only")
        if not chiefs and not others:
            raise ValueError("the cluster has neither a chief nor a worker")
        job, index = task.get("type"), task.get("index")
        own = {"chief": chiefs, "worker": others}.get(job)
        if own is None:
            raise ValueError(f"the task's type is {job!r}; it must be chief or worker")
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(own):
            raise ValueError(f"the task's index is {index!r}; of '{job}' there are {len(own)}")
        return cls((*chiefs, *others), index + (len(chiefs) if job == "worker" else 0))


def _mapping(given: Any, name: str) -> dict[str, Any]:
    part = given.get(name) if isinstance(given, dict) else None
    if not isinstance(part, dict):
        raise ValueError(f"it has no '{name}'; it must be as {_EXAMPLE}")
    return part


def _addresses(jobs: dict[str, Any], job: str) -> list[str]:
    found = jobs.get(job, [])
    if not isinstance(found, list):
        raise ValueError(f"'{job}' is not a list of addresses")
    for address in found:
        host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(f"{address!r} is no address; it must be HOST:PORT")
    if len(set(found)) < len(found):
        raise ValueError(f"an address of '{job}' stands there twice")
    return found


def _from_slurm() -> str:
    """Makes `TF_CONFIG` of Slurm's variables."""
    import tensorflow as tf

    try:
        # Slurm itself shares out the GPUs; asked for none, TensorFlow would look for them.
        gpus = {"gpus_per_node": _MOST_TASKS, "gpus_per_task": 1, "auto_set_gpu": False}
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(**gpus)
        workers = resolver.cluster_spec().as_dict()
        job, index = resolver.get_task_info()
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"Slurm's variables name no cluster ({error}).") from None
    return json.dumps({"cluster": workers, "task": {"type": job, "index": index}})
