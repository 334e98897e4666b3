"""Unusual images, told by a VAE and by one Gaussian on the pixels: classes, digits, shifts.

    python benchmarks/unusual_images.py --cifar10 cifar10_jpeg --data_path mnist.npz

What is usual: a class of CIFAR-10 (a folder, `train/CLASS/...`, `test/CLASS/...`), MNIST without a
digit, or all of MNIST. The last training images (HELD_OUT) are not learned. They say what is usual,
and with them the Gaussian's kind was chosen. Every run and every score is kept in --work. Without
--seeds=1 and --digit_seeds=1 only the Gaussians are measured. Writes unusual_images.md. Needs
requirements-dev.txt; a class takes two to four minutes.
"""

import argparse
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from anomalies import LEFT_OUT, auroc, shifted_images
from shared import Bench, describe_machine

HERE = Path(__file__).parent
ONE_CLASS = ["--preset=photo", "--latent_dim=32", "--sampler=prior"]
HELD_OUT = {"class": 1000, "digit": 5000}
FULL = 0  # components: all, with the covariance shrunk (Ledoit & Wolf 2004)
KEPT = {  # components of a Gaussian that has one variance for the rest
    "class": (16, 32, 64, 128, 256, 512, FULL),
    "digit": (4, 8, 16, 32, 64, 128, FULL),
}
_AT_ONCE = 500  # images

Scored = tuple[np.ndarray, np.ndarray]  # scores [N], high: usual; complexities [N, 1 or 2]


class Task(NamedTuple):
    """Images uint8 [N, H, W, C] of one kind, and others."""

    learned: np.ndarray
    held_out: np.ndarray  # training images of the same kind
    other_held_out: np.ndarray  # training images of other kinds, for choosing
    usual: np.ndarray  # test images
    unusual: dict[str, np.ndarray]  # what is to be found


def class_of(cifar10: Path, number: int) -> Task:
    """A class of CIFAR-10 is usual; of the others 1,000 training and 1,000 test images count."""
    (images, labels), (test, of_test) = _pictures(cifar10)
    own, num = images[labels == number], HELD_OUT["class"]
    unusual = {"other classes": test[of_test != number][::9]}
    others = images[labels != number][::45]
    return Task(own[:-num], own[-num:], others, test[of_test == number], unusual)


@functools.cache
def _pictures(cifar10: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    import cvae_tf

    data = cvae_tf.load_dataset(data_path=cifar10)
    return [(split.images[:], np.asarray(split.labels)) for split in (data.train, data.test)]


def without(bench: Bench, digit: int) -> Task:
    """All digits but one are usual."""
    own, num = bench.data, HELD_OUT["digit"]
    parts = own["x_train"][:-num], own["x_train"][-num:], own["x_test"]
    labels = own["y_train"][:-num], own["y_train"][-num:], own["y_test"]
    both = zip(parts, labels, strict=True)
    (learned, _), (held_out, other), (usual, unusual) = (
        (x[y != digit, ..., None], x[y == digit, ..., None]) for x, y in both
    )
    return Task(learned, held_out, other, usual, {"the digit": unusual})


def all_digits(bench: Bench, cifar10: Path | None) -> Task:
    """Digits of MNIST are usual; other pictures are to be found."""
    unusual = {name: each[..., None] for name, each in shifted_images(bench.data["x_test"]).items()}
    if cifar10:
        middles = _pictures(cifar10)[1][0][:, 2:-2, 2:-2]
        grey = np.round(middles @ [0.299, 0.587, 0.114]).astype(np.uint8)
        unusual["CIFAR-10 in grey"] = grey[..., None]
    task = without(bench, -1)
    return task._replace(other_held_out=task.held_out[:1], unusual=unusual)


def _unit_floats(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), _AT_ONCE):
        yield images[start : start + _AT_ONCE].astype(np.float32) / 255


def _in_parts(images: np.ndarray, score: Callable[[np.ndarray], Scored]) -> Scored:
    parts = [score(part) for part in _unit_floats(images)]
    return tuple(np.concatenate(each) for each in zip(*parts, strict=True))


