"""The page of a run, of an exported model, or of several side by side: one HTML file.

The templates are in `page/`. Styles, scripts and images are inside: a page needs nothing else.
"""

import base64
import dataclasses
import functools
import io
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from cvae_tf.config import Config
from cvae_tf.core import files, paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.terminal import warn
from cvae_tf.data.given_images import class_numbers, read_asked_for
from cvae_tf.data.inspection import choose_shown, evenly_spaced_indices
from cvae_tf.data.pictures import IN_MEMORY, ImageSettings
from cvae_tf.drawing.mosaics import as_picture, mosaic
from cvae_tf.exporting.load import load, run_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.vae.anomalies import scores_of
from cvae_tf.models.vae.likelihoods import LIKELIHOODS, nats_of_one_bit
from cvae_tf.presets import DEFAULT_PRESET
from cvae_tf.reporting import network_code
from cvae_tf.training import run_directory
from cvae_tf.training.run_directory import Run

if TYPE_CHECKING:
    import jinja2

_COMPARED_IMAGES = 24  # of each run
_BITS = "bits_per_dim"
_SAID = (  # settings, those of other families left out
    "network", "objective", "binarize", "likelihood", "gan_loss", "r1", "diff_augment", "seed",
)  # fmt: skip
_STILL_WIDTH, _EVALUATED_WIDTH = 700, 1000  # of pictures, at most
_LEFT_OUT = ("seconds", "step", "images_per_second", "epoch")  # ends of columns without a curve
_MOST_IMAGES = 1000  # test images that are looked at
_SHOWN, _SAMPLES, _UNUSUAL = 24, 256, 12
_COLUMNS = 32  # of a sheet of images
_LARGEST_SHEET = 1_500_000  # values of all images of a sheet; larger images are fewer
_CLASSES = 20  # of a conditional model that have a row
_SLIDERS = 6  # principal components beyond the plane
_EPOCHS_SHOWN, _WIDTH_OF_PICTURE = 13, 840
_OF_PICTURES, _OF_IMAGES = 45, 80  # qualities: of those with axes, and of small images

Labelled = tuple[np.ndarray, np.ndarray | None]  # images [N, H, W, C], and their labels, [N]
AtHand = tuple[GenerativeModel, Labelled]


class Source(NamedTuple):
    """What a page is made of."""

    name: str  # of the run, for people
    model: GenerativeModel
    run: Run | None  # none of an exported model alone
    metrics: list[dict[str, float]]  # rows of `metrics.csv`
    images: np.ndarray  # grey levels or colours of test images, [N, H, W, C]; none: [0, H, W, C]
    labels: np.ndarray | None  # theirs, [N]

    def labels_for_model(self, rows: np.ndarray | slice) -> np.ndarray | None:
        """The labels of some images, if the model wants them."""
        is_wanted = self.model.num_classes and self.labels is not None
        return self.labels[rows] if is_wanted else None


def write(
    model: str | Path,
    output: Path | None = None,
    others: Sequence[str | Path] = (),
    at_hand: AtHand | None = None,
) -> Path:
    """Writes a page.

    Args:
        model: directory of a run, or of an exported model.
        output: the file; by default `report.html` in the run, or in this folder.
        others: further runs, side by side with the first.
        at_hand: the first model and its test images, uint8, need not be read if they are given.

    Returns:
        The file.

    Raises:
        UserError: if a model cannot be loaded, or the file cannot be written.
    """
    sources = [read_source(model, at_hand), *map(read_source, others)]
    if others:
        path, text = output or Path("comparison.html"), comparison(sources)
    else:
        run = sources[0].run
        path = output or (run.report if run else Path("report.html"))
        text = single(sources[0])
    with files.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return path


