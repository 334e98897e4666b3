"""How good the models are: likelihoods, anomalies, shifts, few labels, beside published figures.

    python benchmarks/quality.py --data_path mnist.npz

Trains by the commands in RUNS and measures on the test images. Every training run and every result
is kept in --work, so that the program can be broken off and goes on. Writes quality.json and
quality.md beside this file. Needs requirements-dev.txt; about an hour on two cores.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import PROJECT, describe_machine, run_process

HERE = Path(__file__).parent
DIGITS = range(10)
SCORING_SAMPLES = 10
DRAWS = 10
NEIGHBOURS = 10
RUNS = {
    "2-D, dynamic": ["--preset=best", "--binarize=dynamic"],
    "2-D, threshold": ["--preset=best"],
    "20-D, dynamic": [
        "--preset=best", "--network=patches_smooth", "--binarize=dynamic", "--latent_dim=20",
        "--epochs=100",
    ],
}  # fmt: skip
LEFT_OUT = ["--preset=fast", "--binarize=none", "--likelihood=gaussian", "--epochs=6"]
REFERENCES = {
    "2-D, dynamic: importance-weighted bound, K = 500": ("-135.7", ">= -135.7", ">= -132.5"),
    "2-D, dynamic: log p(x), exact": ("none published", "reported", "-"),
    "2-D, threshold: log p(x), exact": ("none published", "reported", "-"),
    "20-D, dynamic: importance-weighted bound, K = 500": (
        "-86.35 (VAE), -84.6 (IWAE-50), K = 5000", ">= -88.0", ">= -84.3",
    ),
    "one digit left out: AUROC of -ELBO, mean": (".855", ">= .88", ">= .92"),
    "one digit left out: AUROC of -ELBO, worst": (".66", ">= .70", ">= .80"),
    "shift to rotated: AUROC of -ELBO": ("often < .5", "reported", ">= .9"),
    "shift to inverted: AUROC of -ELBO": ("often < .5", "reported", ">= .9"),
    "shift to noise: AUROC of -ELBO": ("often < .5", "reported", ">= .9"),
    "shift to bundled digits: AUROC of -ELBO": ("often < .5", "reported", ">= .9"),
    "100 labels: error of a classifier on latents, mean of 10 draws": (
        "11.8 %", "<= 15 %", "<= 8 %",
    ),
}  # fmt: skip


class Bench:
    """The data, and a folder that keeps what was trained and measured."""

    def __init__(self, data_path: Path, work: Path):
        self.data_path, self.work = data_path.absolute(), work
        with np.load(data_path, allow_pickle=False) as arrays:
            self.data = {name: arrays[name] for name in arrays.files}
        work.mkdir(parents=True, exist_ok=True)

    def trained(self, name: str, flags: list[str], data_path: Path | None = None) -> Path:
        """Trains a run unless it is there, and returns its directory."""
        run_dir = self.work / name.replace(", ", "_")
        if not (run_dir / "export").exists():
            command = [str(PROJECT / "train.py"), f"--run_dir={run_dir}", *flags]
            start = time.perf_counter()
            run_process([*command, f"--data_path={data_path or self.data_path}"])
            (run_dir / "seconds.txt").write_text(f"{time.perf_counter() - start:.0f}\n")
        return run_dir

    def kept(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Measures something unless it was measured before."""
        path = self.work / f"{name}.json"
        if not path.exists():
            result = measure()
            path.write_text(json.dumps(result, indent=1))
            print(name, result, flush=True)
        return json.loads(path.read_text())


def likelihoods(bench: Bench, name: str) -> dict[str, Any]:
    """Evaluates a run on all test images."""
    run_dir = bench.trained(name, RUNS[name])
    start = time.perf_counter()
    numbers = evaluated(bench, run_dir, name, "--importance_samples=500")
    return {
        "numbers": numbers,
        "training seconds": float((run_dir / "seconds.txt").read_text()),
        "evaluation seconds": round(time.perf_counter() - start),
    }


