"""The model as a SavedModel that needs TensorFlow alone, with its card and `model.json`."""

import subprocess
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import keras

from cvae_tf.core import files
from cvae_tf.core.tensorflow_setup import quiet_logging
from cvae_tf.models import model_card
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.families import family_of

_PACKAGES = ("tensorflow", "keras", "numpy")


def export(model: GenerativeModel, directory: str | Path) -> None:
    """Writes the SavedModel of any model, with what it knows of itself; no figures are claimed.

    Args:
        model: trained or not.
        directory: a new one.

    Raises:
        UserError: if there is something at that path, or it cannot be written.
    """
    data: dict[str, Any] = {"image_shape": list(model.image_shape)}
    if model.num_classes:
        data["class_names"] = list(model.class_names)
    known = {"config": family_of(model).known_settings(model), "data": data, **model.metadata}
    metadata = describe(model, known["config"], known["data"])
    with files.replacing_directory(Path(directory), must_be_new=True) as temporary:
        write(model, temporary, metadata)
        files.write_json(temporary / "model.json", metadata)


def write(model: GenerativeModel, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes the signatures of a model, and `README.md`.

    Args:
        model: the trained model.
        directory: an empty one.
        metadata: as `describe` returns it.
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


def describe(
    model: GenerativeModel,
    config: dict[str, Any],
    data: dict[str, Any],
    metrics: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Collects the contents of `model.json`: what a user may want to know of a model's making.

    Args:
        model: the model.
        config: settings it was made by, as far as they are known.
        data: what is known of its images, at least their `image_shape`.
        metrics: the last row of its `metrics.csv`.

    Returns:
        Plain values, ready for JSON.
    """
    family = family_of(model)
    return {
        "title": family.title,
        "config": config,
        "data": data,
        **family.describe(model),
        "measures": [measure._asdict() for measure in family.test_measures(model)],
        "metrics": metrics,
        "versions": {name: packages.version(name) for name in _PACKAGES},
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """The commit of this source code, or None if git does not track this very file."""
    if not _git("ls-files", Path(__file__).name):
        return None
    return _git("rev-parse", "HEAD")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
