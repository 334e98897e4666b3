"""How fast exported models answer: SavedModel, the tutorial's way, LiteRT and ONNX Runtime.

    python benchmarks/serving_speed.py

Exports untrained networks, whose speed is that of trained ones, then lets each runtime answer in
processes of its own, in turn, several times. Writes serving_speed.json and
serving_speed.md beside this file. Needs requirements-dev.txt.
"""

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from shared import describe_machine, run_process, write_report

HERE = Path(__file__).parent
NETWORKS = {"patches": "default network", "tutorial": "tutorial's network"}
BATCHES = (1, 64, 1024)
REPETITIONS = 5
SECONDS = 1.0  # of answering, for each speed
Calls = dict[str, Callable[[int], Any]]  # by what is asked: a function of the number of images


def saved_model(directory: Path) -> Calls:
    """The SavedModel, as the README uses it."""
    import tensorflow as tf

    model = tf.saved_model.load(str(directory / "saved_model"))
    seed = tf.constant([1, 2])
    return {
        "sample": lambda num: model.sample(tf.constant(num), seed)["images"].numpy(),
        "encode": lambda num: model.encode(tf.constant(grey(num)))["mean"].numpy(),
        "score": lambda num: model.score(tf.constant(grey(num)), seed)["elbo"].numpy(),
    }


def tutorial_way(directory: Path) -> Calls:
    """A Keras model in Python, with the tutorial's `sample` in a `tf.function`."""
    import keras
    import tensorflow as tf

    import cvae_tf.models.vae.model  # noqa: F401  (makes the class known to Keras)

    model = keras.saving.load_model(directory / "keras" / "cvae.keras")

    @tf.function
    def sample(eps):
        return tf.sigmoid(model.decoder(eps))

    return {
        "sample": lambda num: sample(tf.random.normal([num, 2])).numpy(),
        "encode": lambda num: model.encoder(grey(num)).numpy(),
    }


def litert(directory: Path) -> Calls:
    """LiteRT with two threads."""
    from ai_edge_litert.interpreter import Interpreter

    def runner(name: str):
        path = str(directory / "litert" / f"{name}.tflite")
        return Interpreter(path, num_threads=2).get_signature_runner()

    encoder, decoder = runner("encoder"), runner("decoder")
    return {
        "sample": lambda num: decoder(latents=normal(num))["images"],
        "encode": lambda num: encoder(images=grey(num))["mean"],
    }


def onnx_runtime(directory: Path) -> Calls:
    """ONNX Runtime with its own choice of threads."""
    import onnxruntime

    encoder, decoder = (
        onnxruntime.InferenceSession(directory / "onnx" / f"{name}.onnx")
        for name in ("encoder", "decoder")
    )
    return {
        "sample": lambda num: decoder.run(None, {"latents": normal(num)})[0],
        "encode": lambda num: encoder.run(["mean"], {"images": grey(num)})[0],
    }


RUNTIMES = {
    "SavedModel": saved_model,
    "Keras, the tutorial's way": tutorial_way,
    "LiteRT": litert,
    "ONNX Runtime": onnx_runtime,
}