class Gaussian:
    """A Gaussian on the pixels, fitted by its moments."""

    def __init__(self, learned: np.ndarray):
        """Finds mean, directions and variances of images uint8 [N, H, W, C]."""
        from sklearn.covariance import ledoit_wolf_shrinkage

        flat = learned.reshape(len(learned), -1).astype(np.float64) / 255
        self.mean = flat.mean(axis=0)
        flat -= self.mean
        shrunk = ledoit_wolf_shrinkage(flat, assume_centered=True)
        variances, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
        self.variances, self.vectors = variances[::-1], vectors[:, ::-1].astype(np.float32)
        self.shrunk = (1 - shrunk) * self.variances + shrunk * self.variances.mean()

    def score(self, images: np.ndarray, kept: int) -> Scored:
        """Log density (but for a constant) of images [B, H, W, C] in [0, 1], and complexities.

        With `kept` components it is probabilistic PCA (Tipping & Bishop 1999), which has
        reconstructions; they have a complexity too.
        """
        from cvae_tf.models.vae import anomalies

        away = (images.reshape(len(images), -1) - self.mean).astype(np.float32)
        if kept == FULL:
            squares = np.square(away @ self.vectors) / self.shrunk
            score = -0.5 * (squares + np.log(self.shrunk)).sum(axis=1)
            return score, anomalies.complexities(images, images).numpy()[:, :1]
        variances, rest = self.variances[:kept], self.variances[kept:].mean()
        latents = away @ self.vectors[:, :kept]
        residual = np.square(away).sum(axis=1) - np.square(latents).sum(axis=1)
        score = -0.5 * ((np.square(latents) / variances).sum(axis=1) + residual / rest)
        score -= 0.5 * (np.log(variances).sum() + (len(self.mean) - kept) * np.log(rest))
        drawn = (latents * (1 - rest / variances)) @ self.vectors[:, :kept].T + self.mean
        drawn = drawn.reshape(images.shape).astype(np.float32)
        return score, anomalies.complexities(images, drawn).numpy()


def vae_score(run_dir: Path) -> Callable[[np.ndarray], Scored]:
    """The ELBO of a run's model, and the complexities of images and reconstructions."""
    import tensorflow as tf

    from cvae_tf.exporting.load import load_newest
    from cvae_tf.models.vae import anomalies

    model = load_newest(run_dir)
    measure = tf.function(
        lambda own: anomalies.elbos_and_complexities(model, own, None), autograph=False
    )
    return lambda images: tuple(each.numpy() for each in measure(tf.constant(images)))


def scored(
    bench: Bench, name: str, task: Task, make: Callable[[], Callable[[np.ndarray], Scored]]
) -> dict[str, Scored]:
    """Scores all images of a task unless it was done before."""
    sets = {"held out": task.held_out, "other held out": task.other_held_out}
    sets |= {"usual": task.usual, **task.unusual}
    if not (bench.work / f"{name}.npz").exists():
        score, arrays = make(), {}
        for kind, images in sets.items():
            arrays[f"{kind}/scores"], arrays[f"{kind}/complexities"] = _in_parts(images, score)
        bench.written(name, **arrays)
    with np.load(bench.work / f"{name}.npz") as kept:
        return {kind: (kept[f"{kind}/scores"], kept[f"{kind}/complexities"]) for kind in sets}


def relative(found: dict[str, Scored]) -> dict[str, np.ndarray]:
    """Scores less those of held-out images as complex, as `model.anomaly` makes them."""
    from cvae_tf.models.vae import anomalies

    scores, known = found["held out"]
    trends = anomalies.fit_trends(known, scores)[0].astype(np.float32)
    return {
        kind: anomalies.relative_scores(own.astype(np.float32), complexities, trends).numpy()
        for kind, (own, complexities) in found.items()
    }


def aurocs(scores: dict[str, np.ndarray]) -> dict[str, float]:
    """How well low scores tell what is unusual from test images, and from held-out ones."""
    usual = {"other held out": "held out"}
    return {
        kind: auroc(-scores[usual.get(kind, "usual")], -own)
        for kind, own in scores.items() if kind not in ("held out", "usual")
    }  # fmt: skip


def measure(bench: Bench, kind: str, name: str, task: Task, seeds: int) -> dict[str, Any]:
    """AUROCs of a task, {score: {what: AUROC}}; those with a model are means of seeds."""
    gaussian = functools.cache(lambda: Gaussian(task.learned))
    flags, name = (ONE_CLASS if kind == "class" else LEFT_OUT), f"{kind}_{name}"
    found, beside = {}, {}
    for kept in KEPT.get(kind, KEPT["digit"]):
        make = lambda: functools.partial(gaussian().score, kept=kept)  # noqa: B023, E731
        of_images = scored(bench, f"{name}_gaussian_{kept}", task, make)
        beside[kept] = relative(of_images)
        found[f"gaussian {kept}"] = aurocs({kind: own for kind, (own, _) in of_images.items()})
        found[f"gaussian {kept}, relative"] = aurocs(beside[kept])

    def trained(seed: int) -> Callable[[np.ndarray], Scored]:
        data = bench.written(name, x_train=task.learned, x_test=task.held_out)
        return vae_score(bench.trained(f"{name}_seed_{seed}", [*flags, f"--seed={seed}"], data))

    by_seed = []
    for seed in range(seeds):
        make = functools.partial(trained, seed)
        of_images = scored(bench, f"{name}_seed_{seed}_scores", task, make)
        own = {"elbo": {kind: each for kind, (each, _) in of_images.items()}}
        own["relative"] = relative(of_images)
        for kept, other in beside.items():
            own[f"both {kept}"] = together(own["relative"], other)
        by_seed.append({score: aurocs(values) for score, values in own.items()})
    for score, of_first in by_seed[0].items() if by_seed else ():
        found[score] = {
            what: float(np.mean([own[score][what] for own in by_seed])) for what in of_first
        }
    return found


