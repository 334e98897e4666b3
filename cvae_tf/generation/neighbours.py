"""More like one image: that image, then decoded samples around its posterior."""

from pathlib import Path

import numpy as np

from cvae_tf.core.randomness import Purpose
from cvae_tf.drawing import mosaics
from cvae_tf.generation.common import (
    Generated,
    around,
    given_images,
    num_shown,
    one_image,
    pick,
)
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws images around one."""
    image = one_image(given_images(model, settings), settings.index, "index")
    repeated = pick(image, [0] * num_shown(settings))
    images = around(model, repeated, settings, Purpose.NEIGHBOURS)
    path = mosaics.save_mosaic(output / "neighbours.png", np.concatenate([image.pixels, images]))
    return Generated([path], {"original": image.pixels, "images": images})
