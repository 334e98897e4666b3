"""Images of a class: decoded posterior samples of examples that are typical of its label."""

from pathlib import Path

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose
from cvae_tf.data.given_images import Images
from cvae_tf.drawing import mosaics
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.generation.common import (
    Generated,
    given_images,
    num_shown,
    posterior_samples,
)
from cvae_tf.generation.settings import GenerationSettings

_LISTED = 20  # labels in an error
_NEIGHBOURS = 10  # examples that show whether another one is typical of its label


def make(model: LoadedModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws images of a label.

    Raises:
        UserError: if the images have no labels, or not this one.
    """
    given = given_images(model, settings)
    if given.labels is None:
        raise UserError("--mode=class needs labelled images, such as an .npz with y_test.")
    wanted = labelled(given, settings.label)
    typical = typical_examples(model.encode(given.pixels).mean, wanted)
    num = num_shown(settings)
    chosen = given.pixels[np.resize(typical[:num], num)]
    images = model.decode(posterior_samples(model, chosen, settings, Purpose.CLASS_SAMPLES))
    return Generated([mosaics.save_mosaic(output / "class.png", images)], {"images": images})


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
    for labels in (given.shown_labels.astype(str), given.labels.astype(str)):
        if label is not None and np.any(labels == label):
            return labels == label
    fault = " is needed" if label is None else f"={label}: unknown"
    known = sorted(set(given.shown_labels.astype(str)))
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    raise UserError(f"--label{fault}; choose from {', '.join(known[:_LISTED])}{more}.")


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
