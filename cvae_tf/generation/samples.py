"""Images from the prior, as a mosaic or as files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cvae_tf.drawing import mosaics
from cvae_tf.generation.common import Generated, class_asked_for, num_shown
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws images, of a conditional model those of a label, or of all classes in turn.

    Of individual files there may be too many to return them.
    """
    label = class_asked_for(model, settings)
    labels = None if label is None else np.full(settings.num, label)
    if settings.individual:
        parts = model.sample_in_parts(settings.num, settings.seed, labels)
        return Generated(list(_save_each(parts, output)), {})
    images = model.sample(num_shown(settings), settings.seed, labels)
    return Generated([mosaics.save_mosaic(output / "samples.png", images)], {"images": images})


def _save_each(parts: Iterator[np.ndarray], output: Path) -> Iterator[Path]:
    number = 0
    for part in parts:
        for image in part:
            path = output / f"sample_{number:06d}.png"
            mosaics.save_image(path, image)
            yield path
            number += 1
