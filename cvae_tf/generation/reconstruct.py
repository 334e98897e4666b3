"""Images over their reconstructions, by the encoder's posteriors and by refined ones."""

from pathlib import Path

import numpy as np

from cvae_tf.data.given_images import Images
from cvae_tf.drawing import mosaics
from cvae_tf.drawing.captioned import draw_captioned
from cvae_tf.generation.common import Generated, classes_of, posterior_of, some_images
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.inference.anomalies import refined_scores
from cvae_tf.models.base import GenerativeModel


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Reconstructs images of all classes; with `refine`, in both ways."""
    originals = some_images(model, settings)
    images = model.reconstruct(originals.pixels, classes_of(model, originals))
    arrays, path = {"originals": originals.pixels, "images": images}, output / "reconstructions.png"
    if settings.refine:
        arrays |= _in_both_ways(model, originals, images, settings, path)
    else:
        mosaics.save_stacked(path, [originals.pixels, images])
    return Generated([path], arrays)


def _in_both_ways(
    model: GenerativeModel,
    originals: Images,
    encoders: np.ndarray,
    settings: GenerationSettings,
    path: Path,
) -> dict[str, np.ndarray]:
    """Draws originals, the encoder's reconstructions and refined ones, with log-likelihoods."""
    labels = classes_of(model, originals)
    refined = model.decode(posterior_of(model, originals, settings).mean, labels)
    both = [
        model.mean_scores(originals.pixels, labels=labels),
        refined_scores(model, originals.pixels, labels=labels, steps=settings.refine),
    ]
    name = "log_likelihood" if "log_likelihood" in both[0] else model.main_score.name
    values = [scores[name] for scores in both]
    sets = [originals.pixels, encoders, refined]
    columns = mosaics.best_columns(*originals.pixels.shape[:3], sets=len(sets))
    texts = [[""] * len(refined), *([f"{value:.0f}" for value in own] for own in values)]
    filling = [""] * (-len(refined) % columns)
    rows = [np.reshape(own + filling, (-1, columns)) for own in texts]
    captions = np.stack(rows, axis=1).ravel().tolist()
    what = name.replace("log_", "log-").replace("_", " ")
    title = f"Images, the encoder's reconstructions, refined ones; {what} in nats"
    draw_captioned(path, mosaics.stacked(sets, columns), captions, title, columns)
    found = {"images": refined, "encoders_images": encoders}
    return {**found, f"encoders_{name}": values[0], name: values[1]}
