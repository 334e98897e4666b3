"""How far what a model draws is from real images: Frechet distance, precision and recall."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core import terminal
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.data.batches import batch_slices
from cvae_tf.data.datasets import with_classes
from cvae_tf.data.given_images import load_own
from cvae_tf.data.inspection import evenly_spaced_indices
from cvae_tf.distances import for_dataset
from cvae_tf.distances.distances import (
    MOST_IMAGES,
    NEIGHBOURS,
    PrecisionRecall,
    frechet_distance,
    precision_recall,
    statistics,
)
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.exporting.load import as_known
from cvae_tf.models.base import GenerativeModel


class Distance(NamedTuple):
    """What was found of drawn images beside as many test images."""

    images: int  # of each kind
    features: str  # in which they are compared, for people
    of: str  # which images, for people
    frechet: float
    floor: float  # the same of training images
    share: PrecisionRecall
    seed: int


def measure(model: GenerativeModel, settings: EvaluationSettings) -> Distance:
    """Compares drawn images with the test images that the model comes with.

    Args:
        model: which draws.
        settings: the features, the seed.

    Raises:
        UserError: if the images that it was trained on cannot be had.
    """
    dataset = load_own(model.metadata)
    if len(dataset.test.images) < 2:
        raise UserError(f"{dataset.name}: a distance needs two test images at least.")
    dataset = with_classes(dataset) if model.class_names else dataset
    features = for_dataset(dataset, settings.features)
    num = min(MOST_IMAGES, len(dataset.test.images))
    labels = dataset.test.labels
    terminal.say(f"{num:,} images are drawn, and compared with as many real ones.")
    real, training = (
        features.of_parts(_real(split.images, num, model))
        for split in (dataset.test, dataset.train)
    )
    drawn = features.of_parts(_drawn(model, num, settings.seed, labels))
    of_real = statistics(real)
    is_black_and_white = model.metadata.get("black_and_white")
    return Distance(
        num,
        features.title,
        f"{dataset.name}{', white above .5' if is_black_and_white else ''}",
        frechet_distance(of_real, statistics(drawn)),
        frechet_distance(of_real, statistics(training)),
        precision_recall(real, drawn),
        settings.seed,
    )


def _drawn(
    model: GenerativeModel, num: int, seed: int, labels: np.ndarray | None
) -> Iterator[np.ndarray]:
    """Draws so many images, in parts; of a conditional model with the labels of test images."""
    latents = np.asarray(model.sample_latents(num, derived_key(seed, Purpose.COMPARED_IMAGES)))
    rows = evenly_spaced_indices(len(labels), num) if model.class_names else None
    for own in batch_slices(num, model.image_shape):
        of_class = None if rows is None else labels[rows[own]]
        yield as_known(model.decode(latents[own], of_class), model.metadata)


def _real(images: Any, num: int, model: GenerativeModel) -> Iterator[np.ndarray]:
    """Gives so many of the images, in parts, as the model knows them."""
    rows = evenly_spaced_indices(len(images), num)
    for own in batch_slices(len(rows), model.image_shape):
        yield as_known(images[rows[own]], model.metadata)


def as_table(found: Distance) -> str:
    """Writes the numbers for people."""
    return "\n".join(
        [
            f"{found.images:,} drawn and as many test images ({found.of}), seed {found.seed}",
            f"{'Frechet distance':26} {found.frechet:11.4g}  in features {found.features}",
            f"{'of training images (floor)':26} {found.floor:11.4g}",
            f"{'precision':26} {found.share.precision:11.3f}  of drawn images lie among real ones "
            f"({NEIGHBOURS} neighbours)",
            f"{'recall':26} {found.share.recall:11.3f}  of real images lie among drawn ones",
        ]
    )


def as_json(found: Distance) -> dict[str, Any]:
    """Returns everything for programs."""
    return {
        "distance": found.frechet,
        "floor": found.floor,
        **found.share._asdict(),
        "neighbours": NEIGHBOURS,
        "images": found.images,
        "of": found.of,
        "features": found.features,
        "seed": found.seed,
    }
