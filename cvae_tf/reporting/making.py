"""From a run or an exported model to its page on the disk."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvae_tf.config import Config
from cvae_tf.core import files, paths
from cvae_tf.core.errors import UserError
from cvae_tf.data.given_images import class_numbers, read_asked_for
from cvae_tf.data.inspection import spread_rows
from cvae_tf.data.settings import ImageSettings
from cvae_tf.evaluation.report import pictures_beside
from cvae_tf.exporting.load import load, run_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.presets import DEFAULT_PRESET
from cvae_tf.reporting import comparing, page
from cvae_tf.reporting.contents import Evaluated, Source, collect
from cvae_tf.training import run_directory
from cvae_tf.training.run_files import Run

_MOST_IMAGES = 2000  # test images that are looked at


def write_run(
    run: Run,
    metrics: list[dict[str, float]],
    images: tuple[np.ndarray, np.ndarray | None],
) -> Path:
    """Writes `report.html` of a run that has been exported.

    Args:
        run: the run.
        metrics: the rows of its `metrics.csv`.
        images: of its test set, uint8 [N, H, W, C], and their labels.

    Returns:
        The file.

    Raises:
        UserError: if the exported model cannot be loaded, or the file cannot be written.
    """
    pixels, labels = _some(*images)
    pixels = np.asarray(pixels, np.float32) / 255
    model = load(run.saved_model)
    return _write(run.report, _source_of_run(run, model, metrics, pixels, labels))


def report(model: str | Path, output: Path | None) -> Path:
    """Writes the page of a run, or of an exported model.

    Args:
        model: directory of either.
        output: the file; by default `report.html` in the run, or in this folder.

    Returns:
        The file.

    Raises:
        UserError: if there is none, or the file cannot be written.
    """
    home, loaded = run_of(model), load(model)
    images = _images(loaded)
    if home:
        run = run_directory.load_run(home)
        source = _source_of_run(run, loaded, run_directory.read_metrics(run), *images)
        return _write(output or run.report, source)
    source = Source(str(model), loaded, [], [], [], None, *images)
    return _write(output or Path("report.html"), source)


def write(model: str | Path, output: Path | None, others: Sequence[str | Path]) -> Path:
    """Writes the page of a model, or that of several runs; see `report` and `compare`."""
    if others:
        return compare([model, *others], output or Path("comparison.html"))
    return report(model, output)


def compare(models: list[str | Path], output: Path) -> Path:
    """Writes one page of several runs side by side; see `comparing.page_of`.

    Raises:
        UserError: if one of them is no run, or their images differ in size.
    """
    sources = []
    for each in models:
        run = run_directory.load_run(each)
        loaded = load(each)
        pixels, labels = _images(loaded)
        metrics = run_directory.read_metrics(run)
        sources.append(_source_of_run(run, loaded, metrics, pixels, labels))
    with files.replacing(output) as temporary:
        temporary.write_text(comparing.page_of(sources), encoding="utf-8")
    return output


def _source_of_run(
    run: Run,
    model: GenerativeModel,
    metrics: list[dict[str, float]],
    pixels: np.ndarray,
    labels: np.ndarray | None,
) -> Source:
    evaluation = files.read_json(run.evaluation) if run.evaluation.exists() else None
    name = paths.shown(run.directory)
    pictures = run.epoch_images
    stills = [path for path in (run.latents, run.manifold) if path.exists()]
    found = evaluation and Evaluated(evaluation, pictures_beside(run.evaluation))
    return Source(name, model, metrics, pictures, stills, found, pixels, labels)


def _images(model: GenerativeModel) -> tuple[np.ndarray, np.ndarray | None]:
    """Some test images of a model's own data set, if they can be had."""
    try:
        images = read_asked_for(ImageSettings(), model.image_shape, model.metadata)
        labels = class_numbers(images, model.class_names) if model.class_names else images.labels
    except UserError:
        labels = np.zeros(0, np.int32) if model.num_classes else None
        return np.zeros([0, *model.image_shape], np.float32), labels
    return _some(images.pixels, labels)


def _some(pixels: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """As many images and their labels, from the whole set, as a page looks at."""
    rows = spread_rows(len(pixels), _MOST_IMAGES)
    return pixels[rows], None if labels is None else np.asarray(labels)[rows]


def _write(path: Path, source: Source) -> Path:
    text = page.page(source, collect(source), _command(source.model.metadata.get("config", {})))
    with files.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return path


def _command(config: dict[str, Any]) -> str:
    """The command that gives such a run: its preset, and what is not as the preset has it."""
    known = {field.name for field in dataclasses.fields(Config)}
    own = {name: value for name, value in config.items() if name in known}
    try:
        usual = Config.create(preset=own.get("preset", DEFAULT_PRESET)).to_json()
    except UserError:
        usual = {}
    flags = [f"--preset={own['preset']}"] if "preset" in own else []
    for name, value in own.items():
        if name != "preset" and value is not None and usual.get(name, value) != value:
            flags.append(f"--{name}={value}")
    return " ".join(["python", "train.py", *(shlex.quote(flag) for flag in flags)])
