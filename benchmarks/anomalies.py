"""Images unlike those of the training, told by their ELBO: a part of quality.py."""

from pathlib import Path
from typing import Any

import numpy as np
from shared import Bench

LEFT_OUT = ["--preset=fast", "--binarize=none", "--likelihood=gaussian", "--epochs=12"]
SEEDS = range(5)  # of the models whose mean is taken
SCORING_SAMPLES = 10


def left_out(bench: Bench) -> dict[str, Any]:
    """Trains without one digit after another, and tells that digit by its low ELBO.

    Single models differ much in how well they happen to draw a digit that they never saw. The mean
    of the ELBOs of several is itself an ELBO, of their mixture: the posterior of which model it
    was is then taken to be uniform, as its prior is.
    """
    from cvae_tf.exporting.load import load_newest

    together, single, seconds = [], [], 0.0
    for digit in range(10):
        data_path, unusual = _without(bench, digit), bench.data["y_test"] == digit
        scores = []
        for seed in SEEDS:
            flags = [*LEFT_OUT, f"--seed={seed}"]
            run_dir = bench.trained(f"without_{digit}_seed_{seed}", flags, data_path)
            model = load_newest(run_dir)
            scores.append(-elbos(model, bench.data["x_test"]))
            seconds += bench.seconds(run_dir)
        together.append(_auroc_among(np.mean(scores, axis=0), unusual))
        single.append([_auroc_among(each, unusual) for each in scores])
    values = {
        "five models: AUROC of -ELBO, mean": np.mean(together),
        "five models: AUROC of -ELBO, worst": min(together),
        "a single model: AUROC of -ELBO, mean": np.mean(single),
        "a single model: AUROC of -ELBO, worst": np.mean(np.min(single, axis=0)),
    }
    numbers = {f"one digit left out, {name}": [float(of), None] for name, of in values.items()}
    return {
        "numbers": numbers,
        "five models, by digit": together,
        "single models, by digit and seed": single,
        "training seconds": seconds,  # of all
    }


def _without(bench: Bench, digit: int) -> Path:
    """Writes the data without a digit, for training."""
    parts = {}
    for part in ("train", "test"):
        others = bench.data[f"y_{part}"] != digit
        parts[f"x_{part}"] = bench.data[f"x_{part}"][others]
    return bench.written(f"without_{digit}", **parts)


def _auroc_among(scores: np.ndarray, unusual: np.ndarray) -> float:
    return auroc(scores[~unusual], scores[unusual])


def shifts(bench: Bench, run_dir: Path) -> dict[str, Any]:
    """Tells test images that are unlike MNIST by their ELBO, and by how unusual that is."""
    from cvae_tf.exporting.load import load_newest

    model, test = load_newest(run_dir), bench.data["x_test"]
    shifted = shifted_images(test)
    typical = np.median(elbos(model, bench.data["x_train"][:5000]))
    usual = elbos(model, test)
    numbers = {}
    for name, images in shifted.items():
        unusual = elbos(model, images)
        numbers[f"shift to {name}: AUROC of -ELBO"] = [auroc(-usual, -unusual), None]
        distances = (np.abs(scores - typical) for scores in (usual, unusual))
        numbers[f"shift to {name}: AUROC of the distance from the median ELBO in training"] = [
            auroc(*distances), None,
        ]  # fmt: skip
    return {"numbers": numbers}


def shifted_images(test: np.ndarray) -> dict[str, np.ndarray]:
    """Images uint8 [N, 28, 28] that are no digits of MNIST, some made of its test images."""
    from cvae_tf.data.loading import load_dataset

    return {
        "rotated": np.rot90(test, axes=(1, 2)),
        "inverted": 255 - test,
        "noise": np.random.default_rng(0).integers(0, 256, test.shape, np.uint8),
        "bundled digits": load_dataset("digits").test.images[..., 0],
    }


def elbos(model: Any, grey: np.ndarray) -> np.ndarray:
    """Scores images uint8 [N, H, W]: the ELBO of each by ten posterior samples, [N]."""
    from cvae_tf.inference import importance_bounds

    pixels, posteriors = encoded(model, grey, model.pixels)
    bounds = importance_bounds.bounds(model, pixels, posteriors, [], SCORING_SAMPLES, 0, 1000)
    return bounds.log_likelihood - importance_bounds.kl_per_dimension(posteriors).sum(axis=1)


def encoded(model: Any, grey: np.ndarray, kind: Any) -> tuple[np.ndarray, Any]:
    """Makes images uint8 [N, H, W] or [N, H, W, C] `Pixels` of a kind, and finds their posteriors.

    The pixels are [N, H, W, C].
    """
    from cvae_tf.evaluation import evaluating
    from cvae_tf.inference import importance_bounds

    grey = np.reshape(grey, [*grey.shape[:3], -1]).astype(np.float32) / 255
    pixels = evaluating.draw_pixels(grey, kind, seed=0)
    return pixels, importance_bounds.encode(model, pixels, 1000)


def auroc(usual: np.ndarray, unusual: np.ndarray) -> float:
    """How well high scores tell the unusual from the usual."""
    from sklearn.metrics import roc_auc_score

    labels = np.repeat([0, 1], [len(usual), len(unusual)])
    return float(roc_auc_score(labels, np.concatenate([usual, unusual])))
