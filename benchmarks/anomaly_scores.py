"""Which score tells unusual images best: a digit left out of training, and shifts of the images.

    python benchmarks/anomaly_scores.py --data_path mnist.npz [--colours cifar10_small.npz]

One model for each digit left out, and one of all digits for the shifts, each trained on the first
55,000 training images. A score is chosen on the last 5,000, and reported on the test images. What
was trained and measured is kept in --work. Writes anomaly_scores.json and anomaly_scores.md beside
this file. Needs requirements-dev.txt; about half an hour on two cores.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from anomalies import LEFT_OUT, SCORING_SAMPLES, auroc, encoded, shifted_images
from machine import describe_machine
from reports import write_report
from trained_runs import Bench

HERE = Path(__file__).parent
TRAINED_ON = 55_000
MOST_EXACT = 500  # images of each kind that are integrated, which takes long
TITLES = {
    "elbo": "ELBO",
    "refined": "refined ELBO",
    "exact": f"exact log p(x) ({MOST_EXACT} images of each kind)",
    "typical": "distance of the ELBO from its median",
    "refined typical": "distance of the refined ELBO from its median",
    "regret": "likelihood regret (refined ELBO - ELBO)",
    "mahalanobis": "Mahalanobis distance (reconstruction error, |mean|, |deviation|)",
    "refined mahalanobis": "the same of the refined posterior",
}


def scores(model: Any, grey: np.ndarray) -> dict[str, np.ndarray]:
    """Looks at images uint8 [N, H, W].

    Returns:
        elbo, refined [N], nats, and features of both posteriors, each [N, 3].
    """
    from cvae_tf.evaluation import refined, sampled_bounds
    from cvae_tf.models.vae import amounts

    pixels, posteriors = encoded(model, grey, model.pixels)
    own = [], SCORING_SAMPLES, 0, 1000
    bounds = sampled_bounds.bounds(model, pixels, posteriors, *own)
    better = refined.refine(model, pixels, None, amounts.STEPS, 1000)
    of_better = sampled_bounds.bounds(model, pixels, better, *own)
    deviations = np.sqrt(np.square(better.factor).sum(axis=(1, 2)))
    return {
        "elbo": bounds.log_likelihood - sampled_bounds.kl_per_dimension(posteriors).sum(axis=1),
        "refined": of_better.log_likelihood - better.kl().numpy(),
        "features": _features(
            model, pixels, posteriors.mean, np.sqrt(np.exp(posteriors.logvar).sum(axis=1))
        ),
        "refined features": _features(model, pixels, better.mean, deviations),
    }


def _features(
    model: Any, pixels: np.ndarray, mean: np.ndarray, deviations: np.ndarray
) -> np.ndarray:
    """Mean squared error of the reconstruction, |mean| and |deviation|, as logarithms, [N, 3]."""
    decode, errors = model.pixels.density.mean, []
    for start in range(0, len(pixels), 1000):
        part = slice(start, start + 1000)
        made = decode(model.decode(mean[part])).numpy()
        errors.append(np.mean((made - pixels[part]) ** 2, axis=(1, 2, 3)))
    lengths = np.linalg.norm(mean, axis=1)
    return np.log(np.stack([np.concatenate(errors), lengths, deviations], axis=1) + 1e-6)


def exact(model: Any, grey: np.ndarray) -> np.ndarray:
    """Integrates log p(x) of images uint8 [N, H, W], [N]."""
    from cvae_tf.evaluation import measuring
    from cvae_tf.evaluation.settings import EvaluationSettings

    pixels, _ = encoded(model, grey, model.pixels)
    settings = EvaluationSettings(importance_samples="1")
    return measuring.measure(model, pixels, settings).exact.log_evidence


def aurocs(known: dict, usual: dict, unusual: dict) -> dict[str, float]:
    """How well each score tells unusual images from usual ones, by other usual ones.

    Args:
        known: `scores` of usual images that say what is usual.
        usual: of usual images.
        unusual: of unusual ones.
    """
    found = {}
    for name in ("elbo", "refined"):
        median = np.median(known[name])
        found[name] = auroc(-usual[name], -unusual[name])
        typical = "typical" if name == "elbo" else "refined typical"
        found[typical] = auroc(*(np.abs(each[name] - median) for each in (usual, unusual)))
    found["regret"] = auroc(*(each["refined"] - each["elbo"] for each in (usual, unusual)))
    for name, features in (
        ("mahalanobis", "features"),
        ("refined mahalanobis", "refined features"),
    ):
        centre, spread = known[features].mean(axis=0), np.cov(known[features].T)
        found[name] = auroc(
            *(_mahalanobis(each[features], centre, spread) for each in (usual, unusual))
        )
    if "exact" in usual:
        found["exact"] = auroc(-usual["exact"], -unusual["exact"])
    return found


def _mahalanobis(features: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
    away = features - centre
    return np.einsum("ni,ij,nj->n", away, np.linalg.inv(spread), away)


def left_out(bench: Bench, digit: int) -> dict[str, Any]:
    """Trains without a digit, and tells it from the others."""
    model = _trained(bench, f"without_{digit}", digit)
    parts = {
        "held_out": (bench.data["x_train"][TRAINED_ON:], bench.data["y_train"][TRAINED_ON:]),
        "test": (bench.data["x_test"], bench.data["y_test"]),
    }
    found = {}
    for part, (images, labels) in parts.items():
        usual, unusual = images[labels != digit], images[labels == digit]
        known, usual = usual[::2], usual[1::2]
        of_all = [scores(model, each) for each in (known, usual, unusual)]
        if part == "test":
            for each, images_of in zip(of_all[1:], (usual, unusual), strict=True):
                each["exact"] = exact(model, images_of[:MOST_EXACT])
        found[part] = aurocs(*of_all)
    return found


def shifts(bench: Bench, colours: Path | None) -> dict[str, Any]:
    """Tells images that are no digits of MNIST, of the test set alone."""
    model, test = _trained(bench, "all_digits", None), bench.data["x_test"]
    shifted = shifted_images(test)
    if colours:
        with np.load(colours) as arrays:
            shifted["CIFAR-10 in grey"] = _in_grey(arrays["x_test"])
    known, usual = scores(model, bench.data["x_train"][TRAINED_ON:]), scores(model, test)
    return {name: aurocs(known, usual, scores(model, each)) for name, each in shifted.items()}


def _in_grey(images: np.ndarray) -> np.ndarray:
    """The middles of colour images [N, 32, 32, 3], as grey levels uint8 [N, 28, 28]."""
    return np.round(images[:, 2:-2, 2:-2] @ [0.299, 0.587, 0.114]).astype(np.uint8)


def _trained(bench: Bench, name: str, without: int | None) -> Any:
    """Trains on the first training images, without a digit; the model to evaluate."""
    from cvae_tf.evaluation import subjects

    path = bench.work / f"{name}.npz"
    if not path.exists():
        wanted = bench.data["y_train"] != without
        parts = {"x_train": slice(None, TRAINED_ON), "x_test": slice(TRAINED_ON, None)}
        images = bench.data["x_train"]
        temporary = path.with_name(f"part_{path.name}")
        np.savez(temporary, **{key: images[own][wanted[own]] for key, own in parts.items()})
        temporary.rename(path)
    run_dir = bench.trained(name, LEFT_OUT, path)
    return subjects.from_run(str(run_dir)).with_likelihood()


def as_table(report: dict[str, Any]) -> str:
    """Writes AUROCs: a digit left out, in the mean and the worst, and each shift."""
    from cvae_tf.models.vae import amounts

    results = report["results"]
    digits = [results[f"without_{digit}"] for digit in range(10)]
    shift = results["shifts"]
    lines = [
        f"{report['machine']}. AUROC of one model, two latents, grey levels "
        f"(`{' '.join(LEFT_OUT)}`, 55,000 training images, seed 0); {amounts.STEPS} "
        "Gauss-Newton steps.",
        "",
        "| score | digit left out, held-out images: mean, worst | test images: mean, worst "
        f"| {' | '.join(shift)} |",
        f"| --- |{' --- |' * (2 + len(shift))}",
    ]
    for name, title in TITLES.items():
        cells = []
        for part in ("held_out", "test"):
            values = [digit[part][name] for digit in digits if name in digit[part]]
            cells.append(f"{np.mean(values):.3f}, {min(values):.3f}" if values else "")
        cells += [f"{each[name]:.3f}" if name in each else "" for each in shift.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures everything and writes the two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", type=Path, required=True, help="MNIST as an .npz of Keras")
    parser.add_argument("--colours", type=Path, help="CIFAR-10 as an .npz, for one more shift")
    parser.add_argument("--work", type=Path, default=HERE / "anomaly_runs", help="what is kept")
    parser.add_argument("--output", type=Path, default=HERE, help="a folder for the two files")
    arguments = parser.parse_args()
    bench = Bench(arguments.data_path, arguments.work)
    results = {
        f"without_{digit}": bench.kept(f"without_{digit}.scores", lambda: left_out(bench, digit))  # noqa: B023
        for digit in range(10)
    }
    results["shifts"] = bench.kept("shifts", lambda: shifts(bench, arguments.colours))
    report = {"machine": describe_machine(), "results": results}
    write_report(arguments.output, "anomaly_scores", report, as_table)


if __name__ == "__main__":
    main()
