"""The picture of an epoch and the curves of a VAE."""

from typing import Any

import numpy as np
import tensorflow as tf

from cvae_tf.drawing.curves import CurveGroup
from cvae_tf.drawing.panels import Panel
from cvae_tf.models.vae.pixels import Pixels

_NUM_SAMPLES = 64  # in the picture of an epoch
_MOST_CLASSES, _OF_EACH = 16, 8  # rows and columns of a conditional model's samples


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
        _samples_of_classes(model, seed) if model.num_classes else _samples(model, seed),
        Panel("Test images, each row over its reconstructions", pairs),
    ]


def _samples(model: Any, seed: tf.Tensor) -> Panel:
    return Panel("Samples from the prior", [model.sample(_NUM_SAMPLES, seed).numpy()])


def _samples_of_classes(model: Any, seed: tf.Tensor) -> Panel:
    """A row for each class, in all rows of the same latents; of too many classes some."""
    num = min(model.num_classes, _MOST_CLASSES)
    classes = np.arange(num) * model.num_classes // num
    latents = tf.random.stateless_normal([_OF_EACH, model.latent_dim], seed)
    labels = tf.constant(np.repeat(classes, _OF_EACH), tf.int32)
    images = model.decode_mean(tf.tile(latents, [num, 1]), labels)
    title = "Samples, a row for each class, a column for each latent"
    return Panel(title, [images.numpy()], columns=_OF_EACH)


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
