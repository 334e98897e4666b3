"""The picture of an epoch and the curves of a VAE."""

from typing import Any

import tensorflow as tf

from cvae_tf.drawing.curves import CurveGroup
from cvae_tf.drawing.panels import Panel
from cvae_tf.models.vae.pixels import Pixels

_NUM_SAMPLES = 64  # in the picture of an epoch


def epoch_panels(model: Any, originals: tf.Tensor, seed: tf.Tensor) -> list[Panel]:
    """Shows samples from the prior, and test images over their reconstructions.

    Args:
        model: a `CVAE`.
        originals: pixels of test images, [B, H, W, C].
        seed: int32 [2], of the samples.

    Returns:
        The two parts of the picture.
    """
    pairs = [originals.numpy(), model(originals).numpy()]
    return [
        Panel("Samples from the prior", [model.sample(_NUM_SAMPLES, seed).numpy()]),
        Panel("Test images, each row over its reconstructions", pairs),
    ]


def curves(pixels: Pixels) -> list[CurveGroup]:
    """Which columns of `metrics.csv` are drawn together."""
    elbo, log_likelihood, kl = pixels.terms.values()
    large = {
        f"train_{elbo.name}": "--",
        "train_objective": "-.",
        f"test_{elbo.name}": "-",
        f"test_{log_likelihood.name}": ":",
    }
    return [
        CurveGroup("What is to be large", elbo.unit, large),
        CurveGroup("KL of posterior from prior (test)", kl.unit, {f"test_{kl.name}": "-"}),
    ]
