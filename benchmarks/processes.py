"""Runs Python programs in processes of their own, and measures their time and memory."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))  # for benchmarks that look at the project's own networks


class Finished(NamedTuple):
    """A process that ended well."""

    output: str
    wall_seconds: float
    peak_bytes: int


def run_process(command: list[str]) -> Finished:
    """Runs a Python command in a process of its own, and measures it from outside.

    Args:
        command: arguments for the Python interpreter.

    Returns:
        What it printed, its wall time from start to end, its peak memory.

    Raises:
        RuntimeError: with the end of its output, if it failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall_seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return Finished(output, wall_seconds, usage.ru_maxrss * unit)
