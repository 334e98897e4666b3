"""Styles in a table: each row is one latent of a conditional model, each column a class."""

from pathlib import Path

import numpy as np

from cvae_tf.core.randomness import Purpose
from cvae_tf.drawing import mosaics
from cvae_tf.generation.common import Generated, in_all_classes, num_shown, usual_latents
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws as many rows as `num` images fill, at least one."""
    num_classes = len(model.class_names)
    rows = max(num_shown(settings) // num_classes, 1)
    images = in_all_classes(model, usual_latents(model, rows, settings.seed, Purpose.STYLES))
    path = output / "styles.png"
    mosaics.save_mosaic(path, np.concatenate(images), num_classes)
    return Generated([path], {"images": images})
