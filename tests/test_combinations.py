"""Settings in combination: what was made to stand together learns, and draws."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import VAE_NETWORKS

from cvae_tf.config import OBJECTIVES, Config
from cvae_tf.models.vae.likelihoods import BINARIZATIONS, LIKELIHOODS
from cvae_tf.training.building import build_model

NAMES = "network", "optimizer", "likelihood", "binarize", "objective", "conditional"
CASES = [  # the first one is quick
    ("mlp", "lion", "bernoulli", "none", "shared", False),
    ("hybrid", "rmsprop", "gaussian", "none", "iwae", True),
    ("tutorial", "muon", "bernoulli", "dynamic", "elbo", True),
    ("patches", "sgd", "continuous_bernoulli", "none", "shared", False),
    ("patches", "adam", "bernoulli", "threshold", "iwae", False),
    ("patches_smooth", "adamw", "discretized_logistic", "none", "elbo_analytic", True),
    ("patches_residual", "adamax", "neighbour_logistic", "none", "elbo", True),
]


def _settings(case):
    given = dict(zip(NAMES, case, strict=True))
    samples = {"importance_samples": 2} if given["objective"] == "iwae" else {}
    rate = 1e-4 if given["optimizer"] == "sgd" else 1e-3
    return {**given, **samples, "latent_dim": 2, "learning_rate": rate, "epochs": 1}


def test_every_name_stands_in_a_case():
    networks, _, *columns = zip(*CASES, strict=True)
    assert set(networks) == set(VAE_NETWORKS)
    tables = LIKELIHOODS, BINARIZATIONS, OBJECTIVES, (False, True)
    assert list(map(set, columns)) == list(map(set, tables))


@pytest.mark.parametrize(
    "case", [CASES[0], *(pytest.param(case, marks=pytest.mark.slow) for case in CASES[1:])]
)
def test_a_step_moves_all_weights_and_images_are_drawn(case):
    size = 28 if case[0] == "tutorial" else 12
    config = Config.create(preset="tutorial", **_settings(case))
    model = build_model(config, (size, size, 1), num_images=8, num_classes=3)
    random, labels = np.random.default_rng(0), np.arange(8) % 3 if config.conditional else None
    grey = tf.constant(random.random((8, size, size, 1)), tf.float32)
    before = [variable.numpy() for variable in model.trainable_variables]
    means = tf.function(model.train_step)(model.training_batch(grey, labels, model.steps))
    assert all(np.isfinite(float(value)) for value in means.values())
    still = [variable.path for variable, old in zip(model.trainable_variables, before, strict=True)
             if np.array_equal(variable, old)]  # fmt: skip
    assert not still
    latents = random.normal(size=(3, 2)).astype(np.float32)
    images, *others = (
        model.decode(latents, np.full(3, label) if config.conditional else None)
        for label in ([0, 1] if config.conditional else [0])
    )
    assert images.shape == (3, size, size, 1) and 0 <= images.min() <= images.max() <= 1
    assert all(np.abs(images - other).max() > 0 for other in others)
