"""What `export.py` does, as functions: write a trained model for those who use it."""

from pathlib import Path

from cvae_tf.core.errors import UserError
from cvae_tf.drawing import mosaics
from cvae_tf.exporting import other_formats, provenance, saved_model
from cvae_tf.models.vae.model import CVAE
from cvae_tf.training import building
from cvae_tf.training.run_directory import Run


def export(
    run: Run, model: CVAE, metrics: list[dict[str, float]], output: Path | None = None
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
        UserError: if `output` already holds a model or cannot be written.
    """
    directory = (output or run.directory / "export") / "1"
    animation = (output or run.directory) / "progress.gif"
    _refuse_existing(output, directory, animation)
    saved_model.export_saved_model(model, directory, provenance.describe(run, metrics))
    if run.epoch_images:
        mosaics.animate(run.epoch_images, animation)
    return directory


def _refuse_existing(output: Path | str | None, *paths: Path) -> None:
    """Keeps what is already in a directory that was asked for."""
    for path in paths:
        if output and path.exists():
            raise UserError(f"--output={output}: {path} exists; choose another directory.")


def export_from_checkpoint(
    run_dir: str, output: str | None = None, format_name: str = "saved_model"
) -> Path:
    """Exports a run from its newest checkpoint.

    Args:
        run_dir: of the run.
        output: a directory for the model; by default its place in the run, where it is replaced.
        format_name: "saved_model", with the GIF beside it, or a name in `formats.WRITERS`.

    Returns:
        The directory of the model.

    Raises:
        UserError: as in `export`; or if there is no run, or no checkpoint in it, or the format
            needs a package that is missing.
    """
    other_formats.check_packages(format_name)
    # Other runtimes take the weights as they are kept.
    trained = building.load_trained(run_dir, None if format_name == "saved_model" else "float32")
    if format_name == "saved_model":
        return export(trained.run, trained.model, trained.metrics, Path(output) if output else None)
    directory = (Path(output) if output else trained.run.directory / "export") / format_name
    _refuse_existing(output, directory)
    metadata = provenance.describe(trained.run, trained.metrics)
    other_formats.export_format(trained.model, format_name, directory, metadata)
    return directory
