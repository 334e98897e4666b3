"""Where heat maps say that an image was changed, and how well their sums tell changed images.

    python benchmarks/heat_maps.py --run_dir=runs/latest --data_path=mnist.npz

Changes 200 test images: a square is inverted, a stroke added, ink erased; in colours a patch of
another image pasted. The same model is asked for several maps, all without what 2,000 other test
images have. `--split=train` is for choosing. Writes heat_maps.md to --output.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from shared import PROJECT, describe_machine

HERE = Path(__file__).parent
NUM, USUAL, SQUARE, PATCH = 200, 2000, 5, 8


class Changed(NamedTuple):
    """Images of which a place was changed."""

    images: np.ndarray  # [N, H, W, C] in [0, 1]
    places: np.ndarray  # bool [N, H, W], a pixel wider than what was changed


def changes(images: np.ndarray, others: np.ndarray) -> dict[str, Changed]:
    """Changes images [N, H, W, C] in [0, 1] in several ways."""
    random = np.random.default_rng(0)
    if images.shape[-1] == 3:
        return {"patch pasted": _change(images, others, lambda own, new: _patch(own, new, random))}
    return {
        "square inverted": _change(images, others, lambda own, _: _square(own, random)),
        "stroke added": _change(images, others, lambda own, _: _stroke(own, random)),
        "ink erased": _change(images, others, lambda own, _: _erase(own, random)),
    }


def _change(images: np.ndarray, others: np.ndarray, function: Any) -> Changed:
    from scipy.ndimage import binary_dilation

    new = np.stack([function(own.copy(), other) for own, other in zip(images, others, strict=True)])
    differs = np.abs(new - images).max(axis=-1) > 0.25
    return Changed(new, np.stack([binary_dilation(each, np.ones((3, 3))) for each in differs]))


def _square(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    row, column = random.integers(4, 28 - SQUARE - 4, 2)
    own = image[row : row + SQUARE, column : column + SQUARE]
    own[:] = 1 - own
    return image


def _patch(image: np.ndarray, other: np.ndarray, random: np.random.Generator) -> np.ndarray:
    row, column = random.integers(2, image.shape[0] - PATCH - 2, 2)
    own = slice(row, row + PATCH), slice(column, column + PATCH)
    image[own] = other[own]
    return image


def _stroke(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    start, angle = random.uniform(5, 22, 2), random.uniform(0, np.pi)
    return np.where(_near(start, 8 * np.array([np.cos(angle), np.sin(angle)]), 1.3), 1, image)


def _erase(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    centre = random.choice(np.argwhere(image[..., 0] > 0.5))
    return np.where(_near(centre, np.array([1e-9, 0]), 3.2), 0, image)


def _near(start: np.ndarray, along: np.ndarray, width: float) -> np.ndarray:
    """What is near a line, [28, 28, 1]."""
    places = np.indices((28, 28)).transpose(1, 2, 0) - start
    share = np.clip(places @ along / (along @ along), 0, 1)[..., None]
    return np.linalg.norm(places - share * along, axis=-1)[..., None] < width


def maps(model: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Maps of images [N, H, W, C] from which what is usual is not yet taken, each [N, H, W]."""
    import tensorflow as tf

    from cvae_tf.models.vae import anomalies

    pixels, likelihood = model.pixels.binarize_mode(tf.constant(images)), model.pixels.likelihood
    outputs = model.parameters(model.encode(pixels).mean)
    minus = -np.array(likelihood.log_prob_of_values(pixels, outputs)).sum(axis=-1)
    return {
        "-log p(x|z)": minus,
        "beside the reconstruction, blurred": anomalies.surprises(model, pixels, None, 0).numpy(),
        "moved by up to a pixel, blurred": anomalies.surprises(model, pixels, None, 1).numpy(),
        "moved by up to two, blurred": anomalies.surprises(model, pixels, None, 2).numpy(),
    }


def measure(model: Any, grey: np.ndarray) -> list[tuple]:
    """Measures every map and every change: rows of a table."""
    from sklearn.metrics import roc_auc_score

    base, others = grey[-2 * NUM : -NUM], grey[-NUM:]
    usual, unchanged, rows = maps(model, grey[: -2 * NUM]), maps(model, base), []
    for change, (images, places) in changes(base, others).items():
        for name, found in maps(model, images).items():
            mean, deviation = usual[name].mean(axis=0), usual[name].std(axis=0)
            limits = {"": 0 * mean, ", less the mean": mean}
            limits[", less two deviations too"] = mean + 2 * deviation
            for title, limit in limits.items():
                heat = np.maximum(found - limit, 0)
                of_unchanged = np.maximum(unchanged[name] - limit, 0).sum(axis=(1, 2))
                sums = heat.sum(axis=(1, 2))
                share = np.mean((heat * places).sum(axis=(1, 2)) / np.maximum(sums, 1e-6))
                pixel = np.mean([
                    roc_auc_score(each.ravel(), own.ravel())
                    for each, own in zip(places, heat, strict=True) if each.any()
                ])  # fmt: skip
                labels = np.repeat([0, 1], [len(of_unchanged), len(sums)])
                image = roc_auc_score(labels, np.append(of_unchanged, sums))
                rows.append((change, places.mean(), name + title, share, pixel, image))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run_dir", type=Path, nargs="+", required=True)
    parser.add_argument("--data_path", type=Path, nargs="+", required=True, help="one for each")
    parser.add_argument("--split", choices=["train", "test"], default="test")
    parser.add_argument("--output", type=Path, default=HERE / "heat_maps.md")
    arguments = parser.parse_args()
    import sys

    sys.path.insert(0, str(PROJECT))
    from cvae_tf.exporting.load import load

    columns = "run", "change", "its area", "map", "share of heat in it", "pixels", "images"
    lines = [describe_machine() + ". AUROC of pixels in their image, of images by their sums.", ""]
    lines += ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for run_dir, data_path in zip(arguments.run_dir, arguments.data_path, strict=True):
        images = np.load(data_path)[f"x_{arguments.split}"]
        grey = images.reshape(*images.shape[:3], -1)[: USUAL + 2 * NUM].astype(np.float32) / 255
        for change, area, name, *values in measure(load(run_dir), grey):
            said = " | ".join(f"{value:.3f}" for value in values)
            lines.append(f"| {run_dir.name} | {change} | {area:.3f} | {name} | {said} |")
    arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
