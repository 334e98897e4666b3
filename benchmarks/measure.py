"""What the benchmarks share: processes with their time and memory, and a word on the machine."""

import os
import platform
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


def matrix_product_rate(side: int = 2048, repetitions: int = 20) -> float:
    """Measures the float32 matrix-product rate of TensorFlow on this machine, in flop/s."""
    import tensorflow as tf

    matrix = tf.random.stateless_normal([side, side], [0, 0])
    product = tf.function(lambda a: tf.matmul(a, a))
    product(matrix)
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        product(matrix).numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / sorted(seconds)[repetitions // 2]


def describe_machine() -> str:
    """Names processor, cores, memory and versions in a line."""
    from importlib import metadata

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB; "
        f"Python {platform.python_version()}, TensorFlow {metadata.version('tensorflow')}"
    )
