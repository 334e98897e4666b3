"""Modes that draw images of latents: of the prior, of a plane, of a way, of a class."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.core.settings import LARGEST_SEED
from cvae_tf.data.given_images import Images
from cvae_tf.data.labels import composed
from cvae_tf.drawing import mosaics
from cvae_tf.generation.common import (
    Generated,
    around,
    class_asked_for,
    classes_of,
    given_images,
    in_all_classes,
    labels_of,
    no_such_label,
    num_shown,
    one_image,
    pick,
    posterior_of,
    usual_latents,
)
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel

_SIDE = 15  # of a plane, images
_MANY = 8  # latent dimensions, from which on hardly a latent is near the middle
_STRIP, _FRAMES = 10, 40  # images of an interpolation, of either kind
_NEIGHBOURS = 10  # examples that show whether another one is typical of its label


def make_samples(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws images, of a conditional model those of a label, or of all classes in turn.

    Of individual files there may be too many to return them.
    """
    labels = labels_of(class_asked_for(model, settings), settings.num)
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


def make_manifold(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
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
        images = mosaics.draw_manifold(path, model.decode, class_names=model.class_names)
    else:
        images = mosaics.draw_manifold(path, lambda z, _: model.decode(z, labels_of(label, len(z))))
    return Generated([path], {"images": images})


def make_plane(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws the plane through three latents that a seed draws, its corners.

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


class _End(NamedTuple):
    """Where the way begins or ends."""

    latents: np.ndarray  # [Z]
    label: int | None  # of an image, if the model is a conditional one


def make_interpolation(
    model: GenerativeModel, settings: GenerationSettings, output: Path
) -> Generated:
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
    mosaics.save_animation(animation, frames)
    mosaics.save_mosaic(strip, way(_STRIP), columns=_STRIP)
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


def make_class(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws images of a label.

    A conditional model draws them. With another one they are decoded posterior samples of examples
    that are typical of the label.

    Raises:
        UserError: if there are no labels, or not this one.
    """
    is_drawn = model.num_classes
    images = _drawn(model, settings) if is_drawn else _like_examples(model, settings)
    return Generated([mosaics.save_mosaic(output / "class.png", images)], {"images": images})


def _drawn(model: GenerativeModel, settings: GenerationSettings) -> np.ndarray:
    """Samples of the prior, `spread` times as wide, decoded as images of the class."""
    for name in ("data_path", "invert"):
        if getattr(settings, name):
            raise UserError(f"--{name}: a conditional model draws its classes without examples.")
    label = class_asked_for(model, settings)
    if label is None:
        raise no_such_label(None, model.class_names)
    latents = usual_latents(model, num_shown(settings), settings.seed, Purpose.CLASS_SAMPLES)
    return model.decode(settings.spread * latents, np.full(len(latents), label))


def _like_examples(model: GenerativeModel, settings: GenerationSettings) -> np.ndarray:
    given = given_images(model, settings)
    if given.labels is None:
        raise UserError("--mode=class needs labelled images, such as an .npz with y_test.")
    wanted = labelled(given, settings.label)
    typical = typical_examples(model.encode(given.pixels).mean, wanted)
    num = num_shown(settings)
    chosen = pick(given, np.resize(typical[:num], num))
    return around(model, chosen, settings, Purpose.CLASS_SAMPLES)


def labelled(given: Images, label: str | None) -> np.ndarray:
    """Finds the images of a label.

    Args:
        given: images with labels.
        label: what they are called, or if nothing is called so, their number.

    Returns:
        bool [N].

    Raises:
        UserError: if none are labelled so.
    """
    for labels in (given.shown_labels, given.labels):
        texts = [composed(text) for text in labels.astype(str).tolist()]
        if label is not None and composed(label) in texts:
            return np.array([text == composed(label) for text in texts])
    raise no_such_label(label, tuple(sorted(set(given.shown_labels.astype(str)))))


def typical_examples(means: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Orders the wanted images by how many of their nearest neighbours are wanted too.

    Args:
        means: posterior means, [N, Z].
        wanted: bool [N].

    Returns:
        The indices of the wanted images, the most typical first.
    """
    candidates = np.flatnonzero(wanted)
    shares = []
    for candidate in candidates:
        distances = np.sum((means - means[candidate]) ** 2, axis=1)
        nearest = np.argsort(distances, kind="stable")[1 : _NEIGHBOURS + 1]
        shares.append(wanted[nearest].mean() if len(nearest) else 1.0)
    return candidates[np.argsort(-np.array(shares), kind="stable")]


def make_styles(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws a table of styles: each row is one latent, each column a class.

    As many rows as `num` images fill, at least one.
    """
    num_classes = len(model.class_names)
    rows = max(num_shown(settings) // num_classes, 1)
    images = in_all_classes(model, usual_latents(model, rows, settings.seed, Purpose.STYLES))
    path = output / "styles.png"
    mosaics.save_mosaic(path, np.concatenate(images), num_classes)
    return Generated([path], {"images": images})