def together(*scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The sum of several scores, each in units of its deviation among held-out images."""
    return {kind: sum(own[kind] / own["held out"].std() for own in scores) for kind in scores[0]}


def best(found: dict[str, dict]) -> list[str]:
    """Scores to show: of each kind that with the best mean AUROC of held-out images."""
    means: dict[str, dict[str, float]] = {}
    for name in next(iter(found.values())):
        kind = "".join(letter for letter in name if not letter.isdigit())
        mean = np.mean([own[name]["other held out"] for own in found.values()])
        means.setdefault(kind, {})[name] = float(mean)
    order = "elbo", "relative", "gaussian ", "gaussian , relative", "both "
    return [max(means[kind], key=means[kind].get) for kind in order if kind in means]


def as_table(report: dict[str, Any]) -> str:
    """Writes AUROCs of test images, then those by which the Gaussian was chosen."""
    lines = [
        f"{report['machine']}. AUROC of test images (1: always right; .5: by chance): of digits "
        "all, of CIFAR-10 as JPEG 1,000 of the class and 1,000 of the others. Models: of a class "
        f"`{' '.join(ONE_CLASS)}`, seeds below {report['seeds']}; of digits "
        f"`{' '.join(LEFT_OUT)}`, seeds below {report['digit_seeds']}. Held-out training images, "
        f"{HELD_OUT['class']} of a class and {HELD_OUT['digit']} digits, are not learned; they say "
        "what is usual, and chose the Gaussian. q: components of a Gaussian that has one variance "
        "for the rest (probabilistic PCA)."
    ]
    for kind, found in report["results"].items():
        columns = best(report["results"]["digit" if kind == "shift" else kind])
        titles = [_title(name) for name in columns]
        lines += ["", f"| {kind} | {' | '.join(titles)} |", "| --- " * (len(columns) + 1) + "|"]
        rows = {
            what if kind == "shift" else name: [own[column][what] for column in columns]
            for name, own in found.items()
            for what in next(iter(own.values())) if what != "other held out"
        }  # fmt: skip
        if kind != "shift":
            values = np.array(list(rows.values()))
            rows |= {"**mean**": values.mean(axis=0), "worst": values.min(axis=0)}
        lines += [f"| {name} | {_cells(own)} |" for name, own in rows.items()]
    for kind in ("class", "digit"):
        if found := report["results"].get(kind):
            title = f"{kind}, held-out training images"
            lines += ["", f"| {title} | mean | worst |", "| --- | --- | --- |"]
            for name in next(iter(found.values())):
                values = [own[name]["other held out"] for own in found.values()]
                lines.append(f"| {_title(name)} | {_cells([np.mean(values), min(values)])} |")
    return "\n".join(lines) + "\n"


def _cells(values: Any) -> str:
    return " | ".join(f"{value:.3f}".lstrip("0") for value in values)


def _title(name: str) -> str:
    if name in ("elbo", "relative"):
        return f"VAE, `{name}`"
    which, kept = re.match(r"(\w+) (\d+)", name).groups()
    kind = "full covariance" if int(kept) == FULL else f"q = {kept}"
    if which == "both":
        return f"sum of both `relative`, {kind}"
    return f"Gaussian, {kind}" + (", `relative`" if name.endswith("relative") else "")


def main() -> None:
    """Measures everything and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", type=Path, required=True, help="MNIST as an .npz of Keras")
    parser.add_argument("--cifar10", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--seeds", type=int, default=0, help="models of each class")
    parser.add_argument("--digit_seeds", type=int, default=0, help="of MNIST without each digit")
    parser.add_argument("--work", type=Path, default=HERE / "unusual_runs", help="what is kept")
    parser.add_argument("--output", type=Path, default=HERE / "unusual_images.md")
    arguments = parser.parse_args()
    bench, cifar10 = Bench(arguments.data_path, arguments.work), arguments.cifar10
    classes = sorted(path.name for path in (cifar10 / "train").iterdir())
    tasks = {
        "class": {name: functools.partial(class_of, cifar10, n) for n, name in enumerate(classes)},
        "digit": {str(digit): functools.partial(without, bench, digit) for digit in range(10)},
        "shift": {"all": functools.partial(all_digits, bench, cifar10)},
    }
    results: dict[str, dict] = {kind: {} for kind in tasks}
    for kind, of_kind in tasks.items():
        for name, make in of_kind.items():
            seeds = arguments.seeds if kind == "class" else arguments.digit_seeds
            results[kind][name] = measure(bench, kind, name, make(), seeds)
    report = {"machine": describe_machine(), "seeds": arguments.seeds}
    report |= {"digit_seeds": arguments.digit_seeds, "results": results}
    arguments.output.write_text(as_table(report), encoding="utf-8")


if __name__ == "__main__":
    main()
