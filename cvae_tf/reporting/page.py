"""The page itself: contents -> one HTML file that needs nothing else; all values are text in it."""

import html
import json
import math
import string
from importlib import resources
from typing import Any

from cvae_tf.config import Config
from cvae_tf.models.base import GenerativeModel
from cvae_tf.reporting.contents import Contents, Source, smaller_uri

_SAID = (  # settings, those of other families left out
    "network", "objective", "binarize", "likelihood", "gan_loss", "r1", "diff_augment", "seed",
)  # fmt: skip
_SCRIPTS = ("network.js", "plane.js", "curves.js", "report.js")
_EVALUATED_WIDTH = 900  # of a picture, at most
_WIDTH, _HEIGHT = 520, 220  # of curves
_LEFT, _TOP, _RIGHT, _BOTTOM = 84, 10, 510, 184  # of their axes
_COLOURS = tuple(f"var(--c{number})" for number in range(5))  # as `report.css` has them
_LEFT_OUT = ("seconds", "step", "images_per_second", "epoch")


def page(source: Source, contents: Contents, command: str) -> str:
    """Writes the page of one run.

    Args:
        source: what it is made of.
        contents: what was gathered of that.
        command: that made the run.

    Returns:
        HTML. Names of data sets and classes are text in it, whatever they are.
    """
    parts = [
        _head(source),
        _explore(contents),
        *_images(contents),
        _epochs(contents),
        _curves(source),
        evaluation_section(source),
        _stills(source),
        _unusual(contents),
        _making(source, command),
    ]
    return framed(_title(source), "\n".join(part for part in parts if part), contents.data)


def framed(title: str, body: str, data: dict[str, Any]) -> str:
    """Puts a body, with style and scripts, into the frame of all pages."""
    return string.Template(_file("frame.html")).substitute(
        title=html.escape(title),
        style=_file("report.css"),
        body=body,
        # A script element ends at the first "</"; JSON may write "<" otherwise.
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        script="\n".join(_file(name) for name in _SCRIPTS),
    )


