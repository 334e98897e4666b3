"""What a benchmark says of the machine: its name, and how fast it multiplies matrices."""

import os
import platform
import time
from pathlib import Path


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
