"""The plane through three latents, decoded: what a manifold is where there are many latents."""

from pathlib import Path

import numpy as np

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.drawing import mosaics
from cvae_tf.generation.common import Generated, class_asked_for
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel

_SIDE = 15  # images
_MANY = 8  # latent dimensions, from which on hardly a latent is near the middle


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws a square of latents, three of whose corners are what a seed draws.

    Those between are brought to the usual distance from the middle: in many dimensions latents are
    hardly ever near it, and what is drawn there is not what samples look like.
    """
    label = class_asked_for(model, settings)
    corners = model.sample_latents(3, derived_key(settings.seed, Purpose.SAMPLES)).numpy()
    latents = on_plane(corners, _SIDE)
    labels = None
    if model.num_classes:
        labels = np.full(len(latents), 0 if label is None else label)
    images = model.decode(latents, labels)
    path = mosaics.save_mosaic(output / "plane.png", images, _SIDE)
    notes = ()
    if model.num_classes and label is None:
        notes = (f"All of the class {model.class_names[0]}; --label asks for another.",)
    return Generated([path], {"images": images, "latents": latents}, notes)


def on_plane(corners: np.ndarray, side: int) -> np.ndarray:
    """Latents of a square on the plane through three.

    Args:
        corners: of the upper left, upper right and lower left corner, [3, Z].
        side: latents in a row, and rows.

    Returns:
        Row by row, [side * side, Z]; of many dimensions each as far from the middle as its share of
        the corners says, of few as it is.
    """
    down, right = np.meshgrid(*[np.linspace(0, 1, side)] * 2, indexing="ij")
    shares = np.stack([1 - down - right, right, down], axis=-1).reshape(-1, 3)
    latents, lengths = shares @ corners, np.linalg.norm(corners, axis=1)
    if corners.shape[1] < _MANY:
        return latents.astype(np.float32)
    weights = np.abs(shares) / np.abs(shares).sum(axis=1, keepdims=True)
    own = np.linalg.norm(latents, axis=1, keepdims=True)
    return (latents * (weights @ lengths)[:, None] / np.maximum(own, 1e-6)).astype(np.float32)
