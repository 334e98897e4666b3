"""What the modes share: their result, the images and classes to work on, images around others."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import listed
from cvae_tf.core.randomness import Purpose, derived_key, numpy_generator
from cvae_tf.data.given_images import Images, class_numbers, read_asked_for
from cvae_tf.data.inspection import choose_shown
from cvae_tf.data.labels import MOST_LISTED, class_number
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.vae.posterior import FullPosterior, Posterior

_LARGEST_MOSAIC = 10_000  # images


class Generated(NamedTuple):
    """What was made."""

    files: list[Path]  # the one to look at first
    arrays: dict[str, np.ndarray]  # what they show, by name
    notes: tuple[str, ...] = ()  # what is to be known of them


def given_images(model: GenerativeModel, settings: GenerationSettings) -> Images:
    """Reads the images to work on: the given ones, or the model's own test images."""
    return read_asked_for(settings, model.image_shape, model.metadata)


def spread_out(images: Images, num: int) -> Images:
    """Picks some of the images: of all classes, from the whole set, in its order."""
    return pick(images, np.sort(choose_shown(images.labels, len(images.pixels), num)))


def pick(images: Images, numbers: np.ndarray | list[int]) -> Images:
    """Picks images by their numbers."""
    return images._replace(
        pixels=images.pixels[numbers],
        labels=None if images.labels is None else images.labels[numbers],
        names=[images.names[number] for number in numbers],
    )


def one_image(images: Images, index: int, setting: str) -> Images:
    """Picks one image; raises a UserError that names the setting if there is no such image."""
    num = len(images.pixels)
    if index >= num:
        raise UserError(f"--{setting}={index}: there are {num} images, counted from 0.")
    return pick(images, [index])


def classes_of(model: GenerativeModel, images: Images) -> np.ndarray | None:
    """The classes of images as a conditional model takes them, int32 [N]; None for another.

    Raises:
        UserError: if it needs labels and there are none, or others than it knows.
    """
    return class_numbers(images, model.class_names) if model.num_classes else None


def class_asked_for(model: GenerativeModel, settings: GenerationSettings) -> int | None:
    """The number of the class that `label` names; None if it is not given.

    Raises:
        UserError: if the model knows no labels, or not this one.
    """
    if settings.label is None:
        return None
    if not model.num_classes:
        raise UserError(
            f"--label={settings.label}: this model knows no labels; train one with --conditional."
        )
    number = class_number(settings.label, model.class_names)
    if number is None:
        raise no_such_label(settings.label, model.class_names)
    return number


def labels_of(label: int | None, num: int) -> np.ndarray | None:
    """The number of a class once for each of so many images; None for None."""
    return None if label is None else np.full(num, label)


def no_such_label(label: str | None, known: tuple[str, ...]) -> UserError:
    """The error of a label that is unknown, or None where one is needed."""
    fault = " is needed" if label is None else f"={label}: unknown"
    return UserError(f"--label{fault}; choose from {listed(known, MOST_LISTED)}.")


def num_shown(settings: GenerationSettings) -> int:
    """The number of images for a picture; raises a UserError if they are too many for one."""
    if settings.num > _LARGEST_MOSAIC:
        raise UserError(
            f"--num={settings.num}: a picture shows {_LARGEST_MOSAIC} images at most; "
            "--mode=samples --individual writes any number of files."
        )
    return settings.num


def posterior_of(
    model: GenerativeModel, images: Images, settings: GenerationSettings
) -> Posterior | FullPosterior:
    """Finds the posteriors of images: the encoder's, or refined ones if that is asked for."""
    labels = classes_of(model, images)
    if settings.refine:
        return model.refine(images.pixels, labels, steps=settings.refine)
    return model.encode(images.pixels, labels)


def around(
    model: GenerativeModel, images: Images, settings: GenerationSettings, purpose: Purpose
) -> np.ndarray:
    """Draws an image [N, H, W, C] of latents about the posterior mean of each of N images.

    They are `spread` deviations of the posterior wide.

    Raises:
        UserError: if the model has no deviations.
    """
    labels = classes_of(model, images)
    posterior = posterior_of(model, images, settings)
    if posterior.logvar is None:
        raise UserError("This model encodes without noise: there is nothing around an image.")
    noise = numpy_generator(settings.seed, purpose).standard_normal(posterior.mean.shape)
    latents = np.asarray(posterior.sample(settings.spread * noise.astype(np.float32)))
    return model.decode(latents, labels)


def usual_latents(model: GenerativeModel, num: int, seed: int, purpose: Purpose) -> np.ndarray:
    """Draws latents [num, Z] as samples have them: from the prior, or from a fitted mixture."""
    if "sample_latents" in model.abilities:
        return model.sample_latents(num, derived_key(seed, purpose)).numpy()
    return numpy_generator(seed, purpose).standard_normal((num, model.latent_dim))


def in_all_classes(model: GenerativeModel, latents: np.ndarray) -> np.ndarray:
    """Decodes latents [N, Z] of a conditional model as images of each class, [N, Y, H, W, C]."""
    num_classes = len(model.class_names)
    labels = np.tile(np.arange(num_classes), len(latents))
    images = model.decode(np.repeat(latents, num_classes, axis=0), labels)
    return images.reshape(len(latents), num_classes, *images.shape[1:])
