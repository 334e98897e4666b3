"""How well the preset `photo` learns colour images, beside one Gaussian: bits/dim, error, minutes.

    python benchmarks/photo.py --folder cifar10_jpeg
    python benchmarks/photo.py --folder cifar10_jpeg --likelihood=neighbour_logistic

The second one needs --learning_rate=0.001 as well.

Trains as `python train.py --data_path=FOLDER` does, with flags of train.py that are given, or takes
a run that did (--run_dir), and measures its exported model on all test images. Writes photo.json
and photo.md to --output.
"""

import argparse
import csv
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from shared import PROJECT, describe_machine, run_process, write_report

HERE = Path(__file__).parent
_AT_ONCE = 500  # images


def reconstruction_error(folder: Path, saved_model: Path) -> float:
    """Mean squared error of the reconstructions of all test images, pixels in [0, 1]."""
    import cvae_tf

    images = cvae_tf.load_dataset(data_path=folder).test.images
    model, total = cvae_tf.load(saved_model), 0.0
    for start in range(0, len(images), _AT_ONCE):
        grey = images[start : start + _AT_ONCE].astype(np.float32) / 255
        total += float(np.square(model.reconstruct(grey) - grey).mean(axis=(1, 2, 3)).sum())
    return total / len(images)


def gaussian_bits(folder: Path) -> float:
    """Bits per dimension of all test images under one Gaussian, fitted to the training pixels.

    Uniform noise makes the levels a density; so it is a bound, as the ELBO is.
    """
    import cvae_tf

    dataset, generator = cvae_tf.load_dataset(data_path=folder), np.random.default_rng(0)

    def parts(images: Any) -> Iterator[np.ndarray]:
        for start in range(0, len(images), _AT_ONCE):
            levels = images[start : start + _AT_ONCE]
            yield (levels + generator.uniform(size=levels.shape)).reshape(len(levels), -1)

    num, total, products = len(dataset.train.images), 0.0, 0.0
    for part in parts(dataset.train.images):
        total, products = total + part.sum(axis=0), products + part.T @ part
    mean = total / num
    factor = np.linalg.cholesky(products / num - np.outer(mean, mean))
    whiten, squares = np.linalg.inv(factor).T, 0.0
    for part in parts(dataset.test.images):
        squares += np.square((part - mean) @ whiten).sum()
    nats = np.log(np.diag(factor)).sum() + len(mean) * math.log(2 * math.pi) / 2
    return (nats + squares / len(dataset.test.images) / 2) / len(mean) / math.log(2)


def measure(folder: Path, run_dir: Path) -> dict[str, Any]:
    """Reads what the run has written, and measures its exported model."""
    config = json.loads((run_dir / "config.json").read_text(encoding="utf-8"))
    with (run_dir / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    seconds = sum(float(row["train_seconds"]) + float(row["test_seconds"]) for row in rows)
    nats_of_one_bit = math.prod(config["data"]["image_shape"]) * math.log(2)
    return {
        "machine": describe_machine(),
        "data": config["data"]["origin"],
        "config": config["config"],
        "epochs": len(rows),
        "minutes": seconds / 60,
        "bits_per_dimension": -float(rows[-1]["test_elbo"]) / nats_of_one_bit,
        "mean_squared_error": reconstruction_error(folder, run_dir / "export" / "1"),
        "gaussian_bits_per_dimension": gaussian_bits(folder),
    }


def as_table(found: dict[str, Any]) -> str:
    """Writes the measurements as Markdown."""
    return (
        f"On {found['machine']}; bits per dimension of the test images.\n\n"
        "| model | epochs | minutes | bits/dim | mean squared error of reconstructions |\n"
        "| --- | --- | --- | --- | --- |\n"
        f"| preset `{found['config']['preset']}`, `{found['config']['likelihood']}` (ELBO) "
        f"| {found['epochs']} "
        f"| {found['minutes']:.1f} | {found['bits_per_dimension']:.2f} "
        f"| {found['mean_squared_error']:.4f} |\n"
        "| one Gaussian with full covariance, fitted to the training pixels | | "
        f"| {found['gaussian_bits_per_dimension']:.2f} | |\n"
    )


def main() -> None:
    """Trains if need be, measures, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--run_dir", type=Path, help="a run that is trained already")
    parser.add_argument("--output", default=HERE, type=Path)
    arguments, flags = parser.parse_known_args()
    folder = arguments.folder.resolve()
    with tempfile.TemporaryDirectory() as work:
        run_dir = arguments.run_dir or Path(work) / "run"
        if not arguments.run_dir:
            script = str(PROJECT / "train.py")
            run_process([script, f"--data_path={folder}", f"--run_dir={run_dir}", *flags])
        found = measure(folder, run_dir)
    found["data"] = found["data"].replace(f"{folder.parent}/", "")
    found["config"].pop("data_path")
    write_report(arguments.output, "photo", found, as_table)


if __name__ == "__main__":
    main()
