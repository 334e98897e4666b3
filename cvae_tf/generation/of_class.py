"""Images of a class.

A conditional model draws them. With another one they are decoded posterior samples of examples that
are typical of the label.
"""

from pathlib import Path

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose
from cvae_tf.data.given_images import Images
from cvae_tf.data.labels import composed
from cvae_tf.drawing import mosaics
from cvae_tf.generation.common import (
    Generated,
    around,
    class_asked_for,
    given_images,
    no_such_label,
    num_shown,
    pick,
    usual_latents,
)
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel

_NEIGHBOURS = 10  # examples that show whether another one is typical of its label


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws images of a label.

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
