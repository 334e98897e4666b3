"""A straight way through the latent space, as a strip and as an animation."""

from pathlib import Path

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.data.given_images import Images
from cvae_tf.drawing import animations, mosaics
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.generation.common import Generated, given_images, one_image
from cvae_tf.generation.settings import GenerationSettings

_STRIP, _FRAMES = 10, 40  # images of either


def make(model: LoadedModel, settings: GenerationSettings, output: Path) -> Generated:
    """Decodes the latents between two ends, each an image or latents.

    Raises:
        UserError: if an end is neither, or is an image and the model cannot encode.
    """
    ends = {"start": settings.start, "end": settings.end}
    images = None
    if any(text.isdecimal() for text in ends.values()):
        if "encode" not in model.abilities:
            raise UserError("--start and --end: this model has no encoder; give latents.")
        images = given_images(model, settings)
    start, end = (_latents(model, images, name, text) for name, text in ends.items())

    def way(steps: int) -> np.ndarray:
        return model.decode(np.linspace(start, end, steps, dtype=np.float32))

    strip, animation = output / "interpolation.png", output / "interpolation.gif"
    frames = way(_FRAMES)
    animations.save_animation(animation, frames)
    mosaics.save_strip(strip, way(_STRIP))
    return Generated([strip, animation], {"images": frames})


def _latents(model: LoadedModel, images: Images | None, name: str, text: str) -> np.ndarray:
    """Reads an end: the posterior mean of an image, or latents as they are."""
    if text.isdecimal():
        return model.encode(one_image(images, int(text), name)).mean[0]
    try:
        latents = np.array([float(part) for part in text.split(",")], np.float32)
    except ValueError:
        latents = np.array([np.nan])
    if latents.shape != (model.latent_dim,) or not np.isfinite(latents).all():
        raise UserError(
            f"--{name}={text}: must be the number of an image, or {model.latent_dim} latents "
            "with commas between, such as 0.5,-1.2."
        )
    return latents
