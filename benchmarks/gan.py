"""How real drawn images look: GANs and VAEs on CIFAR-10 and MNIST, and how fast a GAN learns.

    python benchmarks/gan.py --cifar10 cifar10_jpeg --mnist mnist.npz

CIFAR-10 is a folder of pictures (`train/CLASS/...`, `test/CLASS/...`). Every run trains for about
a quarter of an hour, by its epochs; distances are those of `evaluate.py`, on the test images.
Speeds are those of `--preset=dcgan` beside the same networks in a plain Keras `fit` and in PyTorch,
in turn. What is trained and measured is kept in --work; --only takes some parts. Writes gan.json
and gan.md to --output. Needs torch for one of the peers; about three hours on two cores.
"""

import argparse
import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from shared import PROJECT, Bench, describe_machine, run_process, write_report

HERE = Path(__file__).parent
SEEDS, SEEDS_OF_MNIST = range(5), range(3)
VAE = "VAE, mixture of Gaussians"
OF_PRIOR = "the same VAE, prior"
FASTER = "--precision=mixed_bfloat16"
CIFAR_RUNS = {
    **{
        f"GAN, seed {seed}": ["--preset=gan", "--epochs=28", f"--seed={seed}", FASTER]
        for seed in SEEDS
    },
    "conditional GAN": ["--preset=gan", "--conditional", "--epochs=13"],
    VAE: ["--preset=photo", "--sampler=mixture"],
}
MNIST_RUNS = {
    **{
        f"GAN, seed {seed}": ["--preset=gan", "--epochs=3", f"--seed={seed}"]
        for seed in SEEDS_OF_MNIST
    },
    "default VAE": [],
}
SHORT_IMAGES, BATCH, ROUNDS = 6400, 128, 3  # of the runs whose speeds are compared
OURS = {"ours": "`--preset=dcgan`", "ours_bfloat16": "the same, `--precision=mixed_bfloat16`"}
PEERS = {**OURS, "keras": "Keras `fit`", "torch": "PyTorch"}


