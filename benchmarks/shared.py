"""What benchmarks share: the machine, processes that are measured, runs that are kept, reports."""

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))  # for benchmarks that look at the project's own networks


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


class Bench:
    """Trains and measures what was not trained and measured before."""

    def __init__(self, data_path: Path, work: Path):
        self.data_path, self.work = data_path.absolute(), work
        work.mkdir(parents=True, exist_ok=True)

    @functools.cached_property
    def data(self) -> dict[str, np.ndarray]:
        """The arrays of the .npz."""
        with np.load(self.data_path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def trained(self, name: str, flags: list[str], data_path: Path | None = None) -> Path:
        """Trains a run unless it is there, and returns its directory.

        Raises:
            RuntimeError: if there is one that was trained by other flags.
        """
        run_dir = self.work / name.replace(", ", "_")
        record = run_dir.with_suffix(".run.json")
        if record.exists():
            known = json.loads(record.read_text())["flags"]
            if known != flags:
                raise RuntimeError(f"{run_dir} was trained by {known}; remove it and {record}.")
            return run_dir
        if run_dir.exists():
            shutil.rmtree(run_dir)  # was broken off
        command = [str(PROJECT / "train.py"), f"--run_dir={run_dir}", *flags]
        start = time.perf_counter()
        run_process([*command, f"--data_path={data_path or self.data_path}"])
        seconds = round(time.perf_counter() - start)
        record.write_text(json.dumps({"flags": flags, "seconds": seconds}))
        return run_dir

    def written(self, name: str, **arrays: np.ndarray) -> Path:
        """Writes an .npz to train on, unless it is there."""
        path = self.work / f"{name}.npz"
        if not path.exists():
            temporary = path.with_name(f"part_{path.name}")
            np.savez_compressed(temporary, **arrays)
            temporary.rename(path)
        return path

    def seconds(self, run_dir: Path) -> float:
        """Wall time of the training command."""
        return json.loads(run_dir.with_suffix(".run.json").read_text())["seconds"]

    def kept(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Measures something unless it was measured before."""
        path = self.work / f"{name}.json"
        if not path.exists():
            result = measure()
            path.write_text(json.dumps(result, indent=1))
            print(name, result, flush=True)
        return json.loads(path.read_text())


def write_report(folder: Path, name: str, results: Any, as_table: Callable[[Any], str]) -> None:
    """Writes results as NAME.json, and as Markdown, which is also printed, as NAME.md.

    Args:
        folder: where to; it is made.
        name: of the benchmark.
        results: what was measured.
        as_table: makes Markdown of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    table = as_table(results)
    (folder / f"{name}.md").write_text(table)
    print(table)
