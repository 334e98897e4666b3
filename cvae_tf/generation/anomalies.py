"""All images sorted by their score, the most unusual first, and a picture of those."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.drawing.mosaics import draw_captioned
from cvae_tf.generation.common import Generated, classes_of, given_images, num_shown
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.inference.anomalies import most_telling, p_values, scores_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.presets import REFINE_STEPS

_LABELS = {  # of columns, by the kind of score
    "elbo": "{}",
    "relative": "relative_{}",
    "refined": "refined_{}",
    "regret": "{0}_minus_refined_{0}",
}


class _Found(NamedTuple):
    """What is known of N images."""

    scores: np.ndarray  # [N]
    p_values: np.ndarray | None  # [N], if the model knows scores of usual images
    marked: np.ndarray | None  # [N], if that was asked for


def make_anomalies(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Finds the images with the lowest scores, and what share of usual images has lower ones."""
    kind = settings.score or ("refined" if settings.refine else most_telling(model))
    main = model.main_score
    if settings.score and "elbo" not in main.name:
        raise UserError(f"--score={settings.score}: this model's score is its {main.title}.")
    _check_false_alarms(model, settings, kind)
    images = given_images(model, settings)
    own = settings.seed, classes_of(model, images), settings.steps
    scores, measure, of_usual = scores_of(model, images.pixels, kind, *own)
    marked = None if settings.false_alarms is None else of_usual <= settings.false_alarms
    found = _Found(scores, of_usual, marked)
    order = np.argsort(np.where(np.isnan(scores), -np.inf, scores), kind="stable")
    unit = measure.unit.split()[0]
    table, path = output / "anomalies.csv", output / "anomalies.png"
    label = _LABELS[kind].format(measure.name)
    columns = {"name": images.names, **_columns(found, f"{label}_{unit}")}
    rows = ([values[i] for values in columns.values()] for i in order)
    files.write_table(table, list(columns), rows)
    worst = order[: num_shown(settings)]
    captions = [_caption(found, i) for i in worst]
    title = f"The {len(worst)} of {len(order)} images with the lowest {measure.title} ({unit})"
    draw_captioned(path, images.pixels[worst], captions, title)
    arrays = {name: values for name, values in found._asdict().items() if values is not None}
    arrays["images"] = images.pixels[worst]
    return Generated([path, table], arrays, tuple(_notes(found, settings)))


def _check_false_alarms(model: GenerativeModel, settings: GenerationSettings, kind: str) -> None:
    """Refuses to mark images at a rate that the model cannot tell.

    Raises:
        UserError: saying why.
    """
    rate = settings.false_alarms
    if rate is None:
        return
    least = p_values(model, [-np.inf], kind, settings.steps)
    if least is None and settings.steps not in (0, REFINE_STEPS):
        steps = REFINE_STEPS
        raise UserError(f"--false_alarms: known without --refine and with --refine={steps} only.")
    if least is None:
        raise UserError(
            "--false_alarms: this model knows no scores of usual images: it is no VAE, its run was "
            "not finished, or is of an older version (train.py --resume then adds them)."
        )
    if rate < least[0]:
        raise UserError(
            f"--false_alarms={rate:g}: with {round(1 / least[0]) - 1:,} usual images to compare "
            f"with, the smallest rate that can be told is {least[0]:.2g}."
        )


def _columns(found: _Found, name: str) -> dict[str, list[str]]:
    """What the table says of each image."""
    columns = {name: [f"{value:.3f}" for value in found.scores]}
    if found.p_values is not None:
        columns["p_value"] = [f"{value:.5f}" for value in found.p_values]
    if found.marked is not None:
        columns["marked"] = ["yes" if mark else "no" for mark in found.marked]
    return columns


def _caption(found: _Found, number: int) -> str:
    score = f"{found.scores[number]:.0f}"
    return score if found.p_values is None else f"{score}, p {found.p_values[number]:.2g}"


def _notes(found: _Found, settings: GenerationSettings) -> Iterator[str]:
    """What is to be known of p-values."""
    if found.marked is not None:
        num, marked = len(found.marked), found.marked.sum()
        yield (
            f"{marked:,} of {num:,} images are marked, {marked / num:.2%}; of usual images at "
            f"most {settings.false_alarms:.2%} is expected."
        )
    if found.p_values is not None and settings.data_path is None:
        yield (
            "These are the test images that others are compared with, so their own p-values tell "
            "nothing but their order; --data_path gives others."
        )
