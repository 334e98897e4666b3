"""How workers meet before they train: each is where it should be, and all were asked for the same.

TensorFlow would wait for minutes for a worker that is not there, and not notice other flags. So the
chief first calls each worker at its address, by plain sockets, and says to all what it found.
"""

import contextlib
import json
import socket
import time
from typing import Any

from cvae_tf.core.errors import UserError
from cvae_tf.training.cluster import Cluster

_LONGEST_WAIT = 45.0  # seconds
_RETRY, _LONGEST_LINE = 0.2, 2**20


def meet(cluster: Cluster, own: dict[str, Any], seconds: float = _LONGEST_WAIT) -> None:
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
