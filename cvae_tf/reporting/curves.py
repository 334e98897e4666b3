"""Curves by epoch as SVG, which can be seen without a script."""

import html
import math

_WIDTH, _HEIGHT = 520, 220
_LEFT, _TOP, _RIGHT, _BOTTOM = 84, 10, 510, 184  # of the curves in the picture
_COLOURS = tuple(f"var(--c{number})" for number in range(5))  # as `report.css` has them
_LEFT_OUT = ("seconds", "step", "images_per_second", "epoch")


def drawn(metrics: list[dict[str, float]]) -> str:
    """Draws the columns of `metrics.csv`, those of one measure together.

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
        f"<figure>{_figure(title, names, metrics)}</figure>" for title, names in groups.items()
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


def _figure(title: str, names: list[str], metrics: list[dict[str, float]]) -> str:
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
    return _framed(title, "".join(lines), (low, high), (epochs[0], epochs[-1]))


def _framed(title: str, lines: str, limits: tuple[float, float], epochs: tuple[int, int]) -> str:
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
