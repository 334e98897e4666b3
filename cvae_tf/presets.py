"""The presets: named networks and recipes, as values of settings in `config.py`."""

from typing import Any

from cvae_tf import registry

MOST_COVERED = 2  # latent dimensions, by latents that all images share
SHARED_LATENTS = 512

PRESETS = {
    # The TensorFlow tutorial "Convolutional Variational Autoencoder", to the letter.
    "tutorial": {
        "network": "tutorial",
        "batch_size": 32,
        "learning_rate": 1e-4,
        "schedule": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # Several times faster and twenty nats better: see benchmarks/NOTES.md.
    "fast": {
        "network": "patches",
        "batch_size": 128,
        "learning_rate": 4e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # The classic dense network, 784-400-20-400-784, on grey levels as Bernoulli targets.
    "mlp20": {
        "network": "mlp",
        "latent_dim": 20,
        "binarize": "none",
        "objective": "elbo_analytic",
        "epochs": 15,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # Three dense layers each way (784-512-256-Z), with a heavier KL (Higgins et al. 2017).
    "mlp": {
        "network": "mlp",
        "hidden": "512,256",
        "latent_dim": 10,
        "beta": 4.0,
        "epochs": 15,
        "batch_size": 128,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # Dense layers and convolutions side by side.
    "hybrid": {
        "network": "hybrid",
        "latent_dim": 20,
        "epochs": 10,
        "batch_size": 128,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # The best log p(x) that three times the time of "fast" buys.
    "best": {
        "network": "patches",
        "objective": "shared",
        "epochs": 21,
        "batch_size": 256,
        "learning_rate": 4e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.05,
        "augment": 0.15,
    },
    # Grey levels and colours as they are: see benchmarks/NOTES.md.
    "photo": {
        "network": "patches_residual",
        "latent_dim": 256,
        "binarize": "none",
        "likelihood": "discretized_logistic",
        "sampler": "mixture",
        "epochs": 15,
        "batch_size": 128,
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.0,
        "clip_norm": 100.0,
        "augment": 0.0,
    },
    # A GAN for two cores, on photographs and digits: see benchmarks/NOTES.md.
    "gan": {
        "model": "gan",
        "network": "sub_pixel",
        "latent_dim": 128,
        "r1": 0.1,
        "beta1": 0.0,
        "beta2": 0.99,
        "ema": 0.995,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "schedule": "linear",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # The classic one, after Radford et al. (2016).
    "dcgan": {
        "model": "gan",
        "network": "dcgan",
        "latent_dim": 100,
        "diff_augment": "none",
        "beta1": 0.5,
        "beta2": 0.999,
        "batch_size": 128,
        "learning_rate": 2e-4,
        "schedule": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
}
DEFAULT_PRESET, PHOTO_PRESET = "fast", "photo"


def joined(preset: str, given: dict[str, Any]) -> dict[str, Any]:
    """Joins the values of a preset with those that were asked for, which win.

    The objective of a preset gives way to the usual one where it cannot be had, or was not tried:
    with more latents, of which too many were needed to cover the prior; with 256 grey levels, where
    it would take very long; with classes, among which the latents would be divided.
    """
    values = {**PRESETS[preset], **given}
    if values.get("objective") == "shared" and "objective" not in given:
        few = values.get("latent_dim", 1) in range(MOST_COVERED + 1)
        likelihood = str(given.get("likelihood", "bernoulli"))
        of_levels = registry.LIKELIHOODS[likelihood].is_of_levels
        if not few or of_levels or given.get("conditional"):
            del values["objective"]
    return values
