"""Images over their reconstructions."""

from pathlib import Path

from cvae_tf.drawing import mosaics
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.generation.common import Generated, given_images, num_shown
from cvae_tf.generation.settings import GenerationSettings


def make(model: LoadedModel, settings: GenerationSettings, output: Path) -> Generated:
    """Reconstructs the first images."""
    originals = given_images(model, settings).pixels[: num_shown(settings)]
    images = model.reconstruct(originals)
    path = mosaics.save_stacked(output / "reconstructions.png", [originals, images])
    return Generated([path], {"originals": originals, "images": images})
