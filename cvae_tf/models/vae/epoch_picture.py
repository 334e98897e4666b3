"""The picture of an epoch and the curves of a VAE."""

from typing import Any

import tensorflow as tf

from cvae_tf.drawing.curves import CurveGroup
from cvae_tf.drawing.panels import Panel
from cvae_tf.models import sample_panels
from cvae_tf.models.vae.pixels import Pixels


def epoch_panels(
    model: Any, originals: tf.Tensor, labels: tf.Tensor | None, seed: tf.Tensor
) -> list[Panel]:
    """Shows samples from the prior, and test images over their reconstructions.

    Args:
        model: a `CVAE`.
        originals: pixels of test images, [B, H, W, C].
        labels: theirs, int32 [B], if the model is a conditional one.
        seed: int32 [2], of the samples.

    Returns:
        The two parts of the picture.
    """
    pairs = [originals.numpy(), model.reconstruct(originals, labels).numpy()]
    return [
        sample_panels.samples(model, seed, "Samples from the prior"),
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