def _file(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _title(source: Source) -> str:
    return f"{source.model.metadata.get('title', 'model')} of {_data(source).get('name', 'images')}"


def _data(source: Source) -> dict[str, Any]:
    return source.model.metadata.get("data", {})


def _head(source: Source) -> str:
    data = _data(source)
    height, width, channels = source.model.image_shape
    what = (
        f"{data.get('origin', '')} {data.get('train_images', 0):,} training images of {height} x "
        f"{width} pixels, {'grey' if channels == 1 else 'colours'}. {_choices(source)}"
    )
    # Of the epoch that was exported, which need not be the last one.
    row = source.model.metadata.get("metrics") or (source.metrics[-1] if source.metrics else {})
    titles = {each["name"]: each for each in source.model.metadata.get("measures", [])}
    figures = [
        (measure["title"], f"{row[f'test_{name}']:.4g}", measure["unit"])
        for name, measure in titles.items() if f"test_{name}" in row
    ]  # fmt: skip
    boxes = "".join(
        f"<div>{html.escape(title)}<b>{value}</b>"
        f"<span class='soft'>{html.escape(unit)}</span></div>"
        for title, value, unit in figures
    )
    num = f"{data['test_images']:,} " if "test_images" in data else ""
    epochs = f", epoch {row['epoch']}, on {num}test images" if "epoch" in row else ""
    title = _title(source)
    return (
        f"<h1>{html.escape(title[:1].upper() + title[1:])}</h1>"
        f"<p class='lead'>{html.escape(what)}</p>"
        f"<div class='figures'>{boxes}</div><p class='soft'>{html.escape(source.name)}{epochs}</p>"
    )


def _choices(source: Source) -> str:
    """The settings that say what the figures are of."""
    config = source.model.metadata.get("config", {})
    fitting = None, config.get("model", Config.model)
    own = (name for name in _SAID if name in config and Config.owner(name) in fitting)
    said = "; ".join(f"{name.replace('_', ' ')} {config[name]}" for name in own)
    return f"{source.model.latent_dim} latent dimensions; {said}."


def _explore(contents: Contents) -> str:
    if not contents.data["code"]:
        text = "The networks are too large, or of a kind that this page cannot compute."
        return section("The latent space", f'<p class="soft">{text}</p>')
    body = _file("explore.html")
    return f'<section class="needs-script" id="explore">{body}</section>'


def _images(contents: Contents) -> list[str]:
    found = []
    for title, uri in contents.rows:
        picture = f'<img class="pixels" src="{uri}" alt="{html.escape(title)}">'
        found.append(section(title, f'<figure class="wide">{picture}</figure>'))
    more = (
        '<button id="more">More samples</button> <canvas id="more-samples" class="pixels" '
        'aria-label="more samples" role="img" hidden></canvas>'
    )
    if contents.data["samples"]["count"] > contents.data["seen"]:
        found.append(section("More samples", more, ' class="needs-script"'))
    return found


def _epochs(contents: Contents) -> str:
    if not contents.epochs:
        return ""
    last = len(contents.epochs) - 1
    pictures = "".join(
        f'<img class="epoch" data-epoch="{epoch}" src="{uri}" alt="Epoch {epoch}: samples and '
        f'reconstructions"{"" if place == last else " hidden"}>'
        for place, (epoch, uri) in enumerate(contents.epochs)
    )
    slider = (
        f'<label class="needs-script"><span id="epoch-name">Epoch {contents.epochs[-1][0]}</span>'
        f'<input type="range" id="epoch" autocomplete="off" min="0" max="{last}" '
        f'value="{last}"></label>'
    )
    return section("Epoch by epoch", slider + pictures)


def _curves(source: Source) -> str:
    if not source.metrics:
        return ""
    names = tuple(dict.fromkeys(name for row in source.metrics for name in row))
    rows = [tuple(row.get(name, "") for name in names) for row in source.metrics]
    numbers = f"<details><summary>All numbers</summary>{table(rows, names)}</details>"
    return section("Curves", draw_curves(source.metrics) + numbers)


def _stills(source: Source) -> str:
    """The latents as pictures, for paper and for those without a script."""
    pictures = "".join(
        f'<figure><img src="{smaller_uri(str(path), 700)}" alt="{path.stem} of the run">'
        f"<figcaption>{path.stem}</figcaption></figure>"
        for path in source.stills
    )
    return pictures and f'<section class="still"><h2>Latents</h2>{pictures}</section>'


def _unusual(contents: Contents) -> str:
    cells = "".join(
        f'<figure><img class="pixels" src="{uri}" alt="test image"><figcaption>'
        f"{html.escape(text)}</figcaption></figure>"
        for uri, text in contents.unusual
    )
    return section("The most unusual test images", cells and f'<div class="cells">{cells}</div>')


def _making(source: Source, command: str) -> str:
    metadata = source.model.metadata
    versions = ", ".join(
        f"{name} {number}" for name, number in metadata.get("versions", {}).items()
    )
    facts = [
        ("Licence of the data", _data(source).get("licence", "not known")),
        ("Versions", versions),
        ("Commit", metadata.get("git_commit") or "not known"),
    ]
    copy = '<button class="needs-script" id="copy">Copy the command</button>'
    code = f'<pre id="command">{html.escape(command)}</pre>'
    return section("How it was made", code + copy + table(facts))


def evaluation_section(source: Source) -> str:
    """Writes what `evaluate.py` has found, with its conditions and pictures; nothing if nothing."""
    if source.evaluation is None:
        return ""
    found, path = source.evaluation
    text = _evaluated_numbers(found.get("numbers") or []) + _distance(found.get("distance") or {})
    if not text:
        return ""
    picture, shows = "", "bounds of log p(x), and how images are spread"
    if path.exists():
        uri = smaller_uri(str(path), _EVALUATED_WIDTH)
        picture = f'<figure><img src="{uri}" alt="{shows}"></figure>'
    return section("Evaluation", _remark(found, source.model) + text + picture)


def _remark(found: dict[str, Any], model: GenerativeModel) -> str:
    """Says if the model has been trained further since."""
    rows = found.get("training"), model.metadata.get("metrics")
    epochs = [(row or {}).get("epoch") for row in rows]
    if None in epochs or epochs[0] == epochs[1]:
        return ""
    return paragraph(f"Of epoch {epochs[0]}; this page shows the model of epoch {epochs[1]}.")


def _evaluated_numbers(numbers: list[dict[str, Any]]) -> str:
    if not numbers:
        return ""
    rows = [
        (
            each["quantity"],
            f"{each['samples']} samples" if each.get("samples") else each.get("method", ""),
            _with_error(each),
        )
        for each in numbers
    ]
    first = numbers[0]
    said = (
        f"{first.get('images', 0):,} images ({first.get('split', '')}); binarisation "
        f"{first.get('binarize')}, p(x|z) {first.get('likelihood')}, seed {first.get('seed')}"
    )
    steps = first.get("refine")
    more = f"; refined: {steps} Gauss-Newton steps for each image" if steps else ""
    return table(rows, ("quantity", "how", "nats per image")) + paragraph(f"{said}{more}.")


def _with_error(each: dict[str, Any]) -> str:
    error = each.get("standard_error")
    spread = "" if error is None else f" +- {error:.3f}"
    return f"{each['nats_per_image']:.3f}{spread}"


def _distance(found: dict[str, Any]) -> str:
    rows = [
        (title, f"{found[name]:.4g}")
        for name, title in (
            ("distance", "Frechet distance"),
            ("floor", "of training images (floor)"),
            ("precision", "precision"),
            ("recall", "recall"),
        )
        if found.get(name) is not None
    ]
    if not rows:
        return ""
    said = f"{found.get('images', 0):,} drawn images, in features {found.get('features')}."
    return table(rows) + paragraph(said)


def draw_curves(metrics: list[dict[str, float]]) -> str:
    """Draws the columns of `metrics.csv` as SVG, those of one measure together.

    Args:
        metrics: its rows.

    Returns:
        One SVG for each measure; a pointer on a dot is told its value.
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for row in metrics for name in row):
        if not any(name.endswith(word) for word in _LEFT_OUT):
            groups.setdefault(name.partition("_")[2], []).append(name)
    shown = "".join(
        f"<figure>{_curve(title, names, metrics)}</figure>" for title, names in groups.items()
    )
    return f'{_zoom(metrics[0]["epoch"], metrics[-1]["epoch"])}<div class="beside">{shown}</div>'


def _zoom(first: int, last: int) -> str:
    """Writes sliders by which `page/curves.js` shows some of the epochs."""
    if last - first < 2:
        return ""
    sliders = "".join(
        f'<label>{text} <input type="range" id="{name}" min="{first}" max="{last}" '
        f'value="{value}" autocomplete="off" aria-label="{text} epoch"></label>'
        for name, text, value in (("from", "From", first), ("to", "to", last))
    )
    return (
        f'<div class="needs-script" role="group" aria-label="epochs that the curves show">'
        f'<span id="epochs-shown" aria-live="polite">Epochs {first} to {last}</span>'
        f'<div class="beside">{sliders}</div></div>'
    )


def _curve(title: str, names: list[str], metrics: list[dict[str, float]]) -> str:
    epochs = [row["epoch"] for row in metrics]
    series = {name: [float(row.get(name, math.nan)) for row in metrics] for name in names}
    known = [value for values in series.values() for value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    high += (high == low) * (abs(high) or 1.0) * 0.1
    first, last = epochs[0], max(epochs[-1], epochs[0] + 1)

    def place(epoch: float, value: float) -> str:
        x = _LEFT + (epoch - first) / (last - first) * (_RIGHT - _LEFT)
        y = _TOP + (high - value) / (high - low) * (_BOTTOM - _TOP)
        return f"{x:.1f},{y:.1f}"

    lines = []
    for number, (name, values) in enumerate(series.items()):
        known = [(e, v) for e, v in zip(epochs, values, strict=True) if math.isfinite(v)]
        points = [place(*each) for each in known]
        colour = _COLOURS[number % len(_COLOURS)]
        dots = "".join(
            f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="3" style="fill:{colour}" '
            f'data-epoch="{e}" data-value="{v:.6g}">'
            f"<title>{html.escape(f'{name}, epoch {e}: {v:.4g}')}</title></circle>"
            for p, (e, v) in zip(points, known, strict=True)
        )
        line = (
            f'<polyline fill="none" style="stroke:{colour}" stroke-width="2" '
            f'points="{" ".join(points)}"/>'
        )
        label = (
            f'<text x="{_LEFT + 8}" y="{_BOTTOM + 2 - 15 * number}" style="fill:{colour}">'
            f"{html.escape(name)}</text>"
        )
        lines.append(f"<g>{line}{dots}</g>{label}")
    return _with_axes(title, "".join(lines), (low, high), (epochs[0], epochs[-1]))


def _with_axes(title: str, lines: str, limits: tuple[float, float], epochs: tuple[int, int]) -> str:
    """Puts axes and a caption about curves."""
    low, high = limits
    labels = (
        f'<text class="high" x="{_LEFT - 6}" y="18" text-anchor="end">{high:.4g}</text>'
        f'<text class="low" x="{_LEFT - 6}" y="{_BOTTOM + 4}" text-anchor="end">{low:.4g}</text>'
        f'<text class="first" x="{_LEFT}" y="{_HEIGHT - 6}">epoch {epochs[0]}</text>'
        f'<text class="last" x="{_RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{epochs[1]}</text>'
        f'<path class="axis" fill="none" d="M{_LEFT} {_TOP}V{_BOTTOM + 10}H{_RIGHT}"/>'
    )
    return (
        f'<svg class="curve" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'data-plot="{_LEFT},{_TOP},{_RIGHT},{_BOTTOM}" '
        f'aria-label="{html.escape(title)} by epoch">{labels}{lines}</svg>'
        f"<figcaption>{html.escape(title.replace('_', ' '))}"
        '<span class="value" aria-live="polite"></span></figcaption>'
    )


def table(rows: list[tuple[Any, ...]], heads: tuple[str, ...] = ()) -> str:
    """Writes a table; all values are text."""
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in heads)
    lines = [
        "".join(
            f"<td>{html.escape(str(value))}</td>" if place else
            f'<th scope="row">{html.escape(str(value))}</th>'
            for place, value in enumerate(row)
        )
        for row in rows
    ]  # fmt: skip
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table>{f"<tr>{head}</tr>" if head else ""}{body}</table></div>'


def section(title: str, body: str, also: str = "") -> str:
    """Writes a section under a heading."""
    return f"<section{also}><h2>{html.escape(title)}</h2>{body}</section>" if body else ""


def paragraph(text: str) -> str:
    """Writes a remark."""
    return f'<p class="soft">{html.escape(text)}</p>'
