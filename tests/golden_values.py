"""What must not change while the code is rebuilt: the figures that `golden_values.json` keeps.

    python tests/golden_values.py        writes the file again, with the code as it is now

`test_golden_values.py` compares. On the machine that wrote the file the figures must be the same
to the last digit; the file names that machine by its processor, its number of cores and the
versions of TensorFlow, Keras and NumPy. Elsewhere they may differ by 1e-4 of their size.
"""

import hashlib
import json
import math
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

VALUES = Path(__file__).with_name("golden_values.json")
SEEDS = (0, 5)
_TOLERANCE = 1e-4
BATCH_SIZE, NUM_IMAGES = 25, 512  # twenty steps in an epoch
CASES = {
    "tutorial": {"preset": "tutorial"},
    "fast": {"preset": "fast"},
    "best": {"preset": "best"},
    "photo": {"preset": "photo"},
    "mlp20": {"preset": "mlp20"},
    "hybrid": {"preset": "hybrid"},
    "conditional": {"preset": "fast", "conditional": True},
    "gan": {"preset": "gan"},
    "dcgan": {"preset": "dcgan"},
}


def machine() -> list[str]:
    """What decides the last digits of a figure."""
    processor = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        processor = next((line for line in lines if line.startswith("model name")), processor)
    versions = [f"{name} {metadata.version(name)}" for name in ("tensorflow", "keras", "numpy")]
    return [processor, f"{os.cpu_count()} cores", *versions]


def digits() -> Any:
    """The bundled digits: 512 for training, 32 for testing."""
    from cvae_tf.data.datasets import Split, load_dataset

    dataset = load_dataset("digits")
    train, test = (
        Split(split.images[:num], split.labels[:num])
        for split, num in ((dataset.train, NUM_IMAGES), (dataset.test, 32))
    )
    return dataset._replace(train=train, test=test, sha256=None)


def build_trainer(name: str, dataset: Any) -> Any:
    """The trainer of a case, with a model that has not learned yet."""
    from cvae_tf import whole_run
    from cvae_tf.config import Config
    from cvae_tf.data.labelled import with_classes
    from cvae_tf.training.distribution import SINGLE

    options = {"dataset": "digits", "epochs": 1, "batch_size": BATCH_SIZE, "seed": SEEDS[1]}
    config = Config.create(**options, **CASES[name])
    if config.conditional:
        dataset = with_classes(dataset)
    else:  # a GAN would train a classifier of them first
        train, test = (split._replace(labels=None) for split in (dataset.train, dataset.test))
        dataset = dataset._replace(train=train, test=test, class_names=None)
    return whole_run.build_trainer(config, dataset, SINGLE)


def describe_weights(model: Any) -> dict[str, Any]:
    """Names and shapes of all variables in their order, and the SHA-256 of their values."""
    variables, digest = {}, hashlib.sha256()
    for part, holder in model.checkpoint_parts.items():
        # The first part of a path counts the models that the process has made.
        paths = (each.path.partition("/")[2] or each.path for each in holder.variables)
        shapes = (list(each.shape) for each in holder.variables)
        variables[part] = [list(pair) for pair in zip(paths, shapes, strict=True)]
    for network in model.networks.values():
        for variable in network.variables:
            digest.update(np.ascontiguousarray(variable.numpy(), "<f4").tobytes())
    return {"variables": variables, "sha256": digest.hexdigest()}


def train(trainer: Any) -> dict[str, Any]:
    """The row of metrics.csv after an epoch, and what the weights are then."""
    timings = ("train_seconds", "test_seconds", "images_per_second")
    rows = [result.as_row() for result in trainer.run_epochs(1)]
    last = {name: value for name, value in rows[-1].items() if name not in timings}
    return {
        "columns": list(rows[0]),
        "last_row": last,
        "sizes": {
            name: [summary(variable.numpy()) for variable in network.variables]
            for name, network in trainer.model.networks.items()
        },
        "sha256": describe_weights(trainer.model)["sha256"],
    }


def summary(values: Any) -> list[float]:
    """Three figures of an array: mean, root mean square, and a sum with a weight for each value."""
    flat = np.asarray(values, np.float64).reshape(-1)
    weights = np.cos(np.arange(flat.size))
    root = np.sqrt(np.mean(flat**2)) if flat.size else 0.0
    return [float(np.mean(flat)) if flat.size else 0.0, float(root), float(flat @ weights)]


