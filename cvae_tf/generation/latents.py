"""Posteriors and scores of all images, for programs, spreadsheets and TensorBoard."""

from pathlib import Path

from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.generation import latent_files
from cvae_tf.generation.common import Generated, given_images
from cvae_tf.generation.settings import GenerationSettings


def make(model: LoadedModel, settings: GenerationSettings, output: Path) -> Generated:
    """Writes the latents of images."""
    images = given_images(model, settings)
    posterior = model.encode(images.pixels)
    name = model.main_score.name
    scores = {name: model.score(images.pixels, settings.seed)[name]}
    written = latent_files.write(output, images, posterior, scores)
    return Generated(written, {"mean": posterior.mean, "logvar": posterior.logvar, **scores})
