"""The workers of a cluster, as `TF_CONFIG` or Slurm name them, and how they meet.

Before they train, each must be where it should be, and all be asked for the same. TensorFlow would
wait for minutes for a worker that is not there, and not notice other flags. So the chief first
calls each worker at its address, by plain sockets, and says to all what it found.
"""

import contextlib
import json
import os
import socket
import time
from typing import Any, NamedTuple

from cvae_tf.core.errors import UserError

VARIABLE = "TF_CONFIG"
_MOST_TASKS = 1024  # of Slurm, on a node
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_LONGEST_WAIT = 45.0  # seconds
_RETRY, _LONGEST_LINE = 0.2, 2**20


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


def check_workers_agree(
    cluster: Cluster, own: dict[str, Any], seconds: float = _LONGEST_WAIT
) -> None:
    """Waits until all workers are there, and makes sure that they have the same in mind.

    Args:
        cluster: the workers.
        own: what must be the same on all, by a name for people: plain values, or groups of them.
        seconds: the longest wait.

    Raises:
        UserError: on every worker, if one is missing or differs.
    """
    until = time.monotonic() + seconds
    card = {"number": cluster.number, "same": {"cluster": list(cluster.workers), **own}}
    with _listening(cluster) as listener:
        if cluster.number:
            fault = _answer_chief(cluster, listener, card, until, seconds)
        else:
            fault = _call_workers(cluster, card, until, seconds)
    if fault:
        raise UserError(f"--strategy=multiworker: {fault}")


def _listening(cluster: Cluster) -> socket.socket:
    port = cluster.workers[cluster.number].rpartition(":")[2]
    listener = socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET)
    try:
        with contextlib.suppress(AttributeError, OSError):
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", int(port)))
        listener.listen(len(cluster.workers))
    except OSError as error:
        listener.close()
        raise UserError(
            f"--strategy=multiworker: {_called(cluster, cluster.number)} cannot listen there "
            f"({error.strerror})."
        ) from None
    return listener


def _call_workers(
    cluster: Cluster, card: dict[str, Any], until: float, seconds: float
) -> str | None:
    """As the chief: asks all workers, tells them what is wrong, and returns it."""
    with contextlib.ExitStack() as stack:
        lines, fault = {}, None
        for number in range(1, len(cluster.workers)):
            line = _connect(cluster.workers[number], until)
            if line is None:
                who = _called(cluster, number)
                fault = fault or f"{who} did not answer within {seconds:.0f} s."
                continue
            lines[number] = stack.enter_context(line)
            _send(line, card)
            theirs = _receive(line, until)  # also after a fault: one line is read at a time
            fault = fault or _difference(cluster, number, card, theirs)
        for line in lines.values():
            _send(line, {"fault": fault})
    return fault


def _answer_chief(
    cluster: Cluster, listener: socket.socket, card: dict[str, Any], until: float, seconds: float
) -> str | None:
    """As another worker: waits for the chief's call, and returns what it finds wrong."""
    chief = _called(cluster, 0)
    while True:
        line = _accept(listener, until)
        if line is None:
            return f"{chief} did not call within {seconds:.0f} s."
        with line:
            if not _receive(line, until):
                continue  # somebody else looked whether there is anyone
            back = _connect(cluster.workers[0], until)
            if back is None:
                return f"{chief} cannot be reached."
            back.close()
            _send(line, card)
            verdict = _receive(line, until + seconds)  # the chief may still wait for others
            return verdict.get("fault") if verdict else f"{chief} hung up."


def _difference(
    cluster: Cluster, number: int, card: dict[str, Any], theirs: dict[str, Any] | None
) -> str | None:
    """Says what a worker has otherwise than the chief, if anything."""
    who = _called(cluster, number)
    if not theirs or "same" not in theirs:
        return f"{who} hung up."
    if theirs["number"] != number:
        return f"{who} takes itself for worker {theirs['number']}; see its TF_CONFIG."
    for group, own in card["same"].items():
        other = theirs["same"].get(group)
        if other != own:
            return f"{who} has other {group} than the chief: {_first_difference(own, other)}."
    return None


def _first_difference(own: Any, other: Any) -> str:
    if isinstance(own, dict) and isinstance(other, dict):
        for name in [*own, *other]:
            if own.get(name) != other.get(name):
                return f"{name} is {_shown(other, name)} there, {_shown(own, name)} at the chief"
    return f"{other} there, {own} at the chief"


def _shown(values: dict[str, Any], name: str) -> str:
    return json.dumps(values[name]) if name in values else "not given"


def _called(cluster: Cluster, number: int) -> str:
    title = f"worker {number}" if number else "the chief"
    return f"{title} ({cluster.workers[number]})"


def _connect(address: str, until: float) -> socket.socket | None:
    """Calls until somebody answers; None if nobody does."""
    host, _, port = address.rpartition(":")
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError):  # the latter of what can be no host
            return socket.create_connection((host.strip("[]"), int(port)), timeout=2.0)
        time.sleep(_RETRY)
    return None


def _accept(listener: socket.socket, until: float) -> socket.socket | None:
    listener.settimeout(_RETRY)
    while time.monotonic() < until:
        with contextlib.suppress(TimeoutError):
            return listener.accept()[0]
    return None


def _send(line: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # it then gets no answer
        line.sendall(json.dumps(message).encode() + b"\n")


def _receive(line: socket.socket, until: float) -> dict[str, Any] | None:
    """Reads a message; None if there is none."""
    text = b""
    line.settimeout(_RETRY)
    while not text.endswith(b"\n"):
        if time.monotonic() > until or len(text) >= _LONGEST_LINE:
            return None
        try:
            part = line.recv(4096)
        except TimeoutError:
            continue
        except OSError:
            return None
        if not part:
            return None
        text += part
    return _message(text)


def _message(text: bytes) -> dict[str, Any] | None:
    """What a line says; None if it is no message."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
