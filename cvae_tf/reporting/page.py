"""The page of a run, of an exported model, or of several side by side: one HTML file.

The templates are in `page/`. All that users name is text in them; styles, scripts and images are
inside, so that a page needs nothing else.
"""

import dataclasses
import functools
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cvae_tf.config import Config
from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.data.inspection import choose_shown
from cvae_tf.presets import DEFAULT_PRESET
from cvae_tf.reporting.contents import (
    Labelled,
    Source,
    collect,
    read_source,
    sheet_uri,
    smaller_uri,
)

if TYPE_CHECKING:
    import jinja2

_COMPARED_IMAGES = 24  # of each run
_SAID = (  # settings, those of other families left out
    "network", "objective", "binarize", "likelihood", "gan_loss", "r1", "diff_augment", "seed",
)  # fmt: skip
_STILL_WIDTH, _EVALUATED_WIDTH = 700, 900  # of pictures, at most
_LEFT_OUT = ("seconds", "step", "images_per_second", "epoch")  # ends of columns without a curve


def write(
    model: str | Path,
    output: Path | None = None,
    others: Sequence[str | Path] = (),
    images: Labelled | None = None,
) -> Path:
    """Writes a page.

    Args:
        model: directory of a run, or of an exported model.
        output: the file; by default `report.html` in the run, or in this folder.
        others: further runs, side by side with the first.
        images: of the model's test set, uint8 [N, H, W, C], and their labels, if they are at hand.

    Returns:
        The file.

    Raises:
        UserError: if a model cannot be loaded, their images differ in size, or the file cannot be
            written.
    """
    sources = [read_source(each, images) for each in (model, *others)]
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
    contents, metadata = collect(source), source.model.metadata
    title = f"{metadata.get('title', 'model')} of {metadata.get('data', {}).get('name', 'images')}"
    # Of the epoch that was exported, which need not be the last one.
    row = metadata.get("metrics") or (source.metrics[-1] if source.metrics else {})
    run, columns = source.run, list(dict.fromkeys(name for row in source.metrics for name in row))
    return _render(
        "single.html",
        contents.data,
        contents=contents,
        model=source.model,
        metadata=metadata,
        title=title[:1].upper() + title[1:],
        name=source.name,
        settings=_settings_said(metadata.get("config", {})),
        row=row,
        metrics=source.metrics,
        curves_shown=curves_of(source.metrics),
        columns=columns,
        numbers=[[row.get(column, "") for column in columns] for row in source.metrics],
        evaluation=files.read_json(run.evaluation) if run and run.evaluation.exists() else None,
        evaluated=run and _picture(run.evaluation.with_suffix(".png"), _EVALUATED_WIDTH),
        stills=[
            (path.stem, smaller_uri(path, _STILL_WIDTH))
            for path in ((run.latents, run.manifold) if run else ()) if path.exists()
        ],
        command=_command(metadata.get("config", {})),
    )  # fmt: skip


def comparison(sources: list[Source]) -> str:
    """Writes the page of several runs: what differs, figures, curves, the same images by each.

    Raises:
        UserError: if their images are of different sizes.
    """
    if len({source.model.image_shape for source in sources}) > 1:
        raise UserError("--compare: the images of these runs are of different sizes.")
    configs = [source.model.metadata.get("config", {}) for source in sources]
    differing = [row for row in _side_by_side(configs) if len(set(map(str, row[1:]))) > 1]
    last = [
        (source.metrics or [source.model.metadata.get("metrics", {})])[-1] for source in sources
    ]
    rows = [  # each test figure of all runs is on the same axes
        {"epoch": row["epoch"]}
        | {f"run {number}_{name[5:]}": row[name] for name in row if name.startswith("test_")}
        for number, source in enumerate(sources, 1)
        for row in source.metrics
    ]
    return _render(
        "comparison.html",
        {"code": None, "samples": None},
        title=f"{len(sources)} runs side by side",
        names=[source.name for source in sources],
        settings=differing,
        figures=_side_by_side(last),
        rows=rows,
        curves_shown=curves_of(rows),
        images=_compared_images(sources),
    )


@functools.cache
def _templates() -> "jinja2.Environment":
    import jinja2  # here, because few who import this package write a page

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("cvae_tf.reporting", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return found


def _render(template: str, data: dict[str, Any], **values: Any) -> str:
    """Fills a template; `data` are for the scripts, all else is for the template."""
    return _templates().get_template(template).render(data=data, **values)


def _settings_said(config: dict[str, Any]) -> list[tuple[str, Any]]:
    """The settings that say what the figures are of."""
    fitting = None, config.get("model", Config.model)
    own = [name for name in _SAID if name in config and Config.owner(name) in fitting]
    return [(name.replace("_", " "), config[name]) for name in own]


def _picture(path: Path, width: int) -> str | None:
    return smaller_uri(path, width) if path.exists() else None


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


class Curve(NamedTuple):
    """Columns of one measure, which are drawn on the same axes."""

    title: str
    lines: dict[str, list[tuple[int, float]]]  # such as "test": epochs and values
    low: float
    high: float


def curves_of(metrics: list[dict[str, float]]) -> list[Curve]:
    """Groups the columns of `metrics.csv` by their measure, without values that are not finite."""
    groups: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in metrics:
        for name, value in row.items():
            if not name.endswith(_LEFT_OUT):
                line, _, measure = name.partition("_")
                points = groups.setdefault(measure, {}).setdefault(line, [])
                points += [(row["epoch"], value)] if math.isfinite(value) else []
    found = []
    for measure, lines in groups.items():
        values = [value for points in lines.values() for _, value in points] or [0.0]
        found.append(Curve(measure.replace("_", " "), lines, min(values), max(values)))
    return found


def _side_by_side(tables: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows of a table: a name, and its value in each of several dicts."""
    names = dict.fromkeys(name for table in tables for name in table)
    return [(name, *(_short(table.get(name)) for table in tables)) for name in names]


def _short(value: Any) -> Any:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else value


def _compared_images(sources: list[Source]) -> list[tuple[str, str]]:
    """The same images and what each model makes of them: a title, and a sheet as data URI."""
    first = next((source for source in sources if len(source.images)), None)
    if first is None:
        return []
    shown = choose_shown(first.labels, len(first.images), _COMPARED_IMAGES)
    images = first.images[shown]
    rows = [("The images", images)]
    for source in sources:
        is_same = _digest(source) == _digest(first)
        if "reconstruct" in source.model.abilities and (is_same or not source.model.num_classes):
            own = first.labels[shown] if source.model.num_classes else None
            rows.append((source.name, source.model.reconstruct(images, own)))
    return [(title, sheet_uri(pixels, len(pixels))) for title, pixels in rows]


def _digest(source: Source) -> str | None:
    """What tells data sets apart; labels mean the same in one data set alone."""
    return source.model.metadata.get("data", {}).get("sha256")
