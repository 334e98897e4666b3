"""What must not change while the code is rebuilt: the figures that `golden_values.json` keeps.

    python tests/golden_values.py        writes the file again, with the code as it is now

`test_golden_values.py` compares. Names, shapes, initial weights and noise are the same on every
machine, and what the signatures give differs by less than 1e-4 of its size. But another processor
rounds differently, and two things amplify that: refined posteriors move by up to .05, and twenty
steps of training move the ELBO of `fast` by 2 %, its KL by more. So the file has the figures after
training for each machine that wrote them. There they must be the same to the last digit, elsewhere
to 10 %. A machine is named by its processor, with family and model (several are called "AMD EPYC"),
its number of cores and the versions of TensorFlow, Keras and NumPy.
"""

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

VALUES = Path(__file__).with_name("golden_values.json")
SEEDS = (0, 5)
TOLERANCE = 1e-4
TOLERANCE_OF_CHAOS = 0.1  # relative, and absolute
_CHAOTIC_SIGNATURE = "refine"
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


def machine() -> str:
    """What decides the last digits of a figure."""
    processor = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        line = re.compile(r"^(?:model name|cpu family|model)\s*: (.*)", re.MULTILINE)
        processor = " ".join(line.findall(cpuinfo.read_text())[:3]) or processor
    versions = [f"{name} {metadata.version(name)}" for name in ("tensorflow", "keras", "numpy")]
    return ", ".join([processor, f"{os.cpu_count()} cores", *versions])


def digits() -> Any:
    """The bundled digits: 512 for training, 32 for testing."""
    from cvae_tf.data.datasets import Split
    from cvae_tf.data.loading import load_dataset

    dataset = load_dataset("digits")
    train, test = (
        Split(split.images[:num], split.labels[:num])
        for split, num in ((dataset.train, NUM_IMAGES), (dataset.test, 32))
    )
    return dataset._replace(train=train, test=test, sha256=None)


def build_trainer(name: str, dataset: Any) -> Any:
    """The trainer of a case, with a model that has not learned yet."""
    from cvae_tf.config import Config
    from cvae_tf.data.datasets import with_classes
    from cvae_tf.training import building
    from cvae_tf.training.distribution import SINGLE

    options = {"dataset": "digits", "epochs": 1, "batch_size": BATCH_SIZE, "seed": SEEDS[1]}
    config = Config.create(**options, **CASES[name])
    if config.conditional:
        dataset = with_classes(dataset)
    else:  # a GAN would train a classifier of them first
        train, test = (split._replace(labels=None) for split in (dataset.train, dataset.test))
        dataset = dataset._replace(train=train, test=test, class_names=None)
    return building.build_trainer(config, dataset, SINGLE)


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
    """The row of metrics.csv after an epoch, and the SHA-256 of the weights then."""
    timings = ("train_seconds", "test_seconds", "images_per_second")
    row = [result.as_row() for result in trainer.run_epochs(1)][-1]
    figures = {name: value for name, value in row.items() if name not in timings}
    return {"columns": list(row), "row": figures, "weights": describe_weights(trainer.model)}


def move_weights(model: Any) -> None:
    """Adds noise of NumPy to the weights, so that no bias is zero; the same on every machine."""
    generator = np.random.default_rng(0)
    for network in model.networks.values():
        for variable in network.variables:
            variable.assign_add(0.05 * generator.standard_normal(variable.shape))


def summary(values: Any) -> list[float]:
    """Three figures of an array: mean, root mean square, and a sum with a weight for each value."""
    flat = np.asarray(values, np.float64).reshape(-1)
    weights = np.cos(np.arange(flat.size))
    root = np.sqrt(np.mean(flat**2)) if flat.size else 0.0
    return [float(np.mean(flat)) if flat.size else 0.0, float(root), float(flat @ weights)]


def call_signatures(model: Any, dataset: Any) -> dict[str, Any]:
    """Arguments and results of each signature, and what it gives for two images or latents."""
    from cvae_tf.models import family_of

    latents = np.random.default_rng(0).standard_normal((2, model.latent_dim)).astype(np.float32)
    values = {
        "images": dataset.test.images[:2].astype(np.float32) / 255,
        "latents": latents,
        "labels": np.int32([3, 8]),
        "num": np.int32(2),
        "seed": np.int32([1, 2]),
        "steps": np.int32(2),
    }
    found = {}
    signatures = family_of(model).signatures(model.for_inference())
    for name, (function, specs) in signatures.items():
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


def collect(name: str, dataset: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is the same everywhere, and the figures after training, of a case."""
    trainer = build_trainer(name, dataset)
    model = trainer.model
    initial, weights = describe_weights(model), model.get_weights()
    trained = train(trainer)
    model.set_weights(weights)
    move_weights(model)
    same_everywhere = {
        "initial": initial,
        "columns": trained["columns"],
        "signatures": call_signatures(model, trainer.dataset),
    }
    return same_everywhere, {**trained["row"], "sha256": trained["weights"]["sha256"]}


def assert_same(found: Any, wanted: Any, tolerance: float) -> None:
    """Compares two structures of plain values; figures may differ by a part of their size."""
    found, wanted = dict(_leaves(json.loads(json.dumps(found)))), dict(_leaves(wanted))
    assert found.keys() == wanted.keys()
    for where, value in wanted.items():
        allowed = TOLERANCE_OF_CHAOS if _CHAOTIC_SIGNATURE in where else tolerance
        near = pytest.approx(value, rel=allowed, abs=allowed) if type(value) is float else value
        assert found[where] == near, where


def _leaves(values: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """The plain values in a structure, with their places; an empty part is one itself."""
    parts = dict(enumerate(values)) if isinstance(values, list) else values
    if not isinstance(parts, dict) or not parts:
        yield where, values
        return
    for key, part in parts.items():
        yield from _leaves(part, f"{where}/{key}")


def main() -> None:
    """Writes the file."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from cvae_tf.core.tensorflow_setup import set_threads

    set_threads(0)
    dataset = digits()
    values: dict[str, Any] = {"noise": noise()}
    figures = json.loads(VALUES.read_text(encoding="utf-8"))["after_training"]
    figures[machine()] = {}
    for name in CASES:
        values[name], figures[machine()][name] = collect(name, dataset)
    values["after_training"] = figures
    lines = (f" {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())
    VALUES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
