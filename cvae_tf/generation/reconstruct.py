"""Images over their reconstructions."""

from pathlib import Path

from cvae_tf.drawing import mosaics
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.generation.common import Generated, classes_of, some_images
from cvae_tf.generation.settings import GenerationSettings


def make(model: LoadedModel, settings: GenerationSettings, output: Path) -> Generated:
    """Reconstructs images of all classes."""
    originals = some_images(model, settings)
    images = model.reconstruct(originals.pixels, classes_of(model, originals))
    path = mosaics.save_stacked(output / "reconstructions.png", [originals.pixels, images])
    return Generated([path], {"originals": originals.pixels, "images": images})
