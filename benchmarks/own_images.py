"""Own images from a folder: how soon training begins, how fast it reads, how much memory it takes.

    python benchmarks/own_images.py --folder cifar10_jpeg

FOLDER has `train/CLASS/*.jpg` and `test/CLASS/*.jpg`. Everything is measured in processes of their
own, with an empty cache of their own. Writes own_images.json and own_images.md to --output.
"""

import argparse
import csv
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine
from processes import PROJECT, Finished, run_process
from reports import write_report

HERE = Path(__file__).parent
PAIRS = 3  # of trainings, streamed and in memory in turn
SMALL = ["--preset=fast", "--binarize=none", "--likelihood=gaussian"]  # the default small network
MANY = 1_000_000


def train(folder: Path, run_dir: Path, *flags: str) -> Finished:
    """Trains in a process of its own."""
    script = str(PROJECT / "train.py")
    return run_process([script, f"--data_path={folder}", f"--run_dir={run_dir}", *SMALL, *flags])


def seconds_to_first_step(folder: Path, run_dir: Path) -> float:
    """Seconds from the start of `train.py` to the checkpoint of the first calls of the loop."""
    flags = [f"--data_path={folder}", f"--run_dir={run_dir}", "--checkpoint_every=1", *SMALL]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "train.py"), *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(run_dir.glob("checkpoints/step_*")):
        if process.poll() is not None:
            raise RuntimeError("train.py has ended before its first step.")
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    process.kill()
    process.wait()
    return seconds


def starts(folder: Path, work: Path) -> dict[str, float]:
    """Measures the first start, which decodes everything, and the second."""
    names = ("first time", "second time")
    return {name: seconds_to_first_step(folder, work / name.replace(" ", "-")) for name in names}


def images_per_second(run_dir: Path) -> float:
    """The speed of the last epoch of a run."""
    with (run_dir / "metrics.csv").open(encoding="utf-8") as file:
        return float(list(csv.DictReader(file))[-1]["images_per_second"])


def weights(run_dir: Path) -> str:
    """SHA-256 of all that training has changed, in the newest checkpoint."""
    newest, digest = max((run_dir / "checkpoints").glob("step_*")), hashlib.sha256()
    with np.load(newest / "state.npz") as arrays:
        for name in sorted(arrays):
            if name != "state":  # which has the timings
                digest.update(arrays[name])
    return digest.hexdigest()


def compare_with_memory(folder: Path, work: Path) -> dict[str, Any]:
    """Trains two epochs streamed and in memory, in turn."""
    speeds: dict[str, list[float]] = {"memory": [], "streamed": []}
    sums = set()
    for pair in range(PAIRS):
        for name, megabytes in (("memory", 4000), ("streamed", 20)):
            run_dir = work / f"{name}-{pair}"
            train(folder, run_dir, "--epochs=2", f"--cache_mb={megabytes}")
            speeds[name].append(images_per_second(run_dir))
            sums.add(weights(run_dir))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    ratios = [b / a for a, b in zip(speeds["memory"], speeds["streamed"], strict=True)]
    return {**medians, "ratio": statistics.median(ratios), "same weights": len(sums) == 1}


def linked_many_times(folder: Path, work: Path) -> Path:
    """Makes a folder of a million pictures: links to those of another."""
    pictures, many = sorted(folder.rglob("*.jpg")), work / "many"
    for number in range(MANY):
        picture = pictures[number % len(pictures)]
        place = many / picture.parent.name
        if number < len(pictures):
            place.mkdir(parents=True, exist_ok=True)
        os.link(picture, place / f"{number:07d}.jpg")
    return many


def measure(folder: Path, work: Path) -> dict[str, Any]:
    """Measures everything."""
    results: dict[str, Any] = {"machine": describe_machine(), "starts": starts(folder, work)}
    print(results, flush=True)
    results["speed"] = compare_with_memory(folder, work)
    print(results["speed"], flush=True)
    memory = {}
    for name in ("60,000", f"{MANY:,}"):
        # Links change a time of the files, by which they are known; so they are made last.
        place = folder if name == "60,000" else linked_many_times(folder, work)
        done = train(place, work / f"memory-{name}", "--epochs=1", "--cache_mb=20")
        memory[name] = {"peak_bytes": done.peak_bytes, "seconds": done.wall_seconds}
        print(name, memory[name], flush=True)
    return {**results, "memory": memory}


def as_table(results: dict[str, Any]) -> str:
    """Writes the measurements as Markdown."""
    speed, memory = results["speed"], results["memory"]
    lines = [
        f"CIFAR-10 as JPEG, 60,000 files, on {results['machine']}.",
        "",
        "| | |",
        "| --- | --- |",
    ]
    for name, seconds in results["starts"].items():
        lines.append(
            f"| start of `train.py` to the end of the first steps, {name} | {seconds:.1f} s |"
        )
    for name in ("memory", "streamed"):
        lines.append(f"| images/s, {name} | {speed[name]:,.0f} |")
    lines.append(f"| streamed / in memory, median of {PAIRS} pairs | {speed['ratio']:.2f} |")
    lines.append(f"| the same weights, bit for bit | {speed['same weights']} |")
    for name, found in memory.items():
        lines.append(
            f"| peak memory, {name} pictures, streamed | {found['peak_bytes'] / 1e9:.2f} GB |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--output", default=HERE, type=Path)
    arguments = parser.parse_args()
    beside = arguments.folder.resolve().parent  # links do not reach into other file systems
    with tempfile.TemporaryDirectory(dir=beside) as work:
        os.environ["KERAS_HOME"] = str(Path(work) / "keras")
        results = measure(arguments.folder.resolve(), Path(work))
    write_report(arguments.output, "own_images", results, as_table)


if __name__ == "__main__":
    main()
