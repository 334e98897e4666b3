"""How good the models are: likelihoods, anomalies, shifts, few labels, beside published figures.

    python benchmarks/quality.py --data_path mnist.npz

Trains by the commands in RUNS and measures on the test images. Every training run and every result
is kept in --work, so that the program can be broken off and goes on. Writes quality.json and
quality.md beside this file. Needs requirements-dev.txt; about two hours on two cores.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import anomalies
import numpy as np
from shared import PROJECT, Bench, describe_machine, run_process, write_report

HERE = Path(__file__).parent
DRAWS = 10
NEIGHBOURS = 10
RUNS = {
    "2-D, dynamic": ["--preset=best", "--binarize=dynamic"],
    "2-D, threshold": ["--preset=best"],
    "20-D, dynamic": [
        "--preset=best", "--network=patches_smooth", "--binarize=dynamic", "--latent_dim=20",
        "--epochs=60", "--batch_size=128", "--objective=iwae", "--importance_samples=3",
    ],
}  # fmt: skip
REFERENCES = {
    "2-D, dynamic: importance-weighted bound, refined, K = 500": (
        "-135.7", ">= -130.0", ">= -127.0",
    ),
    "2-D, dynamic: log p(x), exact": ("none published", "reported", "-"),
    "2-D, threshold: log p(x), exact": ("none published", "reported", "-"),
    "20-D, dynamic: importance-weighted bound, K = 5000": (
        "-86.35 (VAE), -84.6 (IWAE-50)", ">= -84.0", ">= -82.8",
    ),
    "one digit left out, five models: AUROC of -ELBO, mean": (".855", ">= .88", ">= .92"),
    "one digit left out, five models: AUROC of -ELBO, worst": (".66", ">= .70", ">= .80"),
    "shift to rotated: AUROC of -ELBO": ("often < .5", "reported", ">= .9"),
    "shift to inverted: AUROC of -ELBO": ("often < .5", "reported", ">= .9"),
    "shift to noise: AUROC of -ELBO": ("often < .5", "reported", ">= .9"),
    "shift to bundled digits: AUROC of -ELBO": ("often < .5", "reported", ">= .9"),
    "100 labels: error of a classifier on latents, mean of 10 draws": (
        "11.8 %", "<= 15 %", "<= 8 %",
    ),
}  # fmt: skip


def likelihoods(bench: Bench, name: str, samples: str) -> dict[str, Any]:
    """Evaluates a run on all test images, with numbers of importance samples."""
    run_dir = bench.trained(name, RUNS[name])
    start = time.perf_counter()
    numbers = evaluated(bench, run_dir, name, samples)
    return {
        "numbers": numbers,
        "training seconds": bench.seconds(run_dir),
        "evaluation seconds": round(time.perf_counter() - start),
    }


def evaluated(bench: Bench, run_dir: Path, title: str, samples: str) -> dict[str, list]:
    """Runs `evaluate.py`; its numbers, with their standard errors, by the title and their names."""
    output = bench.work / f"{title.replace(', ', '_')}.evaluation.json"
    flags = [f"--run_dir={run_dir}", f"--output={output}", f"--importance_samples={samples}"]
    flags.append("--measures=likelihood")
    run_process([str(PROJECT / "evaluate.py"), *flags])
    results = {}
    for number in json.loads(output.read_text())["numbers"]:
        if "latent dimension" in number["quantity"]:
            continue
        how = f", K = {number['samples']}" if number["samples"] else ""
        mean = [number["nats_per_image"], number["standard_error"]]
        results[f"{title}: {number['quantity']}{how}"] = mean
    return results


def few_labels(bench: Bench) -> dict[str, Any]:
    """Classifies test images by their posterior means, from 100 labelled training images."""
    from cvae_tf.exporting.load import load_newest
    from cvae_tf.models.vae.likelihoods import Pixels

    run_dir = bench.trained("20-D, dynamic", RUNS["20-D, dynamic"])
    model = load_newest(run_dir)
    train, test = (
        anomalies.encoded(model, bench.data[name], Pixels("threshold"))[1].mean
        for name in ("x_train", "x_test")
    )
    errors = []
    for draw in range(DRAWS):
        chosen = balanced_draw(bench.data["y_train"], 10, draw)
        found = spread_labels(train, bench.data["y_train"], chosen, test)
        errors.append(float(np.mean(found != bench.data["y_test"])))
    name = "100 labels: error of a classifier on latents, mean of 10 draws"
    numbers = {name: [float(np.mean(errors)), float(np.std(errors, ddof=1) / DRAWS**0.5)]}
    return {"numbers": numbers, "by draw": errors}


def balanced_draw(labels: np.ndarray, of_each: int, seed: int) -> np.ndarray:
    """Draws the indices of as many images of each label."""
    random = np.random.default_rng(seed)
    return np.concatenate(
        [
            random.choice(np.flatnonzero(labels == digit), of_each, replace=False)
            for digit in range(10)
        ]
    )


def spread_labels(
    train: np.ndarray, labels: np.ndarray, chosen: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Spreads the chosen labels over all training latents, then takes those of near latents."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.semi_supervised import LabelSpreading

    known = np.full(len(train), -1)
    known[chosen] = labels[chosen]
    spreading = LabelSpreading(kernel=neighbour_graph, alpha=0.99, max_iter=1000)
    spread = spreading.fit(train, known).transduction_
    return KNeighborsClassifier(NEIGHBOURS).fit(train, spread).predict(test)


def neighbour_graph(latents: np.ndarray, _: np.ndarray) -> Any:
    """Joins each to its nearest ones; scikit-learn's own kernel "knn" does so in one direction."""
    from sklearn.neighbors import kneighbors_graph

    graph = kneighbors_graph(latents, NEIGHBOURS)
    return graph.maximum(graph.T)


