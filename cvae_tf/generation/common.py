"""What the modes share: their result, the images to work on, samples of posteriors."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, numpy_generator
from cvae_tf.data.given_images import Images, read_asked_for
from cvae_tf.data.shown_images import choose_shown
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.generation.settings import GenerationSettings

_LARGEST_MOSAIC = 10_000  # images


class Generated(NamedTuple):
    """What was made."""

    files: list[Path]  # the one to look at first
    arrays: dict[str, np.ndarray]  # what they show, by name
    notes: tuple[str, ...] = ()  # what is to be known of them


def given_images(model: LoadedModel, settings: GenerationSettings) -> Images:
    """Reads the images to work on: the given ones, or the model's own test images."""
    return read_asked_for(settings, model.image_shape, model.metadata)


def some_images(model: LoadedModel, settings: GenerationSettings) -> np.ndarray:
    """Reads as many images as a picture shows: of all classes, from the whole set, in its order.

    Raises:
        UserError: if they cannot be had, or are too many for one picture.
    """
    num = num_shown(settings)
    given = given_images(model, settings)
    return given.pixels[np.sort(choose_shown(given.labels, len(given.pixels), num))]


def one_image(images: Images, index: int, setting: str) -> np.ndarray:
    """Picks one image, [1, H, W, C].

    Raises:
        UserError: naming the setting, if there is no such image.
    """
    num = len(images.pixels)
    if index >= num:
        raise UserError(f"--{setting}={index}: there are {num} images, counted from 0.")
    return images.pixels[index : index + 1]


def num_shown(settings: GenerationSettings) -> int:
    """The number of images for a picture.

    Raises:
        UserError: if they are too many for one.
    """
    if settings.num > _LARGEST_MOSAIC:
        raise UserError(
            f"--num={settings.num}: a picture shows {_LARGEST_MOSAIC} images at most; "
            "--mode=samples --individual writes any number of files."
        )
    return settings.num


def posterior_samples(
    model: LoadedModel, images: np.ndarray, settings: GenerationSettings, purpose: Purpose
) -> np.ndarray:
    """Draws latents [N, Z] about the posterior means of images, `spread` deviations wide.

    Raises:
        UserError: if the model has no deviations.
    """
    posterior = model.encode(images)
    if posterior.logvar is None:
        raise UserError("This model encodes without noise: there is nothing around an image.")
    noise = numpy_generator(settings.seed, purpose).standard_normal(posterior.mean.shape)
    return posterior.mean + settings.spread * np.exp(0.5 * posterior.logvar) * noise
