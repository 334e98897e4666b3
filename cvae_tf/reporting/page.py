"""The page itself: contents -> one HTML file that needs nothing else."""

import html
import json
import string
from importlib import resources
from typing import Any

from cvae_tf.reporting import curves
from cvae_tf.reporting.contents import Contents, Source

_SCRIPTS = ("network.js", "plane.js", "curves.js", "report.js")


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
        _evaluation(source),
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
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        script="\n".join(_file(name) for name in _SCRIPTS),
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


def _file(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _title(source: Source) -> str:
    return f"{source.model.metadata.get('title', 'model')} of {_data(source).get('name', 'images')}"


def _data(source: Source) -> dict[str, Any]:
    return source.model.metadata.get("data", {})


def section(title: str, body: str, also: str = "") -> str:
    """Writes a section under a heading."""
    return f"<section{also}><h2>{html.escape(title)}</h2>{body}</section>" if body else ""


def _head(source: Source) -> str:
    data, config = _data(source), source.model.metadata.get("config", {})
    height, width, channels = source.model.image_shape
    what = (
        f"{data.get('origin', '')} {data.get('train_images', 0):,} training images of {height} x "
        f"{width} pixels, {'grey' if channels == 1 else 'colours'}. Network "
        f"{config.get('network')}, {source.model.latent_dim} latent dimensions, objective "
        f"{config.get('objective')}."
    )
    row = source.metrics[-1] if source.metrics else source.model.metadata.get("metrics") or {}
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
    epochs = f" after {row['epoch']} epochs, on the test images" if "epoch" in row else ""
    return (
        f"<h1>{html.escape(_title(source)).capitalize()}</h1>"
        f"<p class='lead'>{html.escape(what)}</p>"
        f"<div class='figures'>{boxes}</div><p class='soft'>{html.escape(source.name)}{epochs}</p>"
    )


def _explore(contents: Contents) -> str:
    if not contents.data["code"]:
        return ""
    body = _file("explore.html")
    return f'<section class="needs-script" id="explore">{body}</section>'


def _images(contents: Contents) -> list[str]:
    found = []
    for title, uri in contents.rows:
        picture = f'<img class="pixels" src="{uri}" alt="{html.escape(title)}">'
        found.append(section(title, f'<figure class="wide">{picture}</figure>'))
    more = (
        '<button id="more">More samples</button> <canvas id="more-samples" class="pixels" '
        'aria-label="more samples" role="img"></canvas>'
    )
    return [*found, f'<section class="needs-script">{more}</section>']


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
        f'<input type="range" id="epoch" min="0" max="{last}" value="{last}"></label>'
    )
    return section("Epoch by epoch", slider + pictures)


def _curves(source: Source) -> str:
    return section("Curves", curves.drawn(source.metrics)) if source.metrics else ""


def _evaluation(source: Source) -> str:
    rows = [
        (
            each["quantity"],
            f"{each['samples']} samples" if each.get("samples") else each.get("method", ""),
            f"{each['nats_per_image']:.3f} +- {each['standard_error']:.3f}",
            each.get("split", ""),
        )
        for each in (source.evaluation or {}).get("numbers", [])
    ]
    if not rows:
        return ""
    return section("Evaluation", table(rows, ("quantity", "how", "nats per image", "images")))


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
