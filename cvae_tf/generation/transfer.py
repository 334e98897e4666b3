"""The style of images in every class: each row is an image, then what it would be as another."""

from pathlib import Path

import numpy as np

from cvae_tf.drawing import mosaics
from cvae_tf.generation.common import (
    Generated,
    classes_of,
    given_images,
    in_all_classes,
    num_shown,
    spread_out,
)
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws as many rows as `num` images fill, at least one; a gap stands behind the originals."""
    rows = max(num_shown(settings) // (len(model.class_names) + 1), 1)
    originals = spread_out(given_images(model, settings), rows)
    latents = model.encode(originals.pixels, classes_of(model, originals)).mean
    images = in_all_classes(model, latents)
    first = originals.pixels[:, np.newaxis]
    table = np.concatenate([first, np.ones_like(first), images], axis=1)
    path = output / "transfer.png"
    mosaics.save_mosaic(path, np.concatenate(table), table.shape[1])
    return Generated([path], {"originals": originals.pixels, "images": images})