def single(source: Source) -> str:
    """Writes the page of one run or exported model, HTML."""
    metadata, run = source.model.metadata, source.run
    samples = source.model.sample(_fitting(_SAMPLES, source.model.image_shape), seed=0)
    title = f"{metadata.get('title', 'model')} of {metadata.get('data', {}).get('name', 'images')}"
    # Of the epoch that was exported, which need not be the last one.
    row = _with_bits(source.model, metadata.get("metrics") or {}) or (*source.metrics, {})[-1]
    columns = list(dict.fromkeys(name for row in source.metrics for name in row))
    measures = [each for each in _measures(source) if f"test_{each['name']}" in row]
    return _render(
        "single.html",
        _explored(source, samples) | {"curves": curves_of(source.metrics, measures)},
        compared=_reconstructed(source),
        drawn=_drawn(source, samples),
        unusual=_unusual(source),
        epochs=_epochs(source.run, row.get("epoch")),
        model=source.model,
        metadata=metadata,
        title=title[:1].upper() + title[1:],
        name=source.name,
        settings=_settings_said(metadata.get("config", {})),
        row=row,
        measures=measures,
        in_bits=f"test_{_BITS}" in row,
        columns=columns,
        numbers=[[row.get(column, "") for column in columns] for row in source.metrics],
        evaluation=files.read_json(run.evaluation) if run and run.evaluation.exists() else None,
        evaluated=run and _picture(run.evaluation.with_suffix(".png"), _EVALUATED_WIDTH),
        stills=[
            (path.stem, _picture(path, _STILL_WIDTH))
            for path in ((run.curves, run.latents, run.manifold) if run else ()) if path.exists()
        ],
        command=_command(metadata.get("config", {})),
    )  # fmt: skip


def comparison(sources: list[Source]) -> str:
    """Writes the page of several runs: what differs, figures, curves, the same images by each."""
    names = [f"run {i + 1}" for i in range(len(sources))]
    metadata, warnings = [each.model.metadata for each in sources], _why_incomparable(sources)
    for text in warnings:
        warn(text)
    differing = _side_by_side([each.get("config", {}) for each in metadata])
    last = [
        (source.metrics or [_with_bits(source.model, each.get("metrics") or {})])[-1]
        for source, each in zip(sources, metadata, strict=True)
    ]
    rows = [  # each test figure of all runs is on the same axes
        {"epoch": row["epoch"]}
        | {f"{name}_{column[5:]}": row[column] for column in row if column.startswith("test_")}
        for name, source in zip(names, sources, strict=True)
        for row in source.metrics
    ]
    measures = [each for source in sources for each in _measures(source)]
    return _render(
        "comparison.html",
        {"code": None, "samples": None, "curves": curves_of(rows, measures)},
        title=f"{len(sources)} runs side by side",
        warnings=warnings,
        names=names,
        runs=[
            (name, source.name, each.get("data", {}).get("name", "not known"))
            for name, source, each in zip(names, sources, metadata, strict=True)
        ],
        settings=[row for row in differing if len(set(map(str, row[1:]))) > 1],
        figures=_side_by_side(last),
        images=_compared_images(names, sources),
    )


def _why_incomparable(sources: list[Source]) -> list[str]:
    """Says what keeps figures of several runs from being compared."""
    found, models = [], [source.model for source in sources]
    data = [model.metadata.get("data", {}) for model in models]
    if len({each.get("sha256") or each.get("name") for each in data}) > 1:
        names = ", ".join(str(each.get("name", "not known")) for each in data)
        found.append(f"The runs use different images ({names}): do not compare their figures.")
    configs = [m.metadata.get("config", {}) for m in models if "encode" in m.abilities]
    pixels = {f"{each.get('binarize')}, {each.get('likelihood')}": None for each in configs}
    if len(pixels) > 1:
        kinds = "; ".join(pixels)
        found.append(f"The runs treat pixels differently ({kinds}): do not compare their ELBO.")
    return found


def _measures(source: Source) -> list[dict[str, Any]]:
    """What is measured of test images: names, titles, units; bits per dimension, if any, first."""
    bits = {"name": _BITS, "title": "bits per dimension", "unit": ""}
    return [bits, *source.model.metadata.get("measures", [])]


def _with_bits(model: GenerativeModel, row: dict[str, float]) -> dict[str, float]:
    """Adds bits per dimension to a row of metrics, where pixels have 256 levels."""
    likelihood = LIKELIHOODS.get(model.metadata.get("config", {}).get("likelihood"))
    is_of_levels = likelihood is not None and likelihood.is_of_levels
    if not is_of_levels or "test_elbo" not in row or f"test_{_BITS}" in row:
        return row
    bit = nats_of_one_bit(model.image_shape)
    bits = {f"{name}_{_BITS}": -row[f"{name}_elbo"] / bit for name in ("train", "test")}
    return {"epoch": row["epoch"], **bits, **row}


