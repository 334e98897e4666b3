"""Posteriors and scores of all images, for programs, spreadsheets and TensorBoard."""

from pathlib import Path

from cvae_tf.generation import latent_files
from cvae_tf.generation.common import Generated, classes_of, given_images, posterior_of
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.inference.anomalies import refined_scores
from cvae_tf.models.base import GenerativeModel


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Writes the latents of images."""
    images = given_images(model, settings)
    posterior = posterior_of(model, images, settings)
    name, own = model.main_score.name, (settings.seed, classes_of(model, images))
    if settings.refine:
        found = refined_scores(model, images.pixels, *own, settings.refine, num_samples=1)
        scores = {f"refined_{name}": found[name]}
    else:
        scores = {name: model.score(images.pixels, *own)[name]}
    written = latent_files.write(output, images, posterior, scores)
    return Generated(written, {"mean": posterior.mean, "logvar": posterior.logvar, **scores})
