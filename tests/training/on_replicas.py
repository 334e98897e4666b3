"""Takes steps on one device and on two logical CPUs, in a process of its own; writes JSON.

TensorFlow divides a processor only before it is first used, so tests cannot do it themselves.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cvae_tf import whole_run
from cvae_tf.config import Config
from cvae_tf.core import replicas
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.labelled import with_classes
from cvae_tf.training import strategies
from cvae_tf.training.distribution import SINGLE

STEPS = 4
SMALL = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-4}
DENSE = {"preset": "fast", "network": "mlp", "hidden": "8", **SMALL}
CONFIGS = {
    "convolutions": {"preset": "fast", **SMALL},
    "drawn pixels": {
        **DENSE, "binarize": "dynamic", "augment": 0.5, "objective": "iwae", "denoise": 0.2,
        "importance_samples": 3,
    },
    "labels": {
        **DENSE, "conditional": True, "free_bits": 0.5, "ema": 0.9, "clip_norm": 0.1, "flip": True,
    },
    "shared latents": {**DENSE, "objective": "shared", "shared_latents": 24, "conditional": True},
    "GAN": {"model": "gan", "preset": "gan", "latent_dim": 4, "r1": 0.1,
            "diff_augment": "colour,translation", **SMALL},
    "GAN with dropout": {"model": "gan", "preset": "gan", "network": "dcgan", "latent_dim": 4,
                         **SMALL},
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
    trainer = whole_run.build_trainer(config, data, distribution)
    before = _weights(trainer.model)
    train = trainer._train_epoch(1, 0, lambda *_: None)
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
    one, two = trained(settings, SINGLE), trained(settings, distribution)
    figures = np.abs(one["figures"] - two["figures"]) / np.maximum(np.abs(one["figures"]), 1e-3)
    apart, way = one["weights"] - two["weights"], one["weights"] - one["before"]
    weights = np.linalg.norm(apart) / np.linalg.norm(way)
    return {"figures": float(figures.max()), "weights": float(weights)}


def pieces(distribution) -> dict[str, list]:
    """What `core.replicas` gives to replicas of two rows each; those of all joined."""
    rows = tf.reshape(tf.range(8.0), [4, 2])

    def on_replica() -> dict[str, tf.Tensor]:
        own = tf.slice(rows, [replicas.first_row(2), 0], [2, 2])
        drawn = replicas.own_rows(lambda num: tf.range(3 * num), 2, samples=3)
        with tf.GradientTape() as tape:
            tape.watch(own)
            mean = replicas.mean(tf.reduce_mean(own**2, axis=0))
            value = tf.reduce_sum(mean**2)
        return {
            "rolled": replicas.rolled(own, 1), "drawn": drawn[None], "mean": mean[None],
            "gathered": replicas.gathered(own)[None], "gradient": tape.gradient(value, own),
            "count": tf.constant([replicas.count()]),
        }  # fmt: skip

    found = tf.function(lambda: distribution.strategy.run(on_replica))()
    join = distribution.strategy.experimental_local_results
    return {name: np.concatenate(join(value)).tolist() for name, value in found.items()}


def main() -> None:
    """Writes what was found to the file that is named."""
    keras.utils.set_random_seed(0)
    distribution = strategies.start("mirrored", 2, {})
    found = {name: compared(settings, distribution) for name, settings in CONFIGS.items()}
    text = json.dumps({"compared": found, "pieces": pieces(distribution)})
    Path(sys.argv[1]).write_text(text)


if __name__ == "__main__":
    main()
