"""A straight way through the latent space, as a strip and as an animation."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.core.settings import LARGEST_SEED
from cvae_tf.data.given_images import Images
from cvae_tf.drawing import animations, mosaics
from cvae_tf.generation.common import (
    Generated,
    class_asked_for,
    classes_of,
    given_images,
    no_such_label,
    one_image,
    posterior_of,
)
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel

_STRIP, _FRAMES = 10, 40  # images of either


class _End(NamedTuple):
    """Where the way begins or ends."""

    latents: np.ndarray  # [Z]
    label: int | None  # of an image, if the model is a conditional one


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Decodes the latents between two ends, each an image or latents; without encoder, a seed.

    Of a conditional model each image is of the class of the nearer end, or of the label asked for.

    Raises:
        UserError: if an end is neither.
    """
    asked, images = class_asked_for(model, settings), None
    ends = {"start": settings.start, "end": settings.end}
    if "encode" in model.abilities and any(text.isdecimal() for text in ends.values()):
        images = given_images(model, settings)
    elif "encode" not in model.abilities and (settings.data_path or settings.invert):
        raise UserError(
            "--data_path and --invert do nothing: this model has no encoder, so that "
            "--start and --end are seeds or latents."
        )
    if settings.refine and images is None:
        raise UserError(
            "--refine does nothing: neither --start nor --end is an image, by its number."
        )
    start, end = (_end(model, images, name, settings) for name in ends)
    labels = [end.label if asked is None else asked for end in (start, end)]
    if model.num_classes and None in labels:
        raise no_such_label(None, model.class_names)

    def way(steps: int) -> np.ndarray:
        latents = np.linspace(start.latents, end.latents, steps, dtype=np.float32)
        halves = np.repeat(labels, [steps - steps // 2, steps // 2])
        return model.decode(latents, halves if model.num_classes else None)

    strip, animation = output / "interpolation.png", output / "interpolation.gif"
    frames = way(_FRAMES)
    animations.save_animation(animation, frames)
    mosaics.save_strip(strip, way(_STRIP))
    return Generated([strip, animation], {"images": frames})


def _end(
    model: GenerativeModel, images: Images | None, name: str, settings: GenerationSettings
) -> _End:
    """Reads an end: the posterior mean of an image, what a seed draws, or latents as they are."""
    text = getattr(settings, name)
    if text.isdecimal() and images is None:
        seed = min(int(text), LARGEST_SEED)
        return _End(model.sample_latents(1, derived_key(seed, Purpose.SAMPLES)).numpy()[0], None)
    if text.isdecimal():
        image = one_image(images, int(text), name)
        labels = classes_of(model, image)
        label = None if labels is None else int(labels[0])
        return _End(posterior_of(model, image, settings).mean[0], label)
    try:
        latents = np.array([float(part) for part in text.split(",")], np.float32)
    except ValueError:
        latents = np.array([np.nan])
    if latents.shape != (model.latent_dim,) or not np.isfinite(latents).all():
        number = "a seed" if images is None else "the number of an image"
        raise UserError(
            f"--{name}={text}: must be {number}, or {model.latent_dim} latents with commas "
            "between, such as 0.5,-1.2."
        )
    return _End(latents, None)
