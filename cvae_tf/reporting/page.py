"""The page itself: contents -> one HTML file that needs nothing else."""

import html
import json
import string
from importlib import resources
from typing import Any

from cvae_tf.config import Config
from cvae_tf.reporting import curves, evaluated, sheets
from cvae_tf.reporting.contents import Contents, Source
from cvae_tf.reporting.markup import section, table

_SAID = (  # settings, those of other families left out
    "network", "objective", "binarize", "likelihood", "gan_loss", "r1", "diff_augment", "seed",
)  # fmt: skip
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
        evaluated.section_of(source),
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
    return section("Curves", curves.drawn(source.metrics) + numbers)


def _stills(source: Source) -> str:
    """The latents as pictures, for paper and for those without a script."""
    pictures = "".join(
        f'<figure><img src="{sheets.smaller(str(path), 700)}" alt="{path.stem} of the run">'
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
