"""The section of a page that shows what `evaluate.py` has found."""

from typing import Any

from cvae_tf.models.base import GenerativeModel
from cvae_tf.reporting import sheets
from cvae_tf.reporting.contents import Source
from cvae_tf.reporting.markup import paragraph, section, table

_WIDTH = 900  # of a picture, at most
_PICTURES = (  # in the order of `Evaluated`
    "bounds of log p(x), and how images are spread",
    "a true posterior with two modes, and what is decoded there",
)


def section_of(source: Source) -> str:
    """Writes the numbers with their conditions, and the pictures; nothing if there are none."""
    if source.evaluation is None:
        return ""
    found, paths = source.evaluation
    text = _numbers(found.get("numbers") or []) + _distance(found.get("distance") or {})
    if not text:
        return ""
    pictures = "".join(
        f'<figure><img src="{sheets.smaller(str(path), _WIDTH)}" alt="{name}"></figure>'
        for path, name in zip(paths, _PICTURES, strict=True)
        if path.exists()
    )
    return section("Evaluation", _remark(found, source.model) + text + pictures)


def _remark(found: dict[str, Any], model: GenerativeModel) -> str:
    """Says if the model has been trained further since."""
    rows = found.get("training"), model.metadata.get("metrics")
    epochs = [(row or {}).get("epoch") for row in rows]
    if None in epochs or epochs[0] == epochs[1]:
        return ""
    return paragraph(f"Of epoch {epochs[0]}; this page shows the model of epoch {epochs[1]}.")


def _numbers(numbers: list[dict[str, Any]]) -> str:
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
