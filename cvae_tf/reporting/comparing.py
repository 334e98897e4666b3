"""Several runs side by side: settings that differ, figures, curves, the same images by each."""

import html

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.data.shown_images import choose_shown
from cvae_tf.reporting import curves, page, sheets
from cvae_tf.reporting.contents import Source

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
        page.section("Settings that differ", _settings(sources, names)),
        page.section("Figures of the last epoch", _figures(sources, names)),
        page.section("Curves", _curves(sources)),
        page.section("The same images, reconstructed by each", _images(sources)),
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
    return page.table(rows, ("setting", *names)) if rows else "<p>None.</p>"


def _figures(sources: list[Source], names: tuple[str, ...]) -> str:
    last = [source.metrics[-1] if source.metrics else {} for source in sources]
    known = {name: None for row in last for name in row}
    rows = [(name, *(row.get(name, "-") for row in last)) for name in known]
    return page.table(rows, ("figure", *names))


def _curves(sources: list[Source]) -> str:
    """Draws each test figure of all runs on the same axes."""
    longest = max((source.metrics for source in sources), key=len)
    if not longest:
        return ""
    rows = [{"epoch": row["epoch"]} for row in longest]
    for number, source in enumerate(sources, 1):
        for row, own in zip(rows, source.metrics, strict=False):
            row |= {
                f"run {number}_{name.removeprefix('test_')}": value
                for name, value in own.items()
                if name.startswith("test_")
            }
    legend = "; ".join(f"run {number}: {source.name}" for number, source in enumerate(sources, 1))
    return f"{curves.drawn(rows)}<p class='soft'>{html.escape(legend)}</p>"


def _images(sources: list[Source]) -> str:
    first = sources[0]
    if not len(first.images):
        return ""
    shown = choose_shown(first.labels, len(first.images), _SHOWN)
    images = first.images[shown]
    rows = [("The images", images)]
    for source in sources:
        if "reconstruct" in source.model.abilities:
            labels = source.labels_for_model
            own = None if labels is None else labels[shown]
            rows.append((source.name, source.model.reconstruct(images, own)))
    return "".join(_row(title, pixels) for title, pixels in rows)


def _row(title: str, pixels: np.ndarray) -> str:
    uri, text = sheets.sheet(pixels, len(pixels)), html.escape(title)
    picture = f'<img class="pixels" src="{uri}" alt="{text}">'
    return f'<figure class="wide">{picture}<figcaption>{text}</figcaption></figure>'
