"""All images sorted by their score, the most unusual first, and a picture of those."""

from pathlib import Path

import numpy as np

from cvae_tf.core import files
from cvae_tf.drawing.captioned import draw_captioned
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.generation.common import Generated, classes_of, given_images, num_shown
from cvae_tf.generation.settings import GenerationSettings

_SAMPLES = 8  # of the posterior, for the score of an image


def make(model: LoadedModel, settings: GenerationSettings, output: Path) -> Generated:
    """Finds the images with the lowest scores."""
    images = given_images(model, settings)
    score = model.main_score
    labels = classes_of(model, images)
    scores = model.mean_scores(images.pixels, settings.seed, _SAMPLES, labels)[score.name]
    order = np.argsort(scores, kind="stable")
    table, path = output / "anomalies.csv", output / "anomalies.png"
    rows = ([images.names[i], f"{scores[i]:.3f}"] for i in order)
    unit = score.unit.split()[0]
    label = f"refined_{score.name}" if settings.refine else score.name
    files.write_table(table, ["name", f"{label}_{unit}"], rows)
    worst = order[: num_shown(settings)]
    captions = [f"{scores[i]:.0f}" for i in worst]
    title = f"The {len(worst)} of {len(order)} images with the lowest {score.title} ({unit})"
    draw_captioned(path, images.pixels[worst], captions, title)
    return Generated([path, table], {"images": images.pixels[worst], "scores": scores})
