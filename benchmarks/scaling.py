"""How cost grows: images per second and peak memory of the default preset.

    python benchmarks/scaling.py --data_path mnist.npz

Varies one thing at a time: training images, latent dimensions, batch size, pixels. Each point is
a process of its own. Writes scaling.json, scaling.md and scaling.png beside this file.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from shared import describe_machine, run_process

HERE = Path(__file__).parent
USUAL = {"num_images": 60_000, "latent_dim": 2, "batch_size": 128, "side": 28}
VARIED = {
    "num_images": (1_000, 10_000, 100_000, 1_000_000),
    "latent_dim": (2, 8, 32, 128, 256),
    "batch_size": (16, 64, 128, 512, 4096),
    "side": (28, 56, 112),
}
TITLES = {
    "num_images": "training images",
    "latent_dim": "latent dimensions",
    "batch_size": "batch size",
    "side": "pixels a side",
}
SHORTEST_SECONDS = 4.0


def train_for_a_while(data_path: str, point: dict[str, int]) -> float:
    """Trains whole epochs until enough seconds have gone by; returns images per second."""
    from cvae_tf.config import Config
    from cvae_tf.core import tensorflow_setup
    from cvae_tf.data.datasets import Dataset, Split
    from cvae_tf.data.loading import load_dataset
    from cvae_tf.training import building
    from cvae_tf.training.trainer import Trainer

    tensorflow_setup.set_threads(0)
    mnist = load_dataset(data_path=data_path)
    images = repeated(mnist.train.images, point["num_images"], point["side"])
    small_test = Split(images[:500].copy(), None)
    dataset = Dataset("repeated MNIST", "", Split(images, None), small_test)
    del mnist, images
    config = Config.create(
        latent_dim=point["latent_dim"], batch_size=point["batch_size"], epochs=1000
    )
    model = building.build_model(config, dataset.image_shape, len(dataset.train.images))
    trainer = Trainer(model, dataset, config.batch_size)
    del dataset
    seconds = images_seen = 0
    for result in trainer.run_epochs(config.epochs):
        if result.epoch > 1:  # the first compiles
            seconds += result.train_seconds
            images_seen += trainer.steps_per_epoch * trainer.batch_size
        if seconds > SHORTEST_SECONDS:
            break
    return images_seen / seconds


def repeated(images: np.ndarray, num: int, side: int) -> np.ndarray:
    """Takes images again and again until there are `num`, each enlarged to `side` pixels."""
    from cvae_tf.data.batches import aligned_empty

    factor = side // images.shape[1]
    result = aligned_empty(num * side * side).reshape(num, side, side, 1)
    for start in range(0, num, len(images)):
        part = images[: num - start]
        result[start : start + len(part)] = part.repeat(factor, axis=1).repeat(factor, axis=2)
    return result


def measure_all(data_path: str) -> dict[str, Any]:
    """Runs every point in a process of its own."""
    results: dict[str, Any] = {"machine": describe_machine()}
    for name, values in VARIED.items():
        results[name] = []
        for value in values:
            point = {**USUAL, name: value}
            command = [str(HERE / "scaling.py"), f"--data_path={data_path}"]
            finished = run_process([*command, f"--point={json.dumps(point)}"])
            speed = float(finished.output.splitlines()[-1])
            row = {"value": value, "images_per_second": speed, "peak_bytes": finished.peak_bytes}
            results[name].append(row)
            print(name, row, flush=True)
    return results


def as_table(results: dict[str, Any]) -> str:
    """Writes the points as Markdown."""
    lines = [f"Default preset on {results['machine']}.", ""]
    lines += ["| | | images/s | peak memory |", "| --- | --- | --- | --- |"]
    for name, title in TITLES.items():
        for row in results[name]:
            lines.append(
                f"| {title} | {row['value']:,} | {row['images_per_second']:,.0f} "
                f"| {row['peak_bytes'] / 1e9:.2f} GB |"
            )
    return "\n".join(lines) + "\n"


def draw(results: dict[str, Any], path: Path) -> None:
    """Draws speed and memory against each of the four."""
    figure = Figure(figsize=(12, 6), dpi=100)
    axes = figure.subplots(2, len(TITLES), sharey="row")
    for column, (name, title) in enumerate(TITLES.items()):
        values = [row["value"] for row in results[name]]
        speeds = [row["images_per_second"] for row in results[name]]
        memory = [row["peak_bytes"] / 1e9 for row in results[name]]
        for line, numbers in enumerate((speeds, memory)):
            axes[line][column].plot(values, numbers, marker="o")
            axes[line][column].set(xscale="log", xlabel=title)
            axes[line][column].set_xticks(values, [f"{value:,}" for value in values])
            axes[line][column].minorticks_off()
            axes[line][column].grid(alpha=0.3)
    axes[0][0].set(ylabel="images per second", ylim=(0, None))
    axes[1][0].set(ylabel="peak memory, GB", ylim=(0, None))
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Measures one point if asked to, else all, and writes the three files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", required=True, help="MNIST as an .npz of Keras")
    parser.add_argument("--point", type=json.loads, help="used by the program itself")
    parser.add_argument("--output", type=Path, default=HERE, help="a folder for the three files")
    arguments = parser.parse_args()
    data_path = str(Path(arguments.data_path).resolve())
    if arguments.point:
        print(train_for_a_while(data_path, arguments.point))
        return
    results = measure_all(data_path)
    (arguments.output / "scaling.json").write_text(json.dumps(results, indent=1) + "\n")
    (arguments.output / "scaling.md").write_text(as_table(results))
    draw(results, arguments.output / "scaling.png")


if __name__ == "__main__":
    main()
