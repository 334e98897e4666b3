"""Proof that more devices train the same, and that a cluster survives: equality, kills, speed.

    python benchmarks/distributed.py --data_path mnist.npz --cifar10 cifar10_small.npz

Each part can be run alone (`--part=equality`, `kills` or `speed`). Writes distributed.json and
distributed.md beside this file.
"""

import argparse
import csv
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from clusters import PROJECT, workers
from shared import describe_machine, write_report

HERE = Path(__file__).parent
STEPS = 200
LOGICAL_CPUS, WORKERS = (1, 2, 4), (2, 3)
LONGEST_SECONDS = 600
GBITS = (10, 100)
MACHINES = (8, 64)
LATENCY = 50e-6  # seconds for each step of a ring, assumed


def models(data_path: str, cifar10: str) -> dict[str, dict[str, Any]]:
    """What is compared: the settings by a name; batches that two, three and four can share."""
    return {
        "tutorial": {"preset": "tutorial", "data_path": data_path, "batch_size": 36},
        "default": {"preset": "fast", "data_path": data_path, "batch_size": 132},
        "default, learning rate 1e-5": {
            "preset": "fast", "data_path": data_path, "batch_size": 132, "learning_rate": 1e-5,
        },
        "GAN": {"model": "gan", "preset": "gan", "data_path": cifar10, "batch_size": 60},
    }  # fmt: skip