def read_source(directory: str | Path, at_hand: AtHand | None = None) -> Source:
    """Loads a run or an exported model, and what is known of it; `at_hand` as in `write`.

    Raises:
        UserError: if there is no such model.
    """
    home, (model, images) = run_of(directory), at_hand or (load(directory), None)
    pixels, labels = images or _read_images(model)
    rows = evenly_spaced_indices(len(pixels), _MOST_IMAGES)
    pixels, labels = pixels[rows], None if labels is None else np.asarray(labels)[rows]
    if pixels.dtype == np.uint8:
        pixels = pixels.astype(np.float32) / 255
    if home is None:
        return Source(str(directory), model, None, [], pixels, labels)
    run = run_directory.load_run(home)
    metrics = [_with_bits(model, row) for row in run_directory.read_metrics(run)]
    return Source(paths.shown(run.directory), model, run, metrics, pixels, labels)


def _read_images(model: GenerativeModel) -> Labelled:
    """The test images of a model's own data set; none if they cannot be had."""
    try:
        images = read_asked_for(ImageSettings(), model.image_shape, model.metadata)
        labels = class_numbers(images, model.class_names) if model.class_names else images.labels
    except UserError as error:
        reason = str(error).partition("\n")[0]
        warn(f"the page shows no test images, for they cannot be had ({reason})")
        labels = np.zeros(0, np.int32) if model.num_classes else None
        return np.zeros([0, *model.image_shape], np.float32), labels
    return images.pixels, labels


