"""Takes steps on one device and on two logical CPUs, in a process of its own; writes JSON.

TensorFlow divides a processor only before it is first used, so tests cannot do it themselves.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

from cvae_tf.config import Config
from cvae_tf.data.datasets import Dataset, Split, with_classes
from cvae_tf.training import building
from cvae_tf.training.distribution import SINGLE, start_strategy

STEPS = 4
SMALL = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-4}
DENSE = {"preset": "fast", "network": "mlp", "hidden": "8", **SMALL}
CONFIGS = {
    "noise and labels": {
        **DENSE, "binarize": "dynamic", "augment": 0.5, "objective": "iwae", "denoise": 0.2,
        "importance_samples": 3, "conditional": True, "ema": 0.9, "flip": True,
        "optimizer": "sgd",  # Adam would hide gradients that are too long
    },
    "convolutions": {
        "preset": "fast", "objective": "elbo", "free_bits": 0.5, "clip_norm": 0.1, **SMALL,
    },
    "shared latents": {**DENSE, "objective": "shared", "shared_latents": 24},
    "GAN": {"model": "gan", "preset": "gan", "latent_dim": 4, "r1": 0.1,
            "diff_augment": "colour,translation", **SMALL},
}  # fmt: skip


def dataset() -> Dataset:
    """Random images with labels."""
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, [STEPS * 16 + 24, 16, 16, 1], np.uint8)
    labels = chance.integers(0, 3, len(images))
    splits = (Split(images[own], labels[own]) for own in (slice(24, None), slice(24)))
    return Dataset("random", "", *splits, class_names=("a", "b", "c"))


def trained(settings: dict, distribution) -> dict[str, np.ndarray]:
    """The figures after some steps, and the weights before and after."""
    config, data = Config.create(**settings), dataset()
    data = with_classes(data) if config.conditional else data
    trainer = building.build_trainer(config, data, distribution)
    before = _weights(trainer.model)
    for part in trainer._parts(1, 0):
        trainer._take_steps(*part[:5])
    train = trainer._train_means()
    test = trainer._means_of_test_images() if config.model == "vae" else {}
    figures = np.array([*train.values(), *test.values()])
    return {"figures": figures, "before": before, "weights": _weights(trainer.model)}


def _weights(model) -> np.ndarray:
    networks = model.networks.values()
    return np.concatenate([
        weight.numpy().ravel() for network in networks for weight in network.trainable_weights
    ])  # fmt: skip


def compared(settings: dict, distribution) -> dict[str, float]:
    """How far two replicas are from one device: weights as a share of the way they came."""
    one, two = (trained(settings, each) for each in (SINGLE, distribution))
    figures = np.abs(one["figures"] - two["figures"]) / np.maximum(np.abs(one["figures"]), 1e-3)
    apart, way = one["weights"] - two["weights"], one["weights"] - one["before"]
    weights = np.linalg.norm(apart) / np.linalg.norm(way)
    return {"figures": float(figures.max()), "weights": float(weights)}


def main() -> None:
    """Writes what was found of all configurations to the file that is named."""
    keras.utils.set_random_seed(0)
    with start_strategy("mirrored", 2, {}) as distribution:
        found = {name: compared(settings, distribution) for name, settings in CONFIGS.items()}
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
