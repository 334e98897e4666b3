"""Several runs side by side: settings that differ, figures, curves, the same images by each."""

import html

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.data.inspection import choose_shown
from cvae_tf.reporting import curves, page, sheets
from cvae_tf.reporting.contents import Source
from cvae_tf.reporting.markup import section, table

_SHOWN = 24


def page_of(sources: list[Source]) -> str:
    """Writes the page.

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
        section("Settings that differ", _settings(sources, names)),
        section("Figures of the last epoch", _figures(sources, names)),
        section("Curves", _curves(sources)),
        section("The same images, reconstructed by each", _images(sources)),
    ]
    empty = {"code": None, "samples": None}
    return page.framed("Runs side by side", "\n".join(part for part in body if part), empty)


def _settings(sources: list[Source], names: tuple[str, ...]) -> str:
    configs = [source.model.metadata.get("config", {}) for source in sources]
    known = {name: None for config in configs for name in config}
    rows = [
        (name, *(config.get(name, "-") for config in configs))
        for name in known
        if len({str(config.get(name, "-")) for config in configs}) > 1
    ]
    return table(rows, ("setting", *names)) if rows else "<p>None.</p>"


def _figures(sources: list[Source], names: tuple[str, ...]) -> str:
    last = [source.metrics[-1] if source.metrics else {} for source in sources]
    known = {name: None for row in last for name in row}
    rows = [(name, *(_short(row.get(name)) for row in last)) for name in known]
    return table(rows, ("figure", *names))


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _curves(sources: list[Source]) -> str:
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
    return f"{curves.drawn(list(rows.values()))}<p class='soft'>{html.escape(legend)}</p>"


def _images(sources: list[Source]) -> str:
    first = next((source for source in sources if len(source.images)), None)
    if first is None:
        return ""
    shown = choose_shown(first.labels, len(first.images), _SHOWN)
    images = first.images[shown]
    rows = [("The images", images)]
    for source in sources:
        is_same = _images_of(source) == _images_of(first)
        if "reconstruct" in source.model.abilities and (is_same or not source.model.num_classes):
            own = first.labels[shown] if source.model.num_classes else None
            rows.append((source.name, source.model.reconstruct(images, own)))
    return "".join(_row(title, pixels) for title, pixels in rows)


def _images_of(source: Source) -> str | None:
    """What tells data sets apart; labels mean the same in one data set alone."""
    return source.model.metadata.get("data", {}).get("sha256")


def _row(title: str, pixels: np.ndarray) -> str:
    uri, text = sheets.sheet(pixels, len(pixels)), html.escape(title)
    picture = f'<img class="pixels" src="{uri}" alt="{text}">'
    return f'<figure class="wide">{picture}<figcaption>{text}</figcaption></figure>'