def normal(num: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((num, 2), np.float32)


@functools.cache
def grey(num: int) -> np.ndarray:
    return np.random.default_rng(0).random((num, 28, 28, 1), np.float32)


def measure_runtime(directory: Path, name: str) -> dict[str, Any]:
    """Loads a model in this process and lets it answer.

    Returns:
        Seconds to load and to the first sample, and images/s by what is asked and batch size.
    """
    start = time.perf_counter()
    calls = RUNTIMES[name](directory)
    loaded = time.perf_counter()
    calls["sample"](1)
    result: dict[str, Any] = {
        "load_seconds": loaded - start,
        "first_sample_seconds": time.perf_counter() - loaded,
    }
    for asked, call in calls.items():
        for batch in BATCHES:
            result[f"{asked} {batch}"] = speed(lambda: call(batch), batch)  # noqa: B023
    return result


def speed(call: Callable[[], Any], batch: int) -> float:
    """Images per second over the median call, of about a second of calls."""
    call()
    seconds = []
    while sum(seconds) < SECONDS:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return batch / statistics.median(seconds)


def export_all(directory: Path) -> None:
    """Writes each network in each format."""
    from cvae_tf.config import Config
    from cvae_tf.exporting.formats import FORMATS, write_model
    from cvae_tf.models.networks import build_networks
    from cvae_tf.models.vae.family import VaeFamily
    from cvae_tf.models.vae.model import CVAE

    data = {"name": "none", "image_shape": [28, 28, 1], "train_images": 0, "test_images": 0}
    metadata = {
        "title": VaeFamily.title, "config": Config.create().to_json(), "data": data,
        "metrics": None, "versions": {}, "git_commit": None,
    }  # fmt: skip
    for network in NETWORKS:
        model = CVAE(build_networks(network, (28, 28, 1), latent_dim=2, seed=0))
        for name in FORMATS:
            write_model(model, name, directory / network / name, metadata)


def measure_all() -> dict[str, Any]:
    """Runs every network in every runtime, in turn, and takes medians."""
    runs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        run_process([__file__, f"--export_to={directory}"])
        for _ in range(REPETITIONS):
            for network in NETWORKS:
                for name in RUNTIMES:
                    command = [__file__, f"--runtime={name}", f"--model={directory}/{network}"]
                    finished = run_process(command)
                    result = json.loads(finished.output.splitlines()[-1])
                    runs.setdefault(f"{network}/{name}", []).append(result)
                    print(network, name, result, flush=True)
        sizes = {
            f"{network}/{folder.name}": sum(
                file.stat().st_size for file in folder.rglob("*") if file.is_file()
            )
            for network in NETWORKS
            for folder in sorted(Path(directory, network).iterdir())
        }
    medians = {
        key: {name: statistics.median(run[name] for run in results) for name in results[0]}
        for key, results in runs.items()
    }
    return {"machine": describe_machine(), "medians": medians, "bytes": sizes}


def as_table(results: dict[str, Any]) -> str:
    """Writes the medians as Markdown."""
    asked = [f"{name} {batch}" for name in ("sample", "encode", "score") for batch in BATCHES]
    lines = [
        f"{results['machine']}. Images per second; medians of {REPETITIONS} processes in turn.",
        "",
        "| network | runtime | import and load, s | first sample, ms | one sample, ms | "
        + " | ".join(asked) + " |",
        "| --- " * (5 + len(asked)) + "|",
    ]  # fmt: skip
    for key, row in results["medians"].items():
        network, name = key.split("/")
        speeds = " | ".join(f"{row[what]:,.0f}" if what in row else "-" for what in asked)
        lines.append(
            f"| {NETWORKS[network]} | {name} | {row['load_seconds']:.2f} "
            f"| {1000 * row['first_sample_seconds']:.1f} | {1000 / row['sample 1']:.2f} "
            f"| {speeds} |"
        )
    lines += ["", "| network | format | size |", "| --- | --- | --- |"]
    for key, size in results["bytes"].items():
        network, name = key.split("/")
        lines.append(f"| {NETWORKS[network]} | {name} | {size / 1e6:.1f} MB |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Does one step if asked to, else all, and writes the two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runtime", choices=RUNTIMES, help="used by the program itself")
    parser.add_argument("--model", type=Path, help="used by the program itself")
    parser.add_argument("--export_to", type=Path, help="used by the program itself")
    parser.add_argument("--output", type=Path, default=HERE, help="a folder for the two files")
    arguments = parser.parse_args()
    if arguments.export_to:
        export_all(arguments.export_to)
    elif arguments.runtime:
        print(json.dumps(measure_runtime(arguments.model, arguments.runtime)))
    else:
        results = measure_all()
        write_report(arguments.output, "serving_speed", results, as_table)


if __name__ == "__main__":
    main()
