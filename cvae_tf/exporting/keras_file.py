"""The model as one file of Keras, which is loaded with this package."""

from pathlib import Path
from typing import Any

from cvae_tf.models.base import GenerativeModel


def write(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes the model without its optimizer; `keras.saving.load_model` needs this package."""
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    bare.save(directory / "cvae.keras")
