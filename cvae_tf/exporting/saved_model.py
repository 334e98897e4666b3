"""The model as a SavedModel that needs TensorFlow alone, with its card."""

from pathlib import Path
from typing import Any

import keras

from cvae_tf.core.quiet import quiet_logging
from cvae_tf.exporting import model_card
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.families import family_of


def write(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes the signatures of a model, and `README.md`.

    Args:
        model: the trained model.
        directory: an empty one.
        metadata: as `model_json.describe` returns it.
    """
    model, family = model.for_inference(), family_of(model)
    archive = keras.export.ExportArchive()
    for network in model.networks.values():
        archive.track(network)
    for part in model.finishing_parts.values():
        archive.track(part)
    endpoints = {
        name: archive.add_endpoint(name, function, arguments).get_concrete_function()
        for name, (function, arguments) in family.signatures(model).items()
    }
    with quiet_logging():
        archive.write_out(str(directory), verbose=False)
    numbers = metadata["metrics"] and family.describe_numbers(model, metadata["metrics"])
    card = model_card.render(metadata, endpoints, numbers)
    (directory / "README.md").write_text(card, encoding="utf-8")