def as_table(results: dict[str, Any]) -> str:
    """Writes results beside references, and what they took."""
    measured = {}
    for result in results["results"].values():
        measured |= result["numbers"]
    lines = [
        f"{results['machine']}. All 10,000 test images of MNIST; likelihoods in nats per image +- "
        "standard error. Training and evaluation with seed 0, a digit left out with seeds 0 to 4; "
        "K samples of the posterior; pixels as the name says, grey levels for the digit left out.",
        "", "| what | reference | must | aim | measured |", "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, columns in REFERENCES.items():
        lines.append(f"| {name} | {' | '.join(columns)} | {show(name, *measured.pop(name))} |")
    lines += ["", "| also measured | |", "| --- | --- |"]
    lines += [f"| {name} | {show(name, *value)} |" for name, value in measured.items()]
    lines += ["", "| command | training, s |", "| --- | --- |"]
    commands = {name: [*flags, "--data_path=mnist.npz"] for name, flags in RUNS.items()}
    each = ["--seed=SEED", "--data_path=without_DIGIT.npz"]
    commands["one digit left out"] = [*anomalies.LEFT_OUT, *each]
    for name, flags in commands.items():
        seconds = results["results"][name]["training seconds"]
        together = " (all 50)" if name == "one digit left out" else ""
        lines.append(f"| `python train.py {' '.join(flags)}` | {seconds:.0f}{together} |")
    return "\n".join(lines) + "\n"


def show(name: str, value: float, error: float | None) -> str:
    """Writes a number in the unit of its name."""
    if "error of" in name:
        return f"{100 * value:.1f} % +- {100 * error:.1f}"
    return f"{value:.3f}" if error is None else f"{value:.2f} +- {error:.2f}"


def main() -> None:
    """Measures everything and writes the two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", type=Path, required=True, help="MNIST as an .npz of Keras")
    parser.add_argument("--work", type=Path, default=HERE / "quality_runs", help="what is kept")
    parser.add_argument("--output", type=Path, default=HERE, help="a folder for the two files")
    arguments = parser.parse_args()
    bench = Bench(arguments.data_path, arguments.work)
    measures = {
        "2-D, dynamic": lambda: likelihoods(bench, "2-D, dynamic", "500"),
        "2-D, threshold": lambda: likelihoods(bench, "2-D, threshold", "500"),
        "20-D, dynamic": lambda: likelihoods(bench, "20-D, dynamic", "500,5000"),
        "one digit left out": lambda: anomalies.left_out(bench),
        "shift": lambda: anomalies.shifts(
            bench, bench.trained("2-D, dynamic", RUNS["2-D, dynamic"])
        ),
        "100 labels": lambda: few_labels(bench),
    }
    results = {name: bench.kept(name, measure) for name, measure in measures.items()}
    report = {"machine": describe_machine(), "results": results}
    write_report(arguments.output, "quality", report, as_table)


if __name__ == "__main__":
    main()
