"""Compares this project with what a user would run instead, side by side on one machine.

    python benchmarks/compare.py --data_path mnist.npz

Speeds come from short runs in turn (A B C, A B C, ...), of which medians and ratios are taken,
because machines are noisy; ELBO, wall time, memory and the time to the tutorial's figure from
runs of ten epochs. Writes compare.json, compare.md and compare.png beside this file; what is in
compare.json already is not measured again, so that a broken-off comparison can go on: remove it
to begin anew.
"""

import argparse
import csv
import importlib.util
import itertools
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from shared import PROJECT, describe_machine, matrix_product_rate, run_process

TARGET_ELBO = -155.9  # test ELBO after ten epochs on the tutorial's own page
SEEDS = (0, 1, 2)
HERE = Path(__file__).parent
LABELS = {
    "tutorial_loop": "the tutorial's own loop",
    "preset_tutorial": "`--preset=tutorial`",
    "preset_default": "default preset",
    "keras_fit": "Keras `fit`, same network",
    "pytorch": "PyTorch, same network",
    "pytorch_channels_last": "PyTorch, channels last",
}
# Multiply-adds of a forward pass; a training step takes three times as many, 2 flop each.
TUTORIAL_MULTIPLY_ADDS = (
    13 * 13 * 9 * 32 + 6 * 6 * 9 * 32 * 64 + 2304 * 4  # encoder
    + 2 * 1568 + 49 * 9 * 32 * 64 + 196 * 9 * 64 * 32 + 784 * 9 * 32  # decoder
)  # fmt: skip


def measure(name: str, data_path: str, epochs: int, seed: int = 0) -> dict[str, Any]:
    """Runs one of the ways to train in a process of its own.

    Returns:
        Its epochs (cumulative images and seconds, test ELBO), wall seconds and peak bytes.
    """
    with tempfile.TemporaryDirectory() as directory:
        if name.startswith("preset_"):
            run_dir = Path(directory) / "run"
            preset = [] if name == "preset_default" else ["--preset=tutorial"]
            flags = [f"--data_path={data_path}", f"--epochs={epochs}", f"--seed={seed}"]
            command = [str(PROJECT / "train.py"), f"--run_dir={run_dir}", *flags, *preset]
            finished = run_process(command)
            lines = epochs_of_run(run_dir)
        else:
            command = [str(HERE / "other_training_loops.py"), name, f"--data_path={data_path}"]
            finished = run_process([*command, f"--epochs={epochs}", f"--output={directory}"])
            output = finished.output.splitlines()
            lines = [json.loads(line) for line in output if line.startswith("{")]
    return {
        "epochs": lines,
        "wall_seconds": finished.wall_seconds,
        "peak_bytes": finished.peak_bytes,
    }


