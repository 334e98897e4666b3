"""Which score tells unusual images best: a digit left out, shifts of the images, one class.

    python benchmarks/anomaly_scores.py --data_path mnist.npz [--cifar10 FOLDER]

One model for each digit left out, and one of all digits for the shifts, each trained on the first
55,000 training images. A score is chosen on the last 5,000, and reported on the test images. Of
CIFAR-10, a folder of pictures (`train/CLASS/...`, `test/CLASS/...`), a class is what is usual. What
was trained and measured is kept in --work. Writes anomaly_scores.json and anomaly_scores.md beside
this file. Needs requirements-dev.txt; three quarters of an hour on two cores.
"""

import argparse
import functools
from collections.abc import Sequence
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
CLASSES = "automobile", "cat", "ship"  # of CIFAR-10, one for each model
ONE_CLASS = ["--preset=photo", "--latent_dim=32", "--sampler=prior", "--epochs=40"]
OF_CLASS = 500  # images of each kind that are scored
HELD_OUT = 1000  # of the class, which are not learned from
TITLES = {
    "elbo": "ELBO",
    "refined": "refined ELBO",
    "exact": f"exact log p(x) ({MOST_EXACT} images of each kind)",
    "typical": "distance of the ELBO from its median",
    "refined typical": "distance of the refined ELBO from its median",
    "regret": "likelihood regret (refined ELBO - ELBO)",
    "1 regret": "ELBO - regret",
    "2 regrets": "ELBO - 2 x regret",
    "4 regrets": "ELBO - 4 x regret",
    "relative": "**ELBO, relative to usual images as complex, or reconstructed so**",
    "relative by image": "the same, by how complex the image is alone",
    "relative by reconstruction": "the same, by its reconstruction alone",
    "relative refined": "refined ELBO, relative",
    "relative 1 regret": "ELBO - regret, relative",
    "relative 3 regrets": "ELBO - 3 x regret, relative",
    "mahalanobis": "Mahalanobis distance (reconstruction error, lengths of mean and deviation)",
    "refined mahalanobis": "the same of the refined posterior",
}


def scores(model: Any, grey: np.ndarray) -> dict[str, np.ndarray]:
    """Looks at images uint8 [N, H, W], or [N, H, W, C].

    Returns:
        elbo, refined [N], nats, complexities [N, 2], and features of both posteriors, each [N, 3].
    """
    from cvae_tf.evaluation import evaluating
    from cvae_tf.inference import importance_bounds
    from cvae_tf.models.vae import held_out_scores
    from cvae_tf.presets import REFINE_STEPS

    pixels, posteriors = encoded(model, grey, model.pixels)
    own = [], SCORING_SAMPLES, 0, 1000
    bounds = importance_bounds.bounds(model, pixels, posteriors, *own)
    better = evaluating.refine_posteriors(model, pixels, None, REFINE_STEPS, 1000)
    of_better = importance_bounds.bounds(model, pixels, better, *own)
    reconstructed = _decoded(model, posteriors.mean)
    deviations = np.sqrt(np.exp(posteriors.logvar).sum(axis=1))
    of_refined = np.sqrt(np.square(better.factor).sum(axis=(1, 2)))
    return {
        "elbo": bounds.log_likelihood - importance_bounds.kl_per_dimension(posteriors).sum(axis=1),
        "refined": of_better.log_likelihood - better.kl().numpy(),
        "complexities": held_out_scores.complexities(pixels, reconstructed).numpy(),
        "features": _features(reconstructed - pixels, posteriors.mean, deviations),
        "refined features": _features(
            _decoded(model, better.mean) - pixels, better.mean, of_refined
        ),
    }


