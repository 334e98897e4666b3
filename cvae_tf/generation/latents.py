"""Posteriors and scores of all images, for programs, spreadsheets and TensorBoard."""

from pathlib import Path

from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.generation import latent_files
from cvae_tf.generation.common import Generated, classes_of, given_images
from cvae_tf.generation.settings import GenerationSettings


def make(model: LoadedModel, settings: GenerationSettings, output: Path) -> Generated:
    """Writes the latents of images."""
    images = given_images(model, settings)
    labels = classes_of(model, images)
    posterior = model.encode(images.pixels, labels)
    name = model.main_score.name
    label = f"refined_{name}" if settings.refine else name
    scores = {label: model.score(images.pixels, settings.seed, labels)[name]}
    written = latent_files.write(output, images, posterior, scores)
    return Generated(written, {"mean": posterior.mean, "logvar": posterior.logvar, **scores})
