"""Clusters on this machine: several processes that train together, each at its own address."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def free_addresses(num: int) -> list[str]:
    """Finds addresses of this machine that nobody uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(num)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


@contextlib.contextmanager
def workers(
    num: int, command: list[str], logs: Path, divide_cores: bool = False
) -> Iterator[list[subprocess.Popen]]:
    """Starts a command as so many workers; at the end those that are left are killed.

    Args:
        num: of them.
        command: of Python, without `python`.
        logs: a folder; what worker 0 says goes to `0.log` there.
        divide_cores: whether each gets cores of its own.

    Yields:
        The processes.
    """
    addresses, cores = free_addresses(num), sorted(os.sched_getaffinity(0))
    share = max(len(cores) // num, 1)
    logs.mkdir(parents=True, exist_ok=True)
    processes = []
    for index in range(num):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        own = ",".join(map(str, cores[index * share : (index + 1) * share]))
        bound = ["taskset", "--cpu-list", own] if divide_cores else []
        with (logs / f"{index}.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    [*bound, sys.executable, *command],
                    cwd=PROJECT,
                    env={**os.environ, "TF_CONFIG": json.dumps(task)},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