def _decoded(model: Any, latents: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C] of latents."""
    parts = (latents[start : start + 1000] for start in range(0, len(latents), 1000))
    return np.concatenate([model.pixels.density.mean(model.parameters(part)) for part in parts])


def _features(errors: np.ndarray, mean: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """Mean squared error of the reconstruction, |mean| and |deviation|, as logarithms, [N, 3]."""
    squared, lengths = np.mean(np.square(errors), axis=(1, 2, 3)), np.linalg.norm(mean, axis=1)
    return np.log(np.stack([squared, lengths, deviations], axis=1) + 1e-6)


def exact(model: Any, grey: np.ndarray) -> np.ndarray:
    """Integrates log p(x) of images uint8 [N, H, W], [N]."""
    from cvae_tf.evaluation import evaluating
    from cvae_tf.evaluation.settings import EvaluationSettings

    pixels, _ = encoded(model, grey, model.pixels)
    settings = EvaluationSettings(importance_samples="1")
    return evaluating.measure(model, pixels, settings).exact.log_evidence


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
    regrets = [each["refined"] - each["elbo"] for each in (usual, unusual)]
    found["regret"] = auroc(*regrets)
    for times, name in ((1, "1 regret"), (2, "2 regrets"), (4, "4 regrets")):
        elbos = (each["elbo"] for each in (usual, unusual))
        found[name] = auroc(*(times * r - e for r, e in zip(regrets, elbos, strict=True)))
    for times, name in ((0, ""), (1, " 1 regret"), (3, " 3 regrets"), (-1, " refined")):
        found[f"relative{name}"] = auroc(*(_relative(known, e, times) for e in (usual, unusual)))
    for own, name in (([0], "image"), ([1], "reconstruction")):
        of_both = (_relative(known, each, 0, own) for each in (usual, unusual))
        found[f"relative by {name}"] = auroc(*of_both)
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


def _relative(
    known: dict, images: dict, regrets: float, which: Sequence[int] = (0, 1)
) -> np.ndarray:
    """ELBO less so many regrets, compared with usual images as complex; high: unusual."""
    from cvae_tf.models.vae import held_out_scores

    own, scores = (e["elbo"] - regrets * (e["refined"] - e["elbo"]) for e in (known, images))
    of_known, of_images = (each["complexities"][:, which] for each in (known, images))
    trends = held_out_scores.fit_trends(of_known, own)[0].astype(np.float32)
    return -held_out_scores.relative_scores(scores.astype(np.float32), of_images, trends).numpy()


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


def shifts(bench: Bench, cifar10: Path | None) -> dict[str, Any]:
    """Tells images that are no digits of MNIST, of the test set alone."""
    model, test = _trained(bench, "all_digits", None), bench.data["x_test"]
    shifted = shifted_images(test)
    if cifar10:
        shifted["CIFAR-10 in grey"] = _in_grey(_colours(cifar10).test.images[:])
    known, usual = scores(model, bench.data["x_train"][TRAINED_ON:]), scores(model, test)
    return {name: aurocs(known, usual, scores(model, each)) for name, each in shifted.items()}


def one_class(bench: Bench, cifar10: Path, name: str) -> dict[str, Any]:
    """Trains on one class of CIFAR-10, and tells the other classes from it."""
    from cvae_tf.data.inspection import evenly_spaced_indices

    data = _colours(cifar10)
    number, parts = data.class_names.index(name), {}
    for part, split in (("held_out", data.train), ("test", data.test)):
        labels = np.asarray(split.labels)
        of_class, others = np.flatnonzero(labels == number), np.flatnonzero(labels != number)
        others = others[evenly_spaced_indices(len(others), OF_CLASS)]
        parts[part] = split.images[of_class], split.images[others]
    (of_class, others), (test, test_others) = parts["held_out"], parts["test"]
    learned, held_out = of_class[:-HELD_OUT], of_class[-HELD_OUT:]
    path = bench.written(f"only_{name}", x_train=learned, x_test=held_out)
    model = _model(bench.trained(f"only_{name}", ONE_CLASS, path))
    known, usual = scores(model, held_out[::2]), scores(model, held_out[1::2])
    return {
        "held_out": aurocs(known, usual, scores(model, others)),
        "test": aurocs(known, scores(model, test[:OF_CLASS]), scores(model, test_others)),
    }


@functools.cache
def _colours(cifar10: Path) -> Any:
    from cvae_tf.data.loading import load_dataset

    return load_dataset(data_path=cifar10)


def _in_grey(images: np.ndarray) -> np.ndarray:
    """The middles of colour images [N, 32, 32, 3], as grey levels uint8 [N, 28, 28]."""
    return np.round(images[:, 2:-2, 2:-2] @ [0.299, 0.587, 0.114]).astype(np.uint8)


def _trained(bench: Bench, name: str, without: int | None) -> Any:
    """Trains on the first training images, without a digit; the model to evaluate."""
    wanted, images = bench.data["y_train"] != without, bench.data["x_train"]
    parts = {"x_train": slice(None, TRAINED_ON), "x_test": slice(TRAINED_ON, None)}
    arrays = {key: images[own][wanted[own]] for key, own in parts.items()}
    return _model(bench.trained(name, LEFT_OUT, bench.written(name, **arrays)))


def _model(run_dir: Path) -> Any:
    from cvae_tf.exporting.load import load_newest

    return load_newest(run_dir)


def as_table(report: dict[str, Any]) -> str:
    """Writes AUROCs: in the mean and the worst of several models, and of each shift."""
    from cvae_tf.presets import REFINE_STEPS

    results = report["results"]
    shift, columns = results["shifts"], {}
    for title, names in (("digit left out", range(10)), ("one class", CLASSES)):
        of_kind = [results[f"{title} {name}"] for name in names if f"{title} {name}" in results]
        for part, of_part in (("held_out", "held-out images"), ("test", "test images")):
            if of_kind:
                columns[f"{title}, {of_part}"] = [each[part] for each in of_kind]
    lines = [
        f"{report['machine']}. AUROC (mean, worst) of single models, seed 0, with "
        f"{REFINE_STEPS} Gauss-Newton steps. Digits: `{' '.join(LEFT_OUT)}`, 55,000 training "
        f"images. Classes of CIFAR-10 as JPEG ({', '.join(CLASSES)}): `{' '.join(ONE_CLASS)}`, "
        f"{OF_CLASS} images of the class and of all others.",
        "",
        f"| score | {' | '.join([*columns, *shift])} |",
        f"| --- |{' --- |' * (len(columns) + len(shift))}",
    ]
    for name, title in TITLES.items():
        cells = []
        for models in columns.values():
            values = [each[name] for each in models if name in each]
            cells.append(f"{np.mean(values):.3f}, {min(values):.3f}" if values else "")
        cells += [f"{each[name]:.3f}" if name in each else "" for each in shift.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures everything and writes the two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", type=Path, required=True, help="MNIST as an .npz of Keras")
    parser.add_argument("--cifar10", type=Path, help="a folder of pictures, for one class as usual")
    parser.add_argument("--work", type=Path, default=HERE / "anomaly_runs", help="what is kept")
    parser.add_argument("--output", type=Path, default=HERE, help="a folder for the two files")
    arguments = parser.parse_args()
    bench, cifar10 = Bench(arguments.data_path, arguments.work), arguments.cifar10
    measures = {
        f"digit left out {digit}": functools.partial(left_out, bench, digit) for digit in range(10)
    }
    shifted = "shifts and CIFAR-10" if cifar10 else "shifts"
    measures[shifted] = functools.partial(shifts, bench, cifar10)
    if cifar10:
        for name in CLASSES:
            measures[f"one class {name}"] = functools.partial(one_class, bench, cifar10, name)
    results = {name: bench.kept(name, measure) for name, measure in measures.items()}
    results["shifts"] = results.pop(shifted)
    report = {"machine": describe_machine(), "results": results}
    write_report(arguments.output, "anomaly_scores", report, as_table)


if __name__ == "__main__":
    main()
