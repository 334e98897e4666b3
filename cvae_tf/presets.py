"""Values by name, known without TensorFlow: defaults, and the presets.

A preset is a network or a recipe: the settings that differ from `fast`, the default.
"""

import math
from typing import Any

REFINE_STEPS, MOST_REFINE_STEPS = 5, 1000  # Gauss-Newton steps that refine a posterior
MOST_REFINED = 64  # latent dimensions; a step decodes Z + 1 latents, and covariances are [B, Z, Z]
CANNOT_REFINE = (
    "This model cannot refine posteriors: it has no encoder, more than "
    f"{MOST_REFINED} latents, or a likelihood that does not say its information."
)
MOST_COVERED = 2  # latent dimensions that shared latents can cover
SHARED_LATENTS = 512
DEFAULT_PRESET, PHOTO_PRESET = "fast", "photo"
FEW_IMAGES = 5_000  # for training; below, the epochs of a preset have too few steps

_CONSTANT = {"schedule": "constant", "warmup_steps": 0}
PRESETS = {
    # The TensorFlow tutorial "Convolutional Variational Autoencoder", to the letter.
    "tutorial": {
        "network": "tutorial",
        "batch_size": 32,
        "learning_rate": 1e-4,
        **_CONSTANT,
    },
    # Several times faster and twenty nats better: see benchmarks/NOTES.md.
    "fast": {},
    # The classic dense network, 784-400-20-400-784, on grey levels as Bernoulli targets.
    "mlp20": {
        "network": "mlp",
        "latent_dim": 20,
        "binarize": "none",
        "objective": "elbo_analytic",
        "epochs": 15,
        "learning_rate": 1e-3,
        **_CONSTANT,
    },
    # Three dense layers each way (784-512-256-Z), with a heavier KL (Higgins et al. 2017).
    "mlp": {
        "network": "mlp",
        "hidden": "512,256",
        "latent_dim": 10,
        "beta": 4.0,
        "epochs": 15,
        "learning_rate": 2e-3,
    },
    # Dense layers and convolutions side by side.
    "hybrid": {
        "network": "hybrid",
        "latent_dim": 20,
        "learning_rate": 2e-3,
    },
    # The best log p(x) that three times the time of "fast" buys.
    "best": {
        "objective": "shared",
        "epochs": 21,
        "batch_size": 256,
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
        "learning_rate": 3e-3,
        "clip_norm": 100.0,
    },
    # A GAN for two cores, on photographs and digits: see benchmarks/NOTES.md.
    "gan": {
        "model": "gan",
        "network": "sub_pixel",
        "latent_dim": 128,
        "r1": 0.1,
        "beta1": 0.0,
        "ema": 0.995,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "schedule": "linear",
        "warmup_steps": 0,
    },
    # The classic one, after Radford et al. (2016).
    "dcgan": {
        "model": "gan",
        "network": "dcgan",
        "latent_dim": 100,
        "diff_augment": "none",
        "beta2": 0.999,
        "learning_rate": 2e-4,
        **_CONSTANT,
    },
}

_STEPS_FOR_FEW, _MOST_EPOCHS = 1500, 200
_PATIENCE = 4  # a run waits for a quarter of its epochs
_LARGEST_BATCH, _SMALLEST_BATCH, _BATCHES = 32, 8, 12  # so many in an epoch: each costs pictures


def settings_for_few(
    num: int, channels: int, preset: str, batch_size: int | None = None
) -> dict[str, Any]:
    """Settings that suit few images better than those of a preset: see docs/images.md.

    The number of steps decides the epochs: fewer images get more epochs.

    Args:
        num: images for training, from 1.
        channels: of an image; 3 are colours.
        preset: the one that was chosen for these images.
        batch_size: if it is given.

    Returns:
        Settings by name; none for many images, or another preset.
    """
    if num >= FEW_IMAGES or preset not in (DEFAULT_PRESET, PHOTO_PRESET):
        return {}
    if not batch_size:
        batch_size = _LARGEST_BATCH
        while batch_size > max(_SMALLEST_BATCH, num // _BATCHES):
            batch_size //= 2
    epochs = min(_MOST_EPOCHS, math.ceil(_STEPS_FOR_FEW / max(1, num // batch_size)))
    early_stop = math.ceil(epochs / _PATIENCE)
    chosen = {"batch_size": batch_size, "epochs": epochs, "early_stop": early_stop}
    if preset == DEFAULT_PRESET:
        return {"augment": 1.0, **chosen}
    # Warps blur photographs; and pictures without colours may show letters.
    flip = {"flip": True} if channels == 3 else {}
    return {"latent_dim": 32, **flip, "learning_rate": 1e-3, **chosen}
