"""How well 100, 300 and 1,000 pictures are learned, with the recipe for few images and without.

    python benchmarks/small_sets.py --mnist mnist.npz --photos cifar10_jpeg/*/horse --work W

Of shapes drawn here, photographs of one class and digits it learns as train.py does, by the recipe
for few images and by the preset alone, and measures on 500 others. Writes small_sets.json, .md and
docs/small_sets.png: for 300 pictures of each kind, a row of samples before and two after.
"""

import argparse
import functools
import itertools
import time
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageDraw
from shared import PROJECT, Bench, write_report

from cvae_tf.config import RunOptions
from cvae_tf.core.tensorflow_setup import set_threads
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.drawing.mosaics import Panel, draw_panel
from cvae_tf.models import family_of
from cvae_tf.training import building, run_directory, run_training
from cvae_tf.training.distribution import SINGLE
from cvae_tf.training.trainer import take_averages

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


def learn(images: np.ndarray, test: np.ndarray, given: dict[str, Any], work: Path) -> dict:
    """Learns from images as train.py does, a tenth held out, and measures on others."""
    tenth = len(images) // 10
    dataset = Dataset(
        "small", "made here", Split(images[tenth:], None), Split(images[:tenth], None)
    )
    start = time.process_time()
    config = building.complete_settings(None, given, dataset)
    trainer = building.build_trainer(config, dataset, SINGLE)
    model = trainer.model
    with run_directory.new_run(work / "run", config, dataset) as run:
        rows = run_training.train_run(run, trainer, None, RunOptions())
        best = run_training.take_best_epoch(run, model, rows)[-1]
    take_averages(model)
    if "sampler" in model.fitted_parts:
        family_of(model).fit_after_training(model, "sampler", dataset)
    seconds = time.process_time() - start
    iio.imwrite(work / "sheet.png", sheet(np.asarray(model.sample(SHOWN, seed=[0, 1]))))
    nats = -float(np.mean(model.score(test.astype(np.float32) / 255)["elbo"]))
    nats_of_one_bit = test[0].size * np.log(2) if model.pixels.likelihood.is_of_levels else 1
    told = {"needs": nats / nats_of_one_bit, "steps": rows[-1]["step"], "best": best["step"]}
    return {**told, "cpu_seconds": round(seconds), "epochs": rows[-1]["epoch"]}


def sheet(images: np.ndarray) -> np.ndarray:
    """Images [S, H, W, C] in [0, 1] in two rows, in colours, 32 pixels high each."""
    levels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    margin = (32 - levels.shape[1]) // 2
    levels = np.pad(levels, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    levels = np.broadcast_to(levels, (*levels.shape[:3], 3))
    return np.concatenate([np.concatenate(list(half), 1) for half in np.split(levels, 2)])


def draw(path: Path, sheets: np.ndarray) -> None:
    """Draws the sheets of all kinds, [9 * 32, 16 * 32, 3], with the names of their rows."""
    tiles = sheets.reshape(9, 32, 16, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3) / 255
    title = "Samples of models that learned from 300 pictures"
    names = [name for kind in PRESETS for name in (f"{kind}, preset alone", f"{kind}, for few", "")]
    draw_panel(path, Panel(title, [tiles], 16, row_names=names))


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
    """Learns what was not learned before, measures, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", required=True, type=Path)
    parser.add_argument("--photos", required=True, type=Path, nargs="+", help="folders of 5,500")
    parser.add_argument("--work", required=True, type=Path, help="what was measured is kept there")
    paths = parser.parse_args()
    set_threads(1)
    results, rows = [], []
    for kind in PRESETS:
        images = pictures(kind, paths)
        train, test = images[:-HELD_OUT], images[-HELD_OUT:]
        ways = {"before": {"preset": PRESETS[kind]}, "after": {}}
        found = {}
        for num, way in [*itertools.product(SIZES, ways), (MANY, "after")]:
            bench = Bench(paths.mnist, paths.work / f"{kind}_{num}_{way}")
            call = functools.partial(learn, train[:num], test, ways[way], bench.work)
            found[num, way] = bench.kept("measured", call)
        before, after = (paths.work / f"{kind}_300_{way}" / "sheet.png" for way in ways)
        rows += [iio.imread(before)[:32], iio.imread(after)]
        for num in SIZES:
            row = {"kind": kind, "num": num, "none": no_model(kind, train[:num], test)}
            of_ways = {way: found[num, way] for way in ways}
            results.append({**row, **of_ways, "many": found[MANY, "after"]})
    write_report(Path(__file__).parent, "small_sets", results, as_table)
    draw(PROJECT / "docs" / "small_sets.png", np.concatenate(rows))


if __name__ == "__main__":
    main()
