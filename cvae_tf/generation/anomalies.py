"""All images sorted by their score, the most unusual first, and a picture of those."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.drawing.mosaics import draw_captioned
from cvae_tf.generation.common import Generated, classes_of, given_images, num_shown
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.vae.anomalies import Scores, scores_of


def make_anomalies(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Finds the images with the lowest scores, and what share of usual images has lower ones."""
    _check_false_alarms(model, settings)
    images = given_images(model, settings)
    found = scores_of(model, images.pixels, classes_of(model, images), settings.score)
    order = np.argsort(np.where(np.isnan(found.values), -np.inf, found.values), kind="stable")
    unit, low = found.measure.unit.split()[0], found.measure.title
    table, path = output / "anomalies.csv", output / "anomalies.png"
    columns = {"name": images.names, **_columns(found, settings.false_alarms)}
    files.write_table(table, list(columns), ([all_[i] for all_ in columns.values()] for i in order))
    worst = order[: num_shown(settings)]
    captions = [_caption(found, i) for i in worst]
    title = f"The {len(worst)} of {len(order)} images with the lowest {low} ({unit})"
    draw_captioned(path, images.pixels[worst], captions, title)
    arrays = {"scores": found.values, "images": images.pixels[worst]}
    if found.p_values is not None:
        arrays["p_values"] = found.p_values
    return Generated([path, table], arrays, tuple(_notes(found, settings)))


def _check_false_alarms(model: GenerativeModel, settings: GenerationSettings) -> None:
    """Refuses to mark images at a rate that the model cannot tell.

    Raises:
        UserError: saying why.
    """
    rate, least = settings.false_alarms, model.smallest_p_value
    if rate is None:
        return
    if least is None or settings.score == "elbo":
        raise UserError(
            "--false_alarms: needs --score=relative, of a VAE whose run is finished (train.py "
            "--resume)."
        )
    if rate < least:
        raise UserError(
            f"--false_alarms={rate:g}: with {round(1 / least) - 1:,} usual images to compare "
            f"with, the smallest rate that can be told is {least:.2g}."
        )


def _columns(found: Scores, false_alarms: float | None) -> dict[str, list[str]]:
    """What the table says of each image."""
    kind = "" if found.p_values is None else "relative_"
    name = f"{kind}{found.measure.name}_{found.measure.unit.split()[0]}"
    columns = {name: [f"{value:.3f}" for value in found.values]}
    if found.p_values is not None:
        columns["p_value"] = [f"{value:.5f}" for value in found.p_values]
    if false_alarms is not None:
        columns["marked"] = ["yes" if p <= false_alarms else "no" for p in found.p_values]
    return columns


def _caption(found: Scores, number: int) -> str:
    score = f"{found.values[number]:.0f}"
    return score if found.p_values is None else f"{score}, p {found.p_values[number]:.2g}"


def _notes(found: Scores, settings: GenerationSettings) -> Iterator[str]:
    """What is to be known of p-values."""
    if settings.false_alarms is not None:
        share = np.mean(found.p_values <= settings.false_alarms)
        yield (
            f"{round(share * len(found.values)):,} of {len(found.values):,} images are marked, "
            f"{share:.2%}; of usual images at most {settings.false_alarms:.2%} is expected."
        )
    if found.p_values is not None and settings.data_path is None:
        yield (
            "These are the test images that others are compared with, so their own p-values tell "
            "nothing but their order; --data_path gives others."
        )