@functools.cache
def _templates() -> "jinja2.Environment":
    import jinja2  # here, because few who import this package write a page

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("cvae_tf.reporting", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["number"] = number
    found.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return found


def _render(template: str, data: dict[str, Any], **values: Any) -> str:
    """Fills a template; `data` are for the scripts, all else is for the template."""
    return _templates().get_template(template).render(data=data, **values)


def number(value: Any) -> str:
    """Writes a number as people do, such as -19,861 or 7.366; all else as it is."""
    if not isinstance(value, float) or not math.isfinite(value):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if abs(value) < 1:
        return f"{value:.4g}"
    return f"{value:,.{max(3 - math.floor(math.log10(abs(value))), 0)}f}"


def _settings_said(config: dict[str, Any]) -> list[tuple[str, Any]]:
    """The settings that say what the figures are of."""
    fitting = None, config.get("model", Config.model)
    own = [name for name in _SAID if name in config and Config.owner(name) in fitting]
    return [(name.replace("_", " "), config[name]) for name in own]


def _command(config: dict[str, Any]) -> str:
    """The command that gives such a run: its preset, and what is not as the preset has it."""
    known = {field.name for field in dataclasses.fields(Config)}
    own = {name: value for name, value in config.items() if name in known}
    try:
        usual = Config.create(preset=own.get("preset", DEFAULT_PRESET)).to_json()
    except UserError:
        usual = {}
    given = {"preset": own["preset"]} if "preset" in own else {}
    for name, value in own.items():
        if name != "preset" and value is not None and usual.get(name, value) != value:
            given[name] = value
    if given.get("dataset") == IN_MEMORY:
        said = [f"{name}={value!r}" for name, value in given.items() if name != "dataset"]
        return f"cvae_tf.train({', '.join(['x_train', *said])})"
    flags = [f"--{name}={value}" for name, value in given.items()]
    return " ".join(["python", "train.py", *(shlex.quote(flag) for flag in flags)])


def curves_of(
    metrics: list[dict[str, float]], measures: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Groups the columns of `metrics.csv` by their measure, without values that are not finite.

    Returns:
        Of each measure "title", "unit", and "lines": by name lists of epoch and value.
    """
    groups: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in metrics:
        for name, value in row.items():
            if not name.endswith(_LEFT_OUT):
                line, _, measure = name.partition("_")
                points = groups.setdefault(measure, {}).setdefault(line, [])
                points += [(row["epoch"], value)] if math.isfinite(value) else []
    for line in groups.get(_BITS, {}):  # which are the ELBO, upside down
        groups["elbo"].pop(line, None)
    known = {each["name"]: each for each in measures}
    return [
        {"title": measure.replace("_", " "), "unit": "", **known.get(measure, {}), "lines": lines}
        for measure, lines in groups.items() if any(lines.values())
    ]  # fmt: skip


def _side_by_side(tables: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows of a table: a name, and its value in each of several dicts."""
    names = dict.fromkeys(name for table in tables for name in table)
    return [(name, *(table.get(name, "-") for table in tables)) for name in names]


def _compared_images(names: list[str], sources: list[Source]) -> list[tuple[str, str]]:
    """The same images and what each model makes of them: a title, and a sheet as data URI."""
    first = next((source for source in sources if len(source.images)), None)
    if first is None:
        return []

    def digest(source: Source) -> str | None:  # labels mean the same in one data set alone
        return source.model.metadata.get("data", {}).get("sha256")

    shown = choose_shown(first.labels, len(first.images), _COMPARED_IMAGES)
    images = first.images[shown]
    rows = [("test images", images)]
    for name, source in zip(names, sources, strict=True):
        model, is_same = source.model, digest(source) == digest(first)
        is_able = "reconstruct" in model.abilities and model.image_shape == images.shape[1:]
        if is_able and (is_same or not model.num_classes):
            own = first.labels[shown] if model.num_classes else None
            rows.append((name, model.reconstruct(images, own)))
    return [(title, sheet_uri(pixels, len(pixels))) for title, pixels in rows]


def _explored(source: Source, samples: np.ndarray) -> dict[str, Any]:
    """What the scripts of the page work on; parts that the model or its data lack are empty."""
    model = source.model
    chosen = evenly_spaced_indices(len(source.images), _fitting(_MOST_IMAGES, model.image_shape))
    if "encode" not in model.abilities:
        chosen = chosen[:0]
    config, code = model.metadata.get("config", {}), network_code.code_of_model(model)
    is_grey, is_encoded = model.image_shape[-1] == 1, bool(code) and "encode" in code
    own, tests, reconstructed = source.labels_for_model(chosen), source.images[chosen], None
    if len(chosen) and code and not is_encoded:
        reconstructed = _sheet(model.reconstruct(tests, own), lossless=False)
    return {
        "shape": model.image_shape,
        "latents": model.latent_dim,
        "classes": model.class_names if model.num_classes else (),
        "threshold": config.get("binarize") == "threshold",
        "paper": float(model.metadata.get("data", {}).get("margin_brightness", 0) > 0.5),
        "likelihood": config.get("likelihood") if "encode" in model.abilities else "image",
        "code": code,
        "plane": _plane(model.latent_dim, model.encode(tests, own).mean if len(chosen) else None),
        "tests": _sheet(tests, is_grey or is_encoded) if len(chosen) else None,
        "reconstructed": reconstructed,
        **_labels(source, chosen),
        "samples": _sheet(samples, is_grey),
        "seen": 0 if model.num_classes else min(2 * _SHOWN, len(samples)),  # in the rows above
    }


def _fitting(wanted: int, image_shape: tuple[int, ...]) -> int:
    """How many images of a shape a sheet holds."""
    return max(min(wanted, _LARGEST_SHEET // int(np.prod(image_shape))), 8)


def _sheet(images: np.ndarray, lossless: bool) -> dict[str, Any]:
    columns, count = min(_COLUMNS, max(len(images), 1)), len(images)
    return {"uri": sheet_uri(images, columns, lossless), "columns": columns, "count": count}


def _labels(source: Source, chosen: np.ndarray) -> dict[str, Any]:
    """For each test image the place of its label among all labels, and what these are called."""
    if source.labels is None or not len(chosen):
        return {"testLabels": [], "labelNames": []}
    labels = np.asarray(source.labels)[chosen]
    found, places = np.unique(labels, return_inverse=True)
    known = dict(enumerate(source.model.metadata.get("data", {}).get("class_names", ())))
    return {
        "testLabels": places.tolist(),
        "testClasses": labels.tolist(),
        "labelNames": [str(known.get(label, label)) for label in found.tolist()],
    }


def _plane(size: int, means: np.ndarray | None) -> dict[str, Any]:
    """Two directions of the latents that are shown as a plane, further ones, and where images lie.

    More than two are seen along the principal components of the posterior means, [N, Z]; the plane
    goes through the first image, which can be seen there as the model reconstructs it.
    """
    num = max(size, 2)  # one latent lies along the first direction
    centre, axes, spread = np.zeros(size), np.eye(num, size), np.ones(num)
    places, kept = np.zeros((0, 2)), min(num, 2 + _SLIDERS)
    others = np.zeros(kept - 2)
    if means is None:  # 0 itself is far from all latents that are drawn
        centre[kept:] = np.random.default_rng(0).normal(size=max(size - kept, 0))
    else:
        means = np.nan_to_num(means.astype(np.float64))
        if size > 2:
            centre = means.mean(axis=0)
            _, lengths, axes = np.linalg.svd(means - centre, full_matrices=True)
            spread = np.pad(lengths / len(means) ** 0.5, (0, size - len(lengths)))
        along = (means - centre) @ axes.T
        centre = centre + along[0, kept:] @ axes[kept:]
        places, others = along[:, :2], along[0, 2:kept]
    return {
        "centre": np.round(centre, 4).tolist(),
        "axes": np.round(axes[:kept], 5).tolist(),
        "spread": np.round(spread[:kept], 4).tolist(),
        "places": np.round(places, 3).tolist(),
        "others": np.round(others, 3).tolist(),
        "reach": float(max(3.0 * spread[0], np.abs(places).max(initial=0) * 1.05)),
        "isPrincipal": size > 2 and means is not None,
    }


def _reconstructed(source: Source) -> str | None:
    """Test images, and below them their reconstructions."""
    if "reconstruct" not in source.model.abilities or not len(source.images):
        return None
    shown = choose_shown(source.labels, len(source.images), _SHOWN)
    images, own = source.images[shown], source.labels_for_model(shown)
    return sheet_uri(np.concatenate([images, source.model.reconstruct(images, own)]), len(shown))


def _drawn(source: Source, samples: np.ndarray) -> list[tuple[str, str]]:
    """Rows of samples, one for each class: its name, if there are classes, and a data URI."""
    model, num = source.model, _fitting(_SHOWN, source.model.image_shape)
    if not model.num_classes:
        return [("", sheet_uri(samples[: 2 * _SHOWN], _SHOWN))]
    return [
        (name, sheet_uri(model.sample(num, seed=0, labels=label), num))
        for label, name in enumerate(model.class_names[:_CLASSES])
    ]


def _unusual(source: Source) -> dict[str, Any] | None:
    """The test images with the lowest scores, and their p-values, if these are known."""
    needed = {"encode", "score"}  # the score of a GAN says how real images look
    if not len(source.images) or not needed <= set(source.model.abilities):
        return None
    own = source.labels_for_model(slice(None))
    scores, measure, p_values, _ = scores_of(source.model, source.images, own)
    lowest = np.argsort(scores)[:_UNUSUAL]
    said = [f"{scores[i]:,.0f}" for i in lowest]
    if p_values is not None:
        said = [
            f"{text}, p\N{NO-BREAK SPACE}{p:.2g}"
            for text, p in zip(said, p_values[lowest], strict=True)
        ]
    return {
        "of": len(scores),
        "measure": measure.title,
        "has_p": p_values is not None,
        "images": [(sheet_uri(source.images[[i]], 1), said[k]) for k, i in enumerate(lowest)],
    }


def _epochs(run: Run | None, exported: int | None) -> list[tuple[int, str]]:
    """Some epochs, the exported and the last one among them, and their pictures as data URIs."""
    pictures = run.epoch_images if run else {}
    evenly = [*pictures][:: -(-len(pictures) // _EPOCHS_SHOWN) or 1]
    shown = sorted({*evenly, *[*pictures][-1:], exported} & pictures.keys())
    return [(epoch, _picture(pictures[epoch], _WIDTH_OF_PICTURE)) for epoch in shown]


def sheet_uri(images: np.ndarray, columns: int, lossless: bool = True) -> str:
    """Lays images [N, H, W, C] in [0, 1] out row by row; returns a data URI."""
    return _uri(as_picture(mosaic(images, columns, gap=0)), None if lossless else _OF_IMAGES)


def _picture(path: Path, width: int) -> str | None:
    """Reads a picture and makes it at most so wide; a data URI, or None if there is none."""
    if not path.exists():
        return None
    with Image.open(path) as picture:
        picture = picture if picture.mode == "L" else picture.convert("RGB")
        picture.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
        return _uri(picture, _OF_PICTURES)


def _uri(picture: Image.Image, quality: int | None) -> str:
    with io.BytesIO() as file:
        options = {"lossless": True, "method": 4} if quality is None else {"quality": quality}
        picture.convert("RGB").save(file, "WEBP", **options)
        return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
