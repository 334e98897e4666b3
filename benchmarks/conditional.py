"""What a conditional model draws and knows: its digits to a classifier, itself as a classifier.

    python benchmarks/conditional.py --data_path mnist.npz

Trains `python train.py --conditional` and measures on the test images. A small convolutional
classifier of real images looks at what is drawn; the same one is trained on what is drawn alone and
looks at real images. Everything trained is kept in --work. Writes conditional.json and
conditional.md to --output; about half an hour on two cores.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from shared import PROJECT, Bench, describe_machine, run_process, write_report

HERE = Path(__file__).parent
DRAWN, DRAWN_FOR_TRAINING, PAIRS = 10_000, 60_000, 3
TWENTY = [
    "--conditional", "--network=patches_smooth", "--latent_dim=20", "--binarize=dynamic",
]  # fmt: skip
WANTED = {
    "a classifier sees the label that was asked for, of 10,000 samples": (">= 97 %", ">= 99 %"),
    "the classifier trained on 60,000 samples alone (20 latents), real images": (
        ">= 93 %",
        ">= 97 %",
    ),
    "log p(x\\|y), exact, mean of the test images": (">= -122", ">= -117"),
    "the model itself as a classifier, 20 latents, test error": ("<= 3.5 %", "<= 2 %"),
    "images/s beside the unconditional default, in pairs": (">= 0.85", "1.0"),
    "the classifier trained on real images, real test images": (">= 99 %", "-"),
}


def classifier(images: np.ndarray, labels: np.ndarray, seed: int = 0) -> Any:
    """Trains a small convolutional classifier of images [N, 28, 28, 1] in [0, 1]."""
    import keras

    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, strides=2, activation="relu"),
            layers.Conv2D(64, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(256, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(10),
        ]
    )
    steps = 8 * len(images) // 128
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
    model.fit(images, labels, batch_size=128, epochs=8, verbose=0)
    return model


def accuracy(model: Any, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images that a classifier knows."""
    return float(np.mean(model.predict(images, batch_size=500, verbose=0).argmax(1) == labels))


def drawn_digits(bench: Bench, run_dir: Path, of_twenty: Path) -> dict[str, float]:
    """Draws digits, and lets classifiers look at them and learn of them.

    Those to learn of come from the model with 20 latents, and are white above 0.5.
    """
    import cvae_tf

    model, random = cvae_tf.load(run_dir), np.random.default_rng(0)
    grey = {
        name: bench.data[name][..., None].astype(np.float32) / 255 for name in ("x_train", "x_test")
    }
    of_real = classifier(grey["x_train"], bench.data["y_train"])
    asked = random.integers(0, 10, DRAWN)
    more = random.integers(0, 10, DRAWN_FOR_TRAINING)
    drawn = cvae_tf.load(of_twenty).sample(len(more), seed=2, labels=more)
    of_drawn = classifier((drawn > 0.5).astype(np.float32), more)
    names, test = list(WANTED), (grey["x_test"], bench.data["y_test"])
    return {
        names[0]: accuracy(of_real, model.sample(DRAWN, seed=1, labels=asked), asked),
        names[1]: accuracy(of_drawn, *test),
        names[5]: accuracy(of_real, *test),
    }


def evaluated(run_dir: Path) -> dict[str, Any]:
    """Runs `evaluate.py --classify` on all test images; means by quantity, and the error."""
    output = run_dir.with_suffix(".evaluation.json")
    flags = [f"--run_dir={run_dir}", f"--output={output}", "--importance_samples=10"]
    run_process([str(PROJECT / "evaluate.py"), *flags, "--classify"])
    found = json.loads(output.read_text())
    means = {number["quantity"]: number["nats_per_image"] for number in found["numbers"]}
    return {"means": means, "error": found["classification"]["error"]}


def likelihoods(of_two: dict[str, Any], of_twenty: dict[str, Any]) -> dict[str, float]:
    """Names what evaluations have found."""
    names = list(WANTED)
    return {
        names[2]: of_two["means"]["log p(x|y), exact"],
        names[3]: of_twenty["error"],
        "2 latents: ELBO, nats": of_two["means"]["ELBO"],
        "2 latents: log p(x), all classes, nats": of_two["means"]["log p(x), all classes"],
        "2 latents: as a classifier, share of errors": of_two["error"],
        "20 latents: ELBO, nats": of_twenty["means"]["ELBO"],
    }


def speed(bench: Bench, number: int) -> dict[str, float]:
    """Trains three epochs with labels and without, one after the other; the ratio of images/s."""
    speeds = []
    for flags in (["--conditional"], []):
        name = f"speed_{'_'.join(flags).strip('-') or 'plain'}_{number}"
        run_dir = bench.trained(name, ["--epochs=3", *flags])
        with (run_dir / "metrics.csv").open(encoding="utf-8") as file:
            speeds.append(float(list(csv.DictReader(file))[-1]["images_per_second"]))
    return {"ratio": speeds[0] / speeds[1]}


def as_table(results: dict[str, Any]) -> str:
    """Writes what was measured beside what was wanted."""
    lines = [
        f"{results['machine']}. MNIST, `python train.py --conditional`: ten epochs, 2 latents, "
        "thresholded, seed 0.",
        "", "| what | must | aim | measured |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, columns in WANTED.items():
        value = results["measured"][name]
        is_share = "%" in columns[0]
        shown = f"{100 * value:.2f} %" if is_share else f"{value:.2f}"
        lines.append(f"| {name} | {' | '.join(columns)} | {shown} |")
    more = {name: value for name, value in results["measured"].items() if name not in WANTED}
    lines += ["", "| also measured | |", "| --- | --- |"]
    lines += [f"| {name} | {value:.4g} |" for name, value in more.items()]
    lines += ["", f"20 latents: `python train.py {' '.join(TWENTY)}`; bound by K = 10 samples."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures everything and writes the two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", type=Path, required=True, help="MNIST as an .npz of Keras")
    parser.add_argument("--work", type=Path, default=HERE / "conditional_runs", help="what is kept")
    parser.add_argument("--output", type=Path, default=HERE, help="a folder for the two files")
    arguments = parser.parse_args()
    bench = Bench(arguments.data_path, arguments.work)
    run_dir = bench.trained("conditional", ["--conditional"])
    twenty = bench.trained("twenty", TWENTY)
    ratios = [bench.kept(f"speed_{i}", lambda i=i: speed(bench, i))["ratio"] for i in range(PAIRS)]
    measured = {
        **bench.kept("drawn", lambda: drawn_digits(bench, run_dir, twenty)),
        **likelihoods(
            bench.kept("evaluated", lambda: evaluated(run_dir)),
            bench.kept("evaluated_20", lambda: evaluated(twenty)),
        ),
        list(WANTED)[4]: float(np.median(ratios)),
    }
    results = {"machine": describe_machine(), "measured": measured, "ratios": ratios}
    write_report(arguments.output, "conditional", results, as_table)


if __name__ == "__main__":
    main()