def epochs_of_run(run_dir: Path) -> list[dict[str, float]]:
    """Reads a run's metrics.csv in the form that the other programs print."""
    lines, train_seconds, test_seconds, images = [], 0.0, 0.0, 0.0
    with (run_dir / "metrics.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            train_seconds += float(row["train_seconds"])
            test_seconds += float(row["test_seconds"])
            images += float(row["train_seconds"]) * float(row["images_per_second"])
            lines.append(
                {
                    "images": round(images),
                    "train_seconds": train_seconds,
                    "test_seconds": test_seconds,
                    "test_elbo": float(row["test_elbo"]),
                }
            )
    return lines


def last_epoch_speed(result: dict[str, Any]) -> dict[str, float]:
    """Speed of a run's last epoch, when everything is compiled."""
    before, last = result["epochs"][-2:]
    train_seconds = last["train_seconds"] - before["train_seconds"]
    return {
        "images_per_second": (last["images"] - before["images"]) / train_seconds,
        "seconds_per_epoch": train_seconds,
        "test_seconds": last["test_seconds"] - before["test_seconds"],
    }


def median_epoch_speed(results: dict[str, Any], name: str) -> float:
    """Images per second of the median epoch after the first, of the runs of ten epochs."""
    speeds = []
    for run in results["ten_epochs"][name]:
        for before, last in itertools.pairwise(run["epochs"]):
            seconds = last["train_seconds"] - before["train_seconds"]
            speeds.append((last["images"] - before["images"]) / seconds)
    return statistics.median(speeds)


def time_to_target(result: dict[str, Any]) -> dict[str, float] | None:
    """Training seconds and images until the test ELBO first reached the target, if it did."""
    for line in result["epochs"]:
        if line["test_elbo"] >= TARGET_ELBO:
            return {"seconds": line["train_seconds"], "images": line["images"]}
    return None


def measure_all(data_path: str, repetitions: int, path: Path) -> dict[str, Any]:
    """Runs everything that `path` does not hold yet, and keeps each result there at once.

    All of it takes about an hour on two cores.
    """
    names = [name for name in LABELS if "pytorch" not in name or importlib.util.find_spec("torch")]
    results = {"machine": describe_machine(), "rates": [], "speeds": {}, "ten_epochs": {}}
    if path.exists():
        results = json.loads(path.read_text())
    for repetition in range(repetitions):
        if len(results["rates"]) == repetition:
            results["rates"].append(matrix_product_rate())
        for name in names:
            speeds = results["speeds"].setdefault(name, [])
            if len(speeds) == repetition:
                speeds.append(last_epoch_speed(measure(name, data_path, epochs=2)))
                _keep(results, path, name, speeds[-1])
    for name in names:
        runs = results["ten_epochs"].setdefault(name, [])
        for seed in SEEDS if name == "preset_default" else SEEDS[:1]:
            if len(runs) == seed:
                runs.append(measure(name, data_path, epochs=10, seed=seed))
                _keep(results, path, name, runs[-1]["epochs"][-1])
    if "default_in_small_steps" not in results:
        results["default_in_small_steps"] = measure("default_preset", data_path, epochs=10)
        _keep(results, path, "default_in_small_steps", "")
    return results


def _keep(results: dict[str, Any], path: Path, name: str, newest: Any) -> None:
    print(name, newest, flush=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def summarize(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Reduces the results to one row for each way to train."""
    rows = {}
    flops = statistics.median(results["rates"])
    for name, speeds in results["speeds"].items():
        row = {key: statistics.median(speed[key] for speed in speeds) for key in speeds[0]}
        own_loop = results["speeds"]["tutorial_loop"]
        row["ratio"] = statistics.median(
            speed["images_per_second"] / other["images_per_second"]
            for speed, other in zip(speeds, own_loop, strict=True)
        )
        row["long_ratio"] = median_epoch_speed(results, name) / median_epoch_speed(
            results, "tutorial_loop"
        )
        flop = 6 * multiply_adds(name)
        row["flop_share"] = row["images_per_second"] * flop / flops
        full = results["ten_epochs"][name]
        row["test_elbo"] = statistics.mean(run["epochs"][-1]["test_elbo"] for run in full)
        row["wall_seconds"] = statistics.median(run["wall_seconds"] for run in full)
        row["peak_bytes"] = max(run["peak_bytes"] for run in full)
        fine = results["default_in_small_steps"] if name == "preset_default" else full[0]
        row["to_target"] = time_to_target(fine)
        row["train_seconds"] = full[0]["epochs"][-1]["train_seconds"]
        rows[name] = row
    return rows


def multiply_adds(name: str) -> float:
    """Multiply-adds of one image's forward pass in the network of one of them."""
    if name != "preset_default":
        return TUTORIAL_MULTIPLY_ADDS
    from cvae_tf.models.networks import build_networks
    from cvae_tf.presets import DEFAULT_PRESET, PRESETS

    networks = build_networks(PRESETS[DEFAULT_PRESET]["network"], (28, 28, 1), 2, seed=0)
    return sum(count_multiply_adds(model) for model in networks)


def count_multiply_adds(model) -> int:
    """Counts those of dense and convolutional layers, by their kernels and output shapes."""
    total = 0
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            positions = 1
            for side in layer.output.shape[1:-1]:
                positions *= side
            total += positions * int(layer.kernel.shape.num_elements())
    return total


def as_table(results: dict[str, Any], rows: dict[str, dict[str, Any]]) -> str:
    """Writes the rows as Markdown."""
    flops = statistics.median(results["rates"]) / 1e9
    lines = [
        f"{results['machine']}. Float32 matrix product: {flops:.0f} GFLOP/s. Speeds: medians of "
        f"{len(results['speeds']['tutorial_loop'])} runs in turn.",
        "",
        "| | images/s | ratio, in turn | over ten epochs | s per epoch | evaluation, s "
        "| s (images) to ELBO -155.9 | test ELBO, 10 epochs | whole command, s | peak memory "
        "| share of matrix product |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        target = row["to_target"]
        reached = f"not in {row['train_seconds']:.0f}"
        if target:
            reached = f"{target['seconds']:.1f} ({target['images']:,})"
        lines.append(
            f"| {LABELS[name]} | {row['images_per_second']:,.0f} | {row['ratio']:.2f} "
            f"| {row['long_ratio']:.2f} | {row['seconds_per_epoch']:.1f} "
            f"| {row['test_seconds']:.2f} | {reached} | {row['test_elbo']:.1f} "
            f"| {row['wall_seconds']:.0f} | {row['peak_bytes'] / 1e9:.2f} GB "
            f"| {row['flop_share']:.0%} |"
        )
    return "\n".join(lines) + "\n"


def draw(results: dict[str, Any], path: Path) -> None:
    """Draws the test ELBO against seconds of training, one line for each way to train."""
    figure = Figure(figsize=(8, 4.5), dpi=100)
    axes = figure.subplots()
    for name, runs in results["ten_epochs"].items():
        run = results["default_in_small_steps"] if name == "preset_default" else runs[0]
        seconds = [line["train_seconds"] for line in run["epochs"]]
        elbos = [line["test_elbo"] for line in run["epochs"]]
        marker = "" if len(elbos) > 20 else "."
        axes.plot(seconds, elbos, marker=marker, label=LABELS[name].replace("`", ""))
    axes.axhline(TARGET_ELBO, color="grey", linewidth=0.8, linestyle=":")
    axes.set(
        xscale="log", ylim=(-200, None), xlabel="seconds of training", ylabel="nats per image",
        title="Test ELBO on MNIST, ten epochs",
    )  # fmt: skip
    seconds = (1, 2, 5, 10, 20, 50, 100, 200)
    axes.set_xticks(seconds, seconds)
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Measures, prints the table, writes the three files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", required=True, help="MNIST as an .npz of Keras")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE, help="a folder for the three files")
    arguments = parser.parse_args()
    data_path = str(Path(arguments.data_path).resolve())
    results = measure_all(data_path, arguments.repetitions, arguments.output / "compare.json")
    table = as_table(results, summarize(results))
    (arguments.output / "compare.md").write_text(table)
    draw(results, arguments.output / "compare.png")
    print(table)


if __name__ == "__main__":
    main()
