"""The whole of a two-dimensional latent space, decoded."""

from pathlib import Path

from cvae_tf.core.errors import UserError
from cvae_tf.drawing.manifold import draw_manifold
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.generation.common import Generated
from cvae_tf.generation.settings import GenerationSettings


def make(model: LoadedModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws the manifold.

    Raises:
        UserError: if the latent space has not two dimensions.
    """
    if model.latent_dim != 2:
        raise UserError(
            f"--mode=manifold needs 2 latent dimensions; this model has {model.latent_dim}."
        )
    path = output / "manifold.png"
    images = draw_manifold(path, model.decode)
    return Generated([path], {"images": images})
