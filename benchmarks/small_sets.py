"""How well 100, 300 and 1,000 pictures are learned, with the recipe for few images and without.

    python benchmarks/small_sets.py --mnist mnist.npz --photos cifar10_jpeg/*/horse

Shapes drawn here, photographs of one class and digits become folders of PNG files; what train.py
makes of them is measured on 500 others. Writes small_sets.json and small_sets.md to --output, and
small_sets.png: of 300 pictures of each kind, samples before and after.
"""

import argparse
import csv
import functools
import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageDraw
from shared import PROJECT, Bench, write_report

SIZES, MANY, HELD_OUT, SHOWN = (100, 300, 1000), 5000, 500, 32
PRESETS = {"shapes": "photo", "photographs": "photo", "digits": "fast"}


def shape(random: np.random.Generator) -> np.ndarray:
    """Draws a disc, triangle, square or pentagon of one colour on another, uint8 [32, 32, 3]."""
    back, front = (tuple(map(int, random.integers(0, 256, 3))) for _ in range(2))
    picture = Image.new("RGB", (64, 64), back)
    (x, y), radius = random.uniform(22, 42, 2), random.uniform(10, 20)
    sides, draw = int(random.integers(2, 6)), ImageDraw.Draw(picture)
    if sides == 2:
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=front)
    else:
        angle = float(random.uniform(0, 360))
        draw.regular_polygon((x, y, radius), sides, rotation=angle, fill=front)
    return np.asarray(picture.resize((32, 32), Image.Resampling.BOX))


def pictures(kind: str, paths: argparse.Namespace) -> np.ndarray:
    """All pictures of a kind in a random order, uint8 [N, H, W, C]; the last ones are held out."""
    random = np.random.default_rng(7)
    if kind == "shapes":
        return np.stack([shape(random) for _ in range(MANY + HELD_OUT)])
    if kind == "digits":
        with np.load(paths.mnist) as arrays:
            images = arrays["x_train"][..., None]
    else:
        images = [iio.imread(path) for folder in paths.photos for path in sorted(folder.iterdir())]
        images = np.stack(images)
    return images[random.permutation(len(images))[: MANY + HELD_OUT]]


def no_model(kind: str, train: np.ndarray, test: np.ndarray) -> float:
    """What a model of pixels alone needs: their shares of white, or one histogram of levels."""
    if PRESETS[kind] == "fast":
        white = (np.sum(train > 127, axis=0) + 0.5) / (len(train) + 1)
        share = np.where(test > 127, white, 1 - white)
        return float(-np.log(share).sum(axis=(1, 2, 3)).mean())
    counts = np.bincount(train.ravel(), minlength=256) + 1
    return min(8.0, float(-np.log2(counts / counts.sum())[test].mean()))


def measure(run_dir: Path, test: np.ndarray, bench: Bench) -> dict[str, Any]:
    """Measures the exported model of a run on held-out images; [S, H, W, C] of its samples."""
    import cvae_tf

    model = cvae_tf.load(run_dir / "export" / "1")
    nats = -float(np.mean(model.score(test.astype(np.float32) / 255)["elbo"]))
    is_of_levels = model.pixels.likelihood.is_of_levels
    config = json.loads((run_dir / "config.json").read_text())
    with (run_dir / "metrics.csv").open() as file:
        steps = int(list(csv.DictReader(file))[-1]["step"])
    iio.imwrite(run_dir / "sheet.png", sheet(model.sample(SHOWN)))
    return {
        "needs": nats / (test[0].size * np.log(2)) if is_of_levels else nats,
        "steps": steps,
        "seconds": bench.seconds(run_dir),
        "cpu_seconds": json.loads(run_dir.with_suffix(".run.json").read_text())["cpu_seconds"],
        "flags": {key: config["config"][key] for key in ("epochs", "batch_size", "early_stop")},
    }


def sheet(images: np.ndarray) -> np.ndarray:
    """Images [S, H, W, C] in [0, 1] in two rows, in colours, 32 pixels high each."""
    levels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    margin = (32 - levels.shape[1]) // 2
    levels = np.pad(levels, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    levels = np.broadcast_to(levels, (*levels.shape[:3], 3))
    return np.concatenate([np.concatenate(list(half), 1) for half in np.split(levels, 2)])


def trained(kind: str, images: np.ndarray, num: int, way: str, bench: Bench) -> Path:
    """Trains on a folder of so many pictures: as the preset says, or as is said of few."""
    flags = ["--seed=0", "--threads=1"]
    if way == "before":
        flags.append(f"--preset={PRESETS[kind]}")
    folder = bench.work / f"{kind}_{num}"
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images[:num]):
        iio.imwrite(folder / f"{number:04d}.png", image.squeeze())
    return bench.trained(f"{kind}_{num}_{way}", flags, folder)


def as_table(results: list[dict[str, Any]]) -> str:
    """Writes the measurements as Markdown."""
    lines = [
        "| pictures | no model | before | after | 5,000, after | half-way | steps | CPU seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in results:
        after, many = row["after"], row["many"]["needs"]
        digits = ".1f" if PRESETS[row["kind"]] == "fast" else ".2f"
        needs = row["none"], row["before"]["needs"], after["needs"], many, (row["none"] + many) / 2
        lines.append(
            f"| {row['num']:,} {row['kind']} | {' | '.join(f'{each:{digits}}' for each in needs)} "
            f"| {row['before']['steps']}, {after['steps']:,} | {after['cpu_seconds']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Trains what was not trained before, measures, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", required=True, type=Path)
    parser.add_argument("--photos", required=True, type=Path, nargs="+", help="folders of 5,500")
    parser.add_argument("--work", default=PROJECT / "small_sets_work", type=Path)
    parser.add_argument("--output", default=Path(__file__).parent, type=Path)
    paths = parser.parse_args()
    bench, results, rows = Bench(paths.mnist, paths.work), [], []
    for kind in PRESETS:
        images = pictures(kind, paths)
        train, test = images[:-HELD_OUT], images[-HELD_OUT:]
        ways = [(num, way) for num in SIZES for way in ("before", "after")]
        found = {}
        for num, way in [*ways, (MANY, "after")]:
            run_dir = trained(kind, train, num, way, bench)
            measured = functools.partial(measure, run_dir, test, bench)
            found[num, way] = bench.kept(f"{run_dir.name}_measured", measured)
        names = (f"{kind}_300_{way}" for way in ("before", "after"))
        rows += [iio.imread(bench.work / name / "sheet.png") for name in names]
        many = found[MANY, "after"]
        for num in SIZES:
            ways = {way: found[num, way] for way in ("before", "after")}
            none = no_model(kind, train[:num], test)
            results.append({"kind": kind, "num": num, "none": none, **ways, "many": many})
    write_report(paths.output, "small_sets", results, as_table)
    iio.imwrite(paths.output / "small_sets.png", np.concatenate(rows))


if __name__ == "__main__":
    main()