def call_signatures(model: Any, dataset: Any) -> dict[str, Any]:
    """Arguments and results of each signature, and what it gives for two images or latents."""
    latents = np.random.default_rng(0).standard_normal((2, model.latent_dim)).astype(np.float32)
    values = {
        "images": dataset.test.images[:2].astype(np.float32) / 255,
        "latents": latents,
        "labels": np.int32([3, 8]),
        "num": np.int32(2),
        "seed": np.int32([1, 2]),
        "steps": np.int32(2),
        "samples": np.int32(2),
        "scores": np.float32([-100, -150]),
    }
    found = {}
    for name, (function, specs) in model.for_inference().signatures().items():
        results = function(*(tf.constant(values[spec.name]) for spec in specs))
        found[name] = {
            "arguments": [[spec.name, spec.dtype.name, list(spec.shape)] for spec in specs],
            "results": {key: [each.dtype.name, list(each.shape)] for key, each in results.items()},
            "values": {key: summary(each) for key, each in results.items()},
        }
    return found


def noise() -> dict[str, Any]:
    """Orders of epochs, keys, noise and seeds of layers, for two seeds."""
    from cvae_tf.core import randomness
    from cvae_tf.data import batches

    found = {}
    for seed in SEEDS:
        keys = {
            f"{purpose.name} {index}": randomness.derived_key(seed, purpose, index).numpy().tolist()
            for purpose in randomness.Purpose
            for index in (0, 7)
        }
        key = randomness.derived_key(seed, randomness.Purpose.EVALUATION_NOISE)
        grey = tf.constant(np.linspace(0, 1, 2 * 28 * 28).reshape(2, 28, 28, 1), tf.float32)
        found[str(seed)] = {
            "keys": keys,
            "purposes": {purpose.name: int(purpose) for purpose in randomness.Purpose},
            "orders": [
                np.asarray(batches.epoch_order(100, seed, epoch))[:10].tolist() for epoch in (1, 2)
            ],
            "normal": randomness.normal_of_images(key, 3, 2, 5).numpy().tolist(),
            "uniform": randomness.uniform_of_images(key, 3, 2, 5).numpy().tolist(),
            "warped": summary(batches.augment(grey, 1.0, seed, tf.constant(4, tf.int64))),
            "mirrored": summary(batches.mirror(grey, seed, tf.constant(4, tf.int64))),
            "layer_seed": randomness.layer_seed(seed, "encoder", "code"),
            "generator": randomness.numpy_generator(seed, randomness.Purpose.HELD_OUT)
            .permutation(10)
            .tolist(),
        }
    return found


def collect(name: str, dataset: Any) -> dict[str, Any]:
    """All figures of a case."""
    trainer = build_trainer(name, dataset)
    initial = describe_weights(trainer.model)
    return {
        "initial": initial,
        "trained": train(trainer),
        "signatures": call_signatures(trainer.model, trainer.dataset),
    }


def assert_same(found: Any, wanted: Any, written_by: list[str]) -> None:
    """Compares with values of a file: exactly, or by 1e-4 if another machine has written them."""
    as_from_a_file = json.loads(json.dumps(found))
    differences = _differences(as_from_a_file, wanted, written_by == machine())
    assert not differences, "\n".join(differences)


def _differences(found: Any, wanted: Any, is_same_machine: bool, where: str = "") -> list[str]:
    """Where two structures of plain values differ."""
    if isinstance(wanted, dict) and isinstance(found, dict) and list(found) == list(wanted):
        parts = [(f"{where}/{key}", found[key], wanted[key]) for key in wanted]
    elif isinstance(wanted, list) and isinstance(found, list) and len(found) == len(wanted):
        parts = [(f"{where}[{i}]", *pair) for i, pair in enumerate(zip(found, wanted, strict=True))]
    elif _are_equal(found, wanted, is_same_machine, where):
        return []
    else:
        return [f"{where}: {found}, not {wanted}"]
    nested = (_differences(one, other, is_same_machine, place) for place, one, other in parts)
    return [each for few in nested for each in few]


def _are_equal(found: Any, wanted: Any, is_same_machine: bool, where: str) -> bool:
    if is_same_machine:
        return found == wanted
    if isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return found == wanted or where.endswith("trained/sha256")


def main() -> None:
    """Writes the file."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from cvae_tf.core.threads import set_threads

    set_threads(0)
    dataset = digits()
    values = {"machine": machine(), "noise": noise()}
    values |= {name: collect(name, dataset) for name in CASES}
    lines = (f" {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())
    VALUES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
