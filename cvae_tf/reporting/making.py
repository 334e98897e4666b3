"""From a run, an exported model, or several runs side by side to a page on the disk."""

import dataclasses
import html
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvae_tf.config import Config
from cvae_tf.core import files, paths
from cvae_tf.core.errors import UserError
from cvae_tf.data.given_images import class_numbers, read_asked_for
from cvae_tf.data.inspection import choose_shown, evenly_spaced_indices
from cvae_tf.data.settings import ImageSettings
from cvae_tf.exporting.load import load, run_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.presets import DEFAULT_PRESET
from cvae_tf.reporting import page
from cvae_tf.reporting.contents import Evaluated, Source, collect, sheet_uri
from cvae_tf.training import run_directory
from cvae_tf.training.run_directory import Run

_MOST_IMAGES = 2000  # test images that are looked at
_COMPARED_IMAGES = 24  # of each run


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
    """Writes one page of several runs side by side; see `comparison`.

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
        temporary.write_text(comparison(sources), encoding="utf-8")
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
    found = evaluation and Evaluated(evaluation, run.evaluation.with_suffix(".png"))
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
    rows = evenly_spaced_indices(len(pixels), _MOST_IMAGES)
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


def comparison(sources: list[Source]) -> str:
    """Writes the page of several runs: what differs, figures, curves, the same images by each.

    Args:
        sources: of the runs, two or more.

    Returns:
        HTML.

    Raises:
        UserError: if their images are of different sizes.
    """
    if len({source.model.image_shape for source in sources}) > 1:
        raise UserError("--compare: the images of these runs are of different sizes.")
    names = tuple(source.name for source in sources)
    body = [
        f"<h1>{len(sources)} runs side by side</h1>",
        page.section("Settings that differ", _differing_settings(sources, names)),
        page.section("Figures of the last epoch", _last_figures(sources, names)),
        page.section("Curves", _curves_of_all(sources)),
        page.section("The same images, reconstructed by each", _compared_images(sources)),
    ]
    empty = {"code": None, "samples": None}
    return page.framed("Runs side by side", "\n".join(part for part in body if part), empty)


def _differing_settings(sources: list[Source], names: tuple[str, ...]) -> str:
    configs = [source.model.metadata.get("config", {}) for source in sources]
    known = {name: None for config in configs for name in config}
    rows = [
        (name, *(config.get(name, "-") for config in configs))
        for name in known
        if len({str(config.get(name, "-")) for config in configs}) > 1
    ]
    return page.table(rows, ("setting", *names)) if rows else "<p>None.</p>"


def _last_figures(sources: list[Source], names: tuple[str, ...]) -> str:
    last = [source.metrics[-1] if source.metrics else {} for source in sources]
    known = {name: None for row in last for name in row}
    rows = [(name, *(_short(row.get(name)) for row in last)) for name in known]
    return page.table(rows, ("figure", *names))


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _curves_of_all(sources: list[Source]) -> str:
    """Draws each test figure of all runs on the same axes."""
    epochs = sorted({row["epoch"] for source in sources for row in source.metrics})
    if not epochs:
        return ""
    rows = {epoch: {"epoch": epoch} for epoch in epochs}
    for number, source in enumerate(sources, 1):
        for own in source.metrics:
            rows[own["epoch"]] |= {
                f"run {number}_{name.removeprefix('test_')}": value
                for name, value in own.items()
                if name.startswith("test_")
            }
    legend = "; ".join(f"run {number}: {source.name}" for number, source in enumerate(sources, 1))
    return f"{page.draw_curves(list(rows.values()))}<p class='soft'>{html.escape(legend)}</p>"


def _compared_images(sources: list[Source]) -> str:
    first = next((source for source in sources if len(source.images)), None)
    if first is None:
        return ""
    shown = choose_shown(first.labels, len(first.images), _COMPARED_IMAGES)
    images = first.images[shown]
    rows = [("The images", images)]
    for source in sources:
        is_same = _images_of(source) == _images_of(first)
        if "reconstruct" in source.model.abilities and (is_same or not source.model.num_classes):
            own = first.labels[shown] if source.model.num_classes else None
            rows.append((source.name, source.model.reconstruct(images, own)))
    return "".join(_row_of_images(title, pixels) for title, pixels in rows)


def _images_of(source: Source) -> str | None:
    """What tells data sets apart; labels mean the same in one data set alone."""
    return source.model.metadata.get("data", {}).get("sha256")


def _row_of_images(title: str, pixels: np.ndarray) -> str:
    uri, text = sheet_uri(pixels, len(pixels)), html.escape(title)
    picture = f'<img class="pixels" src="{uri}" alt="{text}">'
    return f'<figure class="wide">{picture}<figcaption>{text}</figcaption></figure>'