def more_samples(bench: Bench) -> dict[str, Any]:
    """Shows on a tenth of the test images what ten times as many samples change."""
    run_dir = bench.trained("20-D, dynamic", RUNS["20-D, dynamic"])
    tenth = (bench.work / "tenth.npz").absolute()
    np.savez_compressed(tenth, x_test=bench.data["x_test"][:1000])
    flags = ["--importance_samples=500,5000", f"--data_path={tenth}"]
    return {"numbers": evaluated(bench, run_dir, "20-D, dynamic, first 1,000 images", *flags)}


def evaluated(bench: Bench, run_dir: Path, title: str, *flags: str) -> dict[str, list]:
    """Runs `evaluate.py`; its numbers, with their standard errors, by the title and their names."""
    output = bench.work / f"{title.replace(', ', '_')}.evaluation.json"
    command = [f"--run_dir={run_dir}", f"--output={output}", *flags]
    run_process([str(PROJECT / "evaluate.py"), *command])
    results = {}
    for number in json.loads(output.read_text())["numbers"]:
        how = f", K = {number['samples']}" if number["samples"] else ""
        mean = [number["nats_per_image"], number["standard_error"]]
        results[f"{title}: {number['quantity']}{how}"] = mean
    return results


def elbos(run_dir: Path, grey: np.ndarray) -> np.ndarray:
    """Scores images uint8 [N, H, W]: the ELBO of each by ten posterior samples, [N]."""
    from cvae_tf import evaluation, subject

    model = subject.from_run(str(run_dir))
    levels = grey[..., None].astype(np.float32) / 255
    pixels = subject.draw_pixels(levels, model.binarize, seed=0)
    posteriors = evaluation.encode(model, pixels, 1000)
    bounds = evaluation.bounds(model, pixels, posteriors, [], SCORING_SAMPLES, 0, 1000)
    return bounds.log_likelihood - evaluation.kl_per_dimension(posteriors).sum(axis=1)


def auroc(usual: np.ndarray, unusual: np.ndarray) -> float:
    """How well high scores tell the unusual from the usual."""
    from sklearn.metrics import roc_auc_score

    labels = np.repeat([0, 1], [len(usual), len(unusual)])
    return float(roc_auc_score(labels, np.concatenate([usual, unusual])))


def left_out(bench: Bench) -> dict[str, Any]:
    """Trains without one digit after another, and tells that digit by its low ELBO."""
    results = {}
    for digit in DIGITS:
        path = bench.work / f"without_{digit}.npz"
        if not path.exists():
            parts = {}
            for part in ("train", "test"):
                others = bench.data[f"y_{part}"] != digit
                parts[f"x_{part}"] = bench.data[f"x_{part}"][others]
            np.savez_compressed(path, **parts)
        run_dir = bench.trained(f"without_{digit}", LEFT_OUT, path)
        scores = -elbos(run_dir, bench.data["x_test"])
        unusual = bench.data["y_test"] == digit
        results[str(digit)] = auroc(scores[~unusual], scores[unusual])
    values = list(results.values())
    title = "one digit left out: AUROC of -ELBO"
    numbers = {
        f"{title}, mean": [float(np.mean(values)), None],
        f"{title}, worst": [min(values), None],
    }
    return {"numbers": numbers, "by digit": results}


def shifts(bench: Bench) -> dict[str, Any]:
    """Tells test images that are unlike MNIST by their ELBO, and by how unusual that is."""
    from cvae_tf.datasets import load_digits

    run_dir = bench.trained("2-D, dynamic", RUNS["2-D, dynamic"])
    test, random = bench.data["x_test"], np.random.default_rng(0)
    shifted = {
        "rotated": np.rot90(test, axes=(1, 2)),
        "inverted": 255 - test,
        "noise": random.integers(0, 256, test.shape, np.uint8),
        "bundled digits": load_digits().test.images[..., 0],
    }
    typical = np.median(elbos(run_dir, bench.data["x_train"][:5000]))
    usual = elbos(run_dir, test)
    numbers = {}
    for name, images in shifted.items():
        unusual = elbos(run_dir, images)
        numbers[f"shift to {name}: AUROC of -ELBO"] = [auroc(-usual, -unusual), None]
        distances = (np.abs(scores - typical) for scores in (usual, unusual))
        numbers[f"shift to {name}: AUROC of the distance from the median ELBO in training"] = [
            auroc(*distances), None,
        ]  # fmt: skip
    return {"numbers": numbers}