def equality(known: dict[str, dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Compares every way to train with one device."""
    found = {}
    for name, settings in known.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = _differences(Path(folder), {**settings, "steps": STEPS})
        print(name, found[name], flush=True)
    return found


def _differences(folder: Path, settings: dict[str, Any]) -> dict[str, list[float]]:
    """The largest differences from one device by the way, of figures and of weights."""
    single = _steps(folder, "single", 0, 1, settings)
    disturbed = _steps(folder, "single", 0, 1, {**settings, "disturb": True})
    ways = {"one device, a weight moved by one unit in the last place": disturbed}
    for number in LOGICAL_CPUS:
        ways[f"{number} logical CPU(s)"] = _steps(folder, "mirrored", number, 1, settings)
    for number in WORKERS:
        ways[f"{number} workers"] = _steps(folder, "multiworker", 0, number, settings)
    return {way: _largest(single, other) for way, other in ways.items()}


def _steps(
    folder: Path, strategy: str, logical_cpus: int, num: int, settings: dict[str, Any]
) -> dict[str, np.ndarray]:
    output = folder / "steps.npz"
    command = ["benchmarks/steps_apart.py", strategy, str(logical_cpus), str(output)]
    command.append(json.dumps(settings))
    if num == 1:
        subprocess.run([sys.executable, *command], cwd=PROJECT, check=True)
    else:
        with workers(num, command, folder) as processes:
            codes = [process.wait(LONGEST_SECONDS) for process in processes]
        if any(codes):
            raise RuntimeError((folder / "0.log").read_text())
    with np.load(output) as arrays:
        return dict(arrays)


def _largest(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[float]:
    """Difference of figures, as a share of the largest one of their step; that of weights.

    Such as the KL, which is nearly 0 at first, have no relative difference worth the name.
    """
    sizes = np.abs(one["figures"]).max(axis=1, keepdims=True)
    figures = np.abs(one["figures"] - other["figures"]) / sizes
    weights = max(np.abs(one[name] - other[name]).max() for name in one if name != "figures")
    return [float(figures[0].max()), float(figures.max()), float(weights)]


def kills(number: int) -> dict[str, Any]:
    """Kills a worker of two at any moment of a small run, and starts both again until they end."""
    chance = random.Random(0)
    command = ["train.py", "--strategy=multiworker", "--dataset=digits", "--epochs=2",
               "--checkpoint_every=40", "--batch_size=512"]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = time.monotonic()
        with workers(2, [*command, f"--run_dir={folder / 'calm'}"], folder / "logs") as calm:
            codes = [process.wait(LONGEST_SECONDS) for process in calm]
        seconds = time.monotonic() - begin
        if any(codes):
            raise RuntimeError((folder / "logs" / "0.log").read_text())
        expected, trials = _state(folder / "calm"), []
        for trial in range(number):
            given = folder / f"run_{trial}", command, chance.uniform(0, seconds), trial % 2
            trials.append(_kill_one(folder / "logs", *given, expected))
            print(trial, trials[-1], flush=True)
    return {"seconds of a calm run": seconds, "trials": trials}


def _kill_one(
    logs: Path, run_dir: Path, command: list[str], after: float, victim: int, expected: Any
) -> dict[str, Any]:
    """Kills one worker; waits for the other one; starts both again."""
    command = [*command, f"--run_dir={run_dir}"]
    with workers(2, command, logs) as processes:
        time.sleep(after)
        was_running = processes[victim].poll() is None
        processes[victim].send_signal(signal.SIGKILL)
        killed = time.monotonic()
        try:
            code = processes[1 - victim].wait(LONGEST_SECONDS)
        except subprocess.TimeoutExpired:  # it hangs; the trial has failed
            code = None
        seconds = time.monotonic() - killed
    said = (logs / f"{1 - victim}.log").read_text().strip().splitlines()
    is_clear = not any("Traceback" in line for line in said) and "error: " in (said or [""])[-1]
    if (run_dir / "config.json").exists():
        command.append("--resume")
        command = [part for part in command if "dataset" not in part and "batch_size" not in part]
    with workers(2, command, logs) as processes:
        codes = [process.wait(LONGEST_SECONDS) for process in processes]
    return {
        "victim": victim,
        "after": round(after, 1),
        "was running": was_running,
        "code of the other": code,
        "seconds to its end": round(seconds, 1),
        "one clear line": is_clear or code == 0,
        "codes at the end": codes,
        "same bits": _same(expected, run_dir),
    }


def _state(run_dir: Path) -> dict[str, np.ndarray]:
    newest = sorted((run_dir / "checkpoints").glob("step_*"))[-1]
    with np.load(newest / "state.npz") as arrays:
        return {name: arrays[name] for name in arrays if name != "state"}


def _same(expected: dict[str, np.ndarray], run_dir: Path) -> bool:
    found = _state(run_dir)
    return all(np.array_equal(expected[name], found[name]) for name in expected)


def speed(data_path: str, repetitions: int) -> dict[str, Any]:
    """Compares one process on all cores with two workers that share them, in turn."""
    command = ["train.py", "--preset=fast", "--epochs=3", "--batch_size=512", "--dataset=auto",
               f"--data_path={data_path}"]  # fmt: skip
    found: dict[str, list[float]] = {"1": [], "2": []}
    with tempfile.TemporaryDirectory() as name:
        for number in range(repetitions):
            for num in (1, 2):
                run_dir = Path(name) / f"{num}_{number}"
                more = [f"--run_dir={run_dir}", *(["--strategy=multiworker"] if num > 1 else [])]
                with workers(num, [*command, *more], Path(name), divide_cores=num > 1) as both:
                    codes = [process.wait(LONGEST_SECONDS) for process in both]
                if any(codes):
                    raise RuntimeError((Path(name) / "0.log").read_text())
                with (run_dir / "metrics.csv").open() as file:
                    rows = list(csv.DictReader(file))[1:]  # the first epoch compiles
                found[str(num)].append(max(float(row["images_per_second"]) for row in rows))
        weights = _state(run_dir)
    networks = ("encoder", "decoder")
    size = sum(each.nbytes for name, each in weights.items() if name.startswith(networks))
    return {"images per second": found, "bytes of gradients": size}


def projected(images_per_second: float, size: int, batch: int) -> list[list[float]]:
    """Images/s of machines that each take a batch as one does, with an all-reduce after it.

    In a ring of M each sends and receives 2 (M - 1) / M of the bytes, in 2 (M - 1) steps.
    """
    rows = []
    for machines in MACHINES:
        for gbit in GBITS:
            sent = 2 * (machines - 1) / machines * size / (gbit * 1e9 / 8)
            waiting = 2 * (machines - 1) * LATENCY
            step = batch / images_per_second + sent + waiting
            rows.append([machines, gbit, sent, waiting, machines * batch / step])
    return rows


def as_table(results: dict[str, Any]) -> str:
    """Writes all parts as Markdown."""
    lines = [f"{results['machine']}.", ""]
    if "equality" in results:
        lines += _equality_table(results["equality"])
    if "kills" in results:
        lines += _kills_table(results["kills"])
    if "speed" in results:
        lines += _speed_table(results["speed"])
    return "\n".join(lines).rstrip() + "\n"


def _equality_table(found: dict[str, dict[str, list[float]]]) -> list[str]:
    lines = [
        f"{STEPS} steps on the same data, compared with one device: the largest difference of a "
        "figure in the first step and in all, as a share of the largest figure of the step (the "
        "ELBO of a VAE), and the largest difference of a weight at the end.",
        "",
        "| model | trained on | first step | all steps | weights |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, ways in found.items():
        for way, (first, every, weights) in ways.items():
            lines.append(f"| {name} | {way} | {first:.1e} | {every:.1e} | {weights:.1e} |")
    return [*lines, ""]


def _kills_table(found: dict[str, Any]) -> list[str]:
    trials = found["trials"]
    hit = [trial for trial in trials if trial["was running"]]
    seconds = [trial["seconds to its end"] for trial in hit]
    return [
        "One of two workers killed (SIGKILL) at any moment of a run of "
        f"{found['seconds of a calm run']:.0f} s, chief and other in turn; then both begin again.",
        "",
        "| kills | seconds to the end of the other: median, longest | one clear line | "
        "same weights to the last bit |",
        "| --- | --- | --- | --- |",
        f"| {len(hit)} | {statistics.median(seconds):.1f}, {max(seconds):.1f} | "
        f"{sum(trial['one clear line'] for trial in hit)} | "
        f"{sum(trial['same bits'] for trial in hit)} |",
        "",
    ]


def _speed_table(found: dict[str, Any]) -> list[str]:
    one, two = (statistics.median(found["images per second"][num]) for num in ("1", "2"))
    pairs = zip(found["images per second"]["2"], found["images per second"]["1"], strict=True)
    ratio = statistics.median(b / a for b, a in pairs)
    size = found["bytes of gradients"]
    lines = [
        "Default preset, global batches of 512, one process on all cores and two workers that "
        f"share them: {one:,.0f} and {two:,.0f} images/s, {ratio:.2f} of one (median of pairs). "
        f"Gradients of a step: {size / 1e6:.2f} MB.",
        "",
        "Projected, not measured: machines such as this one, 512 images each, the all-reduce as a "
        f"ring that waits for the step to end, {LATENCY * 1e6:.0f} microseconds for each of its "
        f"2 (M - 1) steps (assumed). Seconds of computing a step: {512 / one:.4f}. What GPUs would "
        "do was not measured.",
        "",
        "| machines | Gbit/s | seconds of sending 2 (M - 1) / M of the bytes | of waiting | "
        "images/s | share of M times one |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for machines, gbit, sent, waiting, rate in projected(one, size, 512):
        lines.append(
            f"| {machines} | {gbit} | {sent:.5f} | {waiting:.5f} | {rate:,.0f} | "
            f"{rate / machines / one:.2f} |"
        )
    return [*lines, ""]


def main() -> None:
    """Measures what was asked for, beside what is known already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_path", required=True, help="mnist.npz")
    parser.add_argument("--cifar10", required=True, help="cifar10_small.npz")
    parser.add_argument("--part", choices=("equality", "kills", "speed"))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    known = HERE / "distributed.json"
    results = json.loads(known.read_text()) if known.exists() else {}
    results["machine"] = describe_machine()
    data_path = str(Path(given.data_path).resolve())
    if given.part in (None, "equality"):
        compared = models(data_path, str(Path(given.cifar10).resolve()))
        results["equality"] = equality(compared)
    if given.part in (None, "kills"):
        results["kills"] = kills(given.kills)
    if given.part in (None, "speed"):
        results["speed"] = speed(data_path, given.repetitions)
    write_report(HERE, "distributed", results, as_table)


if __name__ == "__main__":
    main()
