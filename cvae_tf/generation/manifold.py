"""The whole of a two-dimensional latent space, decoded."""

from pathlib import Path

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.drawing.manifold import draw_manifold, draw_manifolds
from cvae_tf.generation.common import Generated, class_asked_for
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws the manifold, of a conditional model that of a label, or a small one of each class.

    Raises:
        UserError: if the latent space has not two dimensions.
    """
    if model.latent_dim != 2:
        raise UserError(
            f"--mode=manifold needs 2 latent dimensions; this model has {model.latent_dim}."
        )
    path, label = output / "manifold.png", class_asked_for(model, settings)
    if model.num_classes and label is None:
        images = draw_manifolds(path, model.decode, model.class_names)
    else:
        images = draw_manifold(path, lambda latents: model.decode(latents, _all(label, latents)))
    return Generated([path], {"images": images})


def _all(label: int | None, latents: np.ndarray) -> np.ndarray | None:
    return None if label is None else np.full(len(latents), label)