def trained(bench: Bench, data: str, name: str, flags: list[str]) -> dict[str, Any]:
    """Trains a run and evaluates what it draws."""
    place = f"{data}, {name}"
    run_dir = bench.trained(place, flags)
    output = bench.work / f"{place.replace(', ', '_')}.evaluation.json"
    flags = [f"--run_dir={run_dir}", f"--output={output}", "--measures=distance"]
    run_process([str(PROJECT / "evaluate.py"), *flags])
    with (run_dir / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    seconds = sum(float(row["train_seconds"]) for row in rows)
    speed = float(np.median([float(row["images_per_second"]) for row in rows]))
    found = json.loads(output.read_text())["distance"]
    return {**found, "training seconds": seconds, "images per second": speed}


def of_prior(bench: Bench, vae: dict[str, Any]) -> dict[str, Any]:
    """Measures what the VAE draws of latents from its prior, as `evaluate.py` does."""
    import tensorflow as tf

    def from_the_prior(model: Any) -> None:
        dim = model.latent_dim
        model.sample_latents = lambda num, key: tf.random.stateless_normal([num, dim], key)

    run_dir = bench.trained(f"cifar10, {VAE}", CIFAR_RUNS[VAE])
    return {**vae, **compared(run_dir, from_the_prior)}


def thresholded(bench: Bench, runs: dict[str, list[str]]) -> dict[str, float]:
    """Distances on MNIST of images that are white above .5, drawn or real."""

    def black_and_white(model: Any) -> None:
        model.metadata["black_and_white"] = True

    found = {
        name: compared(bench.trained(f"mnist, {name}", flags), black_and_white)
        for name, flags in runs.items()
    }
    distances = {name: each["distance"] for name, each in found.items()}
    return {"floor": next(iter(found.values()))["floor"], **distances}


def compared(run_dir: Path, change: Callable[[Any], None]) -> dict[str, Any]:
    """Compares what a changed model draws with test images."""
    import cvae_tf
    from cvae_tf.evaluation import evaluating, tables_and_pictures
    from cvae_tf.evaluation.settings import EvaluationSettings

    model = cvae_tf.load(run_dir)
    change(model)
    found = evaluating.measure_distance(model, EvaluationSettings())
    return tables_and_pictures.as_json(found)["distance"]


def classifier_of_drawn(bench: Bench, name: str) -> dict[str, float]:
    """Trains the small classifier on 50,000 drawn images alone; its share of real test images."""
    import cvae_tf
    from cvae_tf import distances
    from cvae_tf.data.datasets import Split

    dataset = cvae_tf.load_dataset(data_path=bench.data_path)
    model = cvae_tf.load(bench.trained(f"cifar10, {name}", CIFAR_RUNS[name]))
    labels = model.labels_in_turn(50_000)
    drawn = np.rint(255 * model.sample(len(labels), seed=1, labels=labels)).astype(np.uint8)
    learner = distances.build_classifier(dataset.image_shape, len(model.class_names))
    distances.fit_classifier(learner, Split(drawn, labels), lambda share: None)
    return {"accuracy": distances.measure_accuracy(learner, dataset.test)}


def speeds(bench: Bench) -> dict[str, list[float]]:
    """Images per second of the three, in turn."""
    results = {peer: [] for peer in PEERS}
    for _ in range(ROUNDS):
        for peer in PEERS:
            command = [str(Path(__file__).resolve()), "--peer", peer]
            finished = run_process([*command, "--cifar10", str(bench.data_path)])
            results[peer].append(float(finished.output.splitlines()[-1]))
    return results


def peer_speed(peer: str) -> float:
    """Trains invented colour images for two epochs; images per second of the second."""
    import gan_peers

    images = np.random.default_rng(0).integers(0, 256, (SHORT_IMAGES, 32, 32, 3)).astype(np.uint8)
    begun = []
    train = getattr(gan_peers, peer)
    train(images, BATCH, 2, lambda: begun.append(time.perf_counter()))
    return len(images) // BATCH * BATCH / (begun[2] - begun[1])


def as_table(results: dict[str, Any]) -> str:
    """Writes distances and speeds."""
    lines = [f"{results['machine']}.", ""]
    if results["cifar10"]:
        lines += [
            "CIFAR-10 as JPEG, 10,000 drawn and test images, features of a small classifier.", "",
            "| | training, s | images/s | Frechet distance | / floor | precision | recall |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]  # fmt: skip
        for name, found in results["cifar10"].items():
            lines.append(
                f"| {name} | {found['training seconds']:.0f} | {found['images per second']:,.0f} | "
                f"{found['distance']:.2f} | {found['distance'] / found['floor']:.0f} | "
                f"{found['precision']:.2f} | {found['recall']:.2f} |"
            )
    if results["mnist"]:
        floor = results["mnist"]["floor"]
        lines += ["", "MNIST, white above .5.", "", "| | Frechet distance | / floor |"]
        lines += ["| --- | --- | --- |"]
        lines += [
            f"| {name} | {value:.3f} | {value / floor:.0f} |"
            for name, value in results["mnist"].items()
        ]
    if results["drawn"]:
        share = 100 * results["drawn"]["accuracy"]
        lines += [
            "",
            f"A classifier of 50,000 drawn CIFAR-10 images knows {share:.1f} % of the real ones.",
        ]
    if results["speeds"]:
        lines += [
            "",
            "The networks of `--preset=dcgan`; ours takes both steps at once, the others one after "
            "the other, as their examples do.",
            "",
            "| | images/s | ours is faster by | in bfloat16 by |",
            "| --- | --- | --- | --- |",
        ]
        speeds = results["speeds"]
        for peer, title in PEERS.items():
            own = (np.median(np.divide(speeds[each], speeds[peer])) for each in OURS)
            ratios = " | ".join(f"{ratio:.2f}" for ratio in own)
            lines.append(f"| {title} | {np.median(speeds[peer]):,.0f} | {ratios} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes the two files; or is a peer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--mnist", type=Path, help="MNIST as an .npz of Keras")
    parser.add_argument("--only", default="cifar10,mnist,drawn,speeds", help="parts")
    parser.add_argument("--runs", default="", help="of CIFAR-10, those whose names begin so")
    parser.add_argument("--peer", choices=PEERS, help="used by the program itself")
    parser.add_argument("--work", type=Path, default=HERE / "gan_runs", help="what is kept")
    parser.add_argument("--output", type=Path, default=HERE, help="a folder for the two files")
    arguments = parser.parse_args()
    if arguments.peer:
        print(peer_speed(arguments.peer))
        return
    results = {"machine": describe_machine(), **measure(arguments)}
    write_report(arguments.output, "gan", results, as_table)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures the parts that were asked for; the others are empty."""
    parts, work = arguments.only.split(","), arguments.work
    cifar10 = Bench(arguments.cifar10, work)
    results: dict[str, Any] = dict.fromkeys(("cifar10", "mnist", "drawn", "speeds"), {})
    if "cifar10" in parts:
        results["cifar10"] = {
            name: cifar10.kept(
                f"cifar10 {name}",
                lambda name=name, flags=flags: trained(cifar10, "cifar10", name, flags),
            )
            for name, flags in CIFAR_RUNS.items()
            if name.startswith(arguments.runs)
        }
        if VAE in results["cifar10"]:
            vae = results["cifar10"][VAE]
            results["cifar10"][OF_PRIOR] = cifar10.kept(OF_PRIOR, lambda: of_prior(cifar10, vae))
    if "drawn" in parts:
        results["drawn"] = cifar10.kept(
            "drawn", lambda: classifier_of_drawn(cifar10, "conditional GAN")
        )
    if "mnist" in parts:
        mnist = Bench(arguments.mnist, work)
        results["mnist"] = mnist.kept("mnist", lambda: thresholded(mnist, MNIST_RUNS))
    if "speeds" in parts:
        results["speeds"] = cifar10.kept("speeds", lambda: speeds(cifar10))
    return results


if __name__ == "__main__":
    main()