def few_labels(bench: Bench) -> dict[str, Any]:
    """Classifies test images by their posterior means, from 100 labelled training images."""
    from cvae_tf import evaluation, subject

    model = subject.from_run(str(bench.trained("20-D, dynamic", RUNS["20-D, dynamic"])))

    def means(grey: np.ndarray) -> np.ndarray:
        levels = grey[..., None].astype(np.float32) / 255
        pixels = subject.draw_pixels(levels, "threshold", seed=0)
        return evaluation.encode(model, pixels, 1000).mean

    train, test = means(bench.data["x_train"][:20_000]), means(bench.data["x_test"])
    errors = []
    for draw in range(DRAWS):
        chosen = balanced_draw(bench.data["y_train"][: len(train)], 10, draw)
        found = spread_labels(train, bench.data["y_train"], chosen, test)
        errors.append(float(np.mean(found != bench.data["y_test"])))
    name = "100 labels: error of a classifier on latents, mean of 10 draws"
    numbers = {name: [float(np.mean(errors)), float(np.std(errors, ddof=1) / DRAWS**0.5)]}
    return {"numbers": numbers, "by draw": errors}


def balanced_draw(labels: np.ndarray, of_each: int, seed: int) -> np.ndarray:
    """Draws the indices of as many images of each label."""
    random = np.random.default_rng(seed)
    return np.concatenate([
        random.choice(np.flatnonzero(labels == digit), of_each, replace=False) for digit in DIGITS
    ])  # fmt: skip


def spread_labels(
    train: np.ndarray, labels: np.ndarray, chosen: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Spreads the chosen labels over all training latents, then takes those of near latents."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.semi_supervised import LabelSpreading

    known = np.full(len(train), -1)
    known[chosen] = labels[chosen]
    spreading = LabelSpreading(kernel="knn", n_neighbors=NEIGHBOURS, alpha=0.9, max_iter=50)
    spread = spreading.fit(train, known).transduction_
    return KNeighborsClassifier(NEIGHBOURS).fit(train, spread).predict(test)


def as_table(results: dict[str, Any]) -> str:
    """Writes results beside references, and what they took."""
    measured = {}
    for result in results["results"].values():
        measured |= result["numbers"]
    lines = [
        f"{results['machine']}. Likelihoods in nats per image, on all 10,000 test images of MNIST.",
        "", "| what | reference | must | aim | measured |", "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, columns in REFERENCES.items():
        lines.append(f"| {name} | {' | '.join(columns)} | {show(name, *measured.pop(name))} |")
    lines += ["", "| also measured | |", "| --- | --- |"]
    lines += [f"| {name} | {show(name, *value)} |" for name, value in measured.items()]
    lines += ["", "| command | training, s |", "| --- | --- |"]
    for name, flags in RUNS.items():
        seconds = results["results"][name]["training seconds"]
        lines.append(
            f"| `python train.py {' '.join(flags)} --data_path=mnist.npz` | {seconds:.0f} |"
        )
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
    arguments = parser.parse_args()
    bench = Bench(arguments.data_path, arguments.work)
    measures = {
        "2-D, dynamic": lambda: likelihoods(bench, "2-D, dynamic"),
        "2-D, threshold": lambda: likelihoods(bench, "2-D, threshold"),
        "20-D, dynamic": lambda: likelihoods(bench, "20-D, dynamic"),
        "20-D, more samples": lambda: more_samples(bench),
        "one digit left out": lambda: left_out(bench),
        "shift": lambda: shifts(bench),
        "100 labels": lambda: few_labels(bench),
    }
    results = {name: bench.kept(name, measure) for name, measure in measures.items()}
    report = {"machine": describe_machine(), "results": results}
    (HERE / "quality.json").write_text(json.dumps(report, indent=1) + "\n")
    (HERE / "quality.md").write_text(as_table(report))
    print(as_table(report))


if __name__ == "__main__":
    main()
