"""Curves by epoch as SVG, which can be seen without a script."""

import html
import math

_WIDTH, _HEIGHT, _LEFT, _BELOW = 520, 220, 64, 26
_COLOURS = ("#0b62c4", "#d9480f", "#2b8a3e", "#862e9c", "#c2255c")
_LEFT_OUT = ("seconds", "step", "images_per_second", "epoch")


def drawn(metrics: list[dict[str, float]]) -> str:
    """Draws the columns of `metrics.csv`, those of one measure together.

    Args:
        metrics: its rows.

    Returns:
        One SVG for each measure; a pointer on a dot is told its value.
    """
    groups: dict[str, list[str]] = {}
    for name in metrics[-1]:
        if not any(name.endswith(word) for word in _LEFT_OUT):
            groups.setdefault(name.partition("_")[2], []).append(name)
    shown = "".join(
        f"<figure>{_figure(title, names, metrics)}</figure>" for title, names in groups.items()
    )
    return f'<div class="beside curves">{shown}</div>'


def _figure(title: str, names: list[str], metrics: list[dict[str, float]]) -> str:
    epochs = [row["epoch"] for row in metrics]
    series = {name: [float(row.get(name, math.nan)) for row in metrics] for name in names}
    known = [value for values in series.values() for value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    high += (high == low) * (abs(high) or 1.0) * 0.1
    first, last = epochs[0], max(epochs[-1], epochs[0] + 1)

    def place(epoch: float, value: float) -> str:
        x = _LEFT + (epoch - first) / (last - first) * (_WIDTH - _LEFT - 10)
        y = 10 + (high - value) / (high - low) * (_HEIGHT - _BELOW - 20)
        return f"{x:.1f},{y:.1f}"

    lines = []
    for number, (name, values) in enumerate(series.items()):
        points = [place(e, v) for e, v in zip(epochs, values, strict=True) if math.isfinite(v)]
        colour = _COLOURS[number % len(_COLOURS)]
        dots = "".join(
            f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="3" fill="{colour}">'
            f"<title>{html.escape(f'{name}, epoch {e}: {v:.4g}')}</title></circle>"
            for p, e, v in zip(points, epochs, values)  # noqa: B905 (those that are finite)
        )
        line = (
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" '
            f'points="{" ".join(points)}"/>'
        )
        y = _HEIGHT - _BELOW - 8 - 15 * number
        label = f'<text x="{_LEFT + 8}" y="{y}" style="fill:{colour}">{html.escape(name)}</text>'
        lines += [line, dots, label]
    labels = (
        f'<text x="{_LEFT - 6}" y="18" text-anchor="end">{high:.4g}</text>'
        f'<text x="{_LEFT - 6}" y="{_HEIGHT - _BELOW - 6}" text-anchor="end">{low:.4g}</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">epoch {epochs[0]}</text>'
        f'<text x="{_WIDTH - 10}" y="{_HEIGHT - 6}" text-anchor="end">{epochs[-1]}</text>'
        f'<path class="axis" fill="none" d="M{_LEFT} 10V{_HEIGHT - _BELOW}H{_WIDTH - 10}"/>'
    )
    caption = f"<figcaption>{html.escape(title.replace('_', ' '))}</figcaption>"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)} by epoch">{labels}{"".join(lines)}</svg>{caption}'
    )
