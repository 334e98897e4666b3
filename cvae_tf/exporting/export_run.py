"""Writes a trained model for those who use it: run -> SavedModel and GIF, or another format."""

import contextlib
from pathlib import Path

from cvae_tf.core import files, paths
from cvae_tf.drawing import animations
from cvae_tf.exporting import model_json, writing
from cvae_tf.models.base import GenerativeModel
from cvae_tf.training import building
from cvae_tf.training.run_directory import ANIMATION, SAVED_MODEL, Run


def export(
    run: Run, model: GenerativeModel, metrics: list[dict[str, float]], output: Path | None = None
) -> Path:
    """Writes the SavedModel and the GIF of a run.

    Args:
        run: the run.
        model: its trained model.
        metrics: the rows of its `metrics.csv`.
        output: a directory for both; by default their places in the run, where they are replaced.

    Returns:
        The directory of the SavedModel.

    Raises:
        UserError: if `output` already holds a model or an animation, or cannot be written.
    """
    directory = output / SAVED_MODEL.name if output else run.saved_model
    animation = output / ANIMATION if output else run.animation
    metadata = model_json.describe(run, model, metrics)
    if output:
        files.refuse_existing(animation)
    with _place(directory, output) as place:
        writing.write_model(model, "saved_model", place, metadata)
    if run.epoch_images:
        animations.animate(run.epoch_images, animation)
    return directory


def export_from_checkpoint(
    run_dir: str | Path, output: str | Path | None = None, format_name: str = "saved_model"
) -> Path:
    """Exports a run from its newest checkpoint.

    Args:
        run_dir: of the run.
        output: a directory for the model, which must not hold one; by default its place in the
            run, where it is replaced.
        format_name: "saved_model", with the GIF beside it, or another name in `writing.FORMATS`.

    Returns:
        The directory of the model.

    Raises:
        UserError: as in `export`; or if there is no run, or no checkpoint in it, or the format is
            unknown or needs a package that is missing.
    """
    writing.check_packages(format_name)
    output = None if output is None else paths.expand(output)
    # Other runtimes take the weights as they are kept.
    trained = building.load_trained(run_dir, None if format_name == "saved_model" else "float32")
    if format_name == "saved_model":
        return export(trained.run, trained.model, trained.metrics, output)
    directory = (output or trained.run.exports) / format_name
    metadata = model_json.describe(trained.run, trained.model, trained.metrics)
    with _place(directory, output) as place:
        writing.write_model(trained.model, format_name, place, metadata)
    return directory


def _place(directory: Path, output: Path | None) -> contextlib.AbstractContextManager[Path]:
    """Where to write: what is in a run is replaced, what was asked for must be new."""
    return files.creating_directory(directory) if output else contextlib.nullcontext(directory)
