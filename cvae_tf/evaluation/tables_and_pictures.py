"""An evaluation as a table for people, JSON and CSV for programs, and a picture."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cvae_tf.core import files
from cvae_tf.distances import NEIGHBOURS
from cvae_tf.drawing.canvas import fit, new_figure, save
from cvae_tf.drawing.plots import COLOURS
from cvae_tf.evaluation import evaluating
from cvae_tf.evaluation.evaluating import Classification, Distance, Evaluation
from cvae_tf.inference import exact_log_px, importance_bounds
from cvae_tf.inference.importance_bounds import mean_of
from cvae_tf.models.vae.family import meaning_of_bits
from cvae_tf.models.vae.likelihoods import nats_of_one_bit

_WIDEST = 10_000  # letters in a line, so that nothing is cut
_MOST_DIMENSIONS, _LARGEST_DIMENSIONS = 10, 5  # of the latents, whose KL has a row each
_COLOURS = COLOURS[:2]  # for the encoder's posterior and the refined one


def as_table(found: Evaluation | Distance) -> str:
    """Writes the numbers for people."""
    if isinstance(found, Distance):
        return "\n".join(["", f"{_how_real(found)}.", "", _table_of_distance(found)])
    model, settings = found.model, found.settings
    lines = [
        "",
        *_headlines(found),
        "",
        f"Means over {len(found.pixels):,} images ({found.images.origin}), +- standard error; "
        f"binarisation {model.pixels.binarization_name}, p(x|z) {model.pixels.likelihood_name}, "
        f"seed {settings.seed}:",
        "",
        _table_of_numbers(found),
        "",
    ]
    if found.classes:
        lines.append(_describe_classes(found.classes))
    lines += _remarks(found)
    if found.distance:
        lines += ["", _table_of_distance(found.distance)]
    return "\n".join(lines)


def _headlines(found: Evaluation) -> Iterator[str]:
    """Says in three lines how good the model is."""
    model, elbo = found.model, found.elbo.mean()
    if model.pixels.has_likelihood:
        evidence, is_exact = _evidence(found), found.log_evidence is not None
        nats = f"{found.evidence} is {'' if is_exact else 'at least '}{evidence:,.2f} nats"
        bits = f"{-evidence / nats_of_one_bit(model.image_shape):.2f} bits/dim"
        if model.pixels.likelihood.is_of_levels:
            bound = "" if is_exact else "at most "
            yield f"How likely an image is: {bound}{bits} on average ({nats})."
        else:
            yield f"How likely an image is: {nats} on average ({bits})."
        missed = f"{evidence - elbo:,.2f} nats (its ELBO is {elbo:,.2f})"
        if found.refined:
            missed += f"; refined posteriors miss {evidence - found.refined.elbo.mean():,.2f}"
        yield f"What the encoder misses: {missed}."
    else:
        title = model.pixels.terms["elbo"].title
        yield f"How likely an image is: nobody can say; the {title} is {elbo:,.2f} nats."
    active = importance_bounds.count_active_units(found.posteriors)
    used = f"{active} of {model.latent_dim} latent dimensions are in use"
    if found.distance:
        yield f"{_how_real(found.distance)}; {used}."
    else:
        yield f"What it uses: {used}."


def _how_real(found: Distance) -> str:
    return (
        f"How real its own images look: Frechet distance {found.frechet:.4g} (lower is better), "
        f"where real images have {found.floor:.4g}"
    )


def _evidence(found: Evaluation) -> float:
    """The mean log p(x), exact or by the best bound, nats."""
    if found.log_evidence is not None:
        return found.log_evidence.mean()
    bounds = [[each.elbo, *each.bounds.importance_weighted.values()]
              for each in found.by_posterior.values()]  # fmt: skip
    return max(values.mean() for each in bounds for values in each)


def _table_of_numbers(found: Evaluation) -> str:
    """A row for each number, as wide as needed: plain text."""
    from rich.console import Console
    from rich.table import Column, Table

    numeric = (Column(name, justify="right") for name in ("K", "nats per image", "bits/dim"))
    table = Table("", *numeric, box=None, pad_edge=False)
    size, numbers = found.model.latent_dim, evaluating.numbers(found)
    if size > _MOST_DIMENSIONS:  # the rows of the dimensions come last
        largest = sorted(numbers[-size:], key=lambda number: -number.nats.mean)
        numbers = [*numbers[:-size], *largest[:_LARGEST_DIMENSIONS]]
    for quantity, how, nats, bits in numbers:
        error = "" if nats.standard_error is None else f" +- {nats.standard_error:.2f}"
        table.add_row(quantity, how, f"{nats.mean:,.2f}{error}", f"{bits.mean:.4f}")
    if size > _MOST_DIMENSIONS:
        table.add_row(f"(the other {size - _LARGEST_DIMENSIONS} dimensions have less)", "", "", "")
    text = io.StringIO()
    bare = {"color_system": None, "markup": False, "emoji": False, "force_jupyter": False}
    Console(file=text, width=_WIDEST, height=1, **bare).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _table_of_distance(found: Distance) -> str:
    share = found.share
    rows = (
        ("Frechet distance", f"{found.frechet:11.4g}  in features {found.features}"),
        ("of training images (floor)", f"{found.floor:11.4g}"),
        ("precision", f"{share.precision:11.3f}  of drawn images lie among real ones "
                      f"({NEIGHBOURS} neighbours)"),
        ("recall", f"{share.recall:11.3f}  of real images lie among drawn ones"),
    )  # fmt: skip
    title = f"{found.images:,} drawn and as many test images ({found.of}), seed {found.seed}"
    return "\n".join([title, *(f"{name:26} {value}" for name, value in rows)])


def _describe_classes(classes: Classification) -> str:
    error, deviation = mean_of(classes.is_wrong)
    accuracy = "" if deviation is None else f" +- {100 * deviation:.2f}"
    how = "exact" if classes.how == "quadrature" else f"bound, K = {classes.how}"
    return (
        f"as a classifier: {100 * error:.2f}{accuracy} % of the images are taken for another class "
        f"(argmax of log p(x|y) + log p(y); {how})"
    )


def _remarks(found: Evaluation) -> Iterator[str]:
    """Yields remarks on the numbers."""
    model, exact = found.model, found.exact
    if found.refined:
        yield (
            f"refined: a posterior found by {found.refined.steps} Gauss-Newton steps for each "
            "image; the other one is the encoder's"
        )
    if exact:
        unsure = np.sum(exact.error > exact_log_px.TOLERANCE)
        yield (
            f"quadrature: {found.evidence} of an image is off by {exact.error.mean():.3f} nats at "
            "most, on average; the mean over images is far closer"
        )
        if unsure:
            yield (
                f"Of {unsure} images it may be wrong by more than {exact_log_px.TOLERANCE} nats, "
                f"by {exact.error.max():.2g} at most."
            )
    if not model.pixels.has_likelihood:
        yield (
            "The cross-entropy of grey levels is no log-likelihood, so there is no bound on log "
            "p(x). Train with --likelihood=discretized_logistic to have one."
        )
    elif meaning := meaning_of_bits(model.pixels):
        yield meaning


def as_json(found: Evaluation | Distance) -> dict[str, Any]:
    """Returns everything for programs; each number has its conditions."""
    if isinstance(found, Distance):
        share = found.share._asdict()
        own = {"distance": found.frechet, "floor": found.floor, **share, "neighbours": NEIGHBOURS}
        named = {name: getattr(found, name) for name in ("images", "of", "features", "seed")}
        return {"distance": own | named}
    model, settings, exact = found.model, found.settings, found.exact
    conditions = {
        "binarize": model.pixels.binarization_name,
        "likelihood": model.pixels.likelihood_name,
        "seed": settings.seed,
        "split": found.images.origin,
        "images": len(found.pixels),
        "refine": found.refined.steps if found.refined else 0,
    }
    return {
        "config": model.metadata.get("config"),
        "training": model.metadata.get("metrics"),  # at the last epoch
        "numbers": [
            {
                "quantity": quantity,
                "samples": int(how) if how.isdecimal() else None,
                "method": "posterior samples" if how.isdecimal() else how,
                "nats_per_image": nats.mean,
                "standard_error": nats.standard_error,
                "bits_per_dimension": bits.mean,
                "bits_standard_error": bits.standard_error,
                **conditions,
            }
            for quantity, how, nats, bits in evaluating.numbers(found)
        ],
        "active_units": {
            "count": importance_bounds.count_active_units(found.posteriors),
            "of": model.latent_dim,
            **conditions,
        },
        "classification": found.classes
        and {
            **dict(zip(("error", "standard_error"), mean_of(found.classes.is_wrong), strict=True)),
            "method": found.classes.how,
            **conditions,
        },
        "distance": found.distance and as_json(found.distance)["distance"],
        "quadrature": exact
        and {
            "error_nats": float(exact.error.mean()),
            "largest_error_nats": float(exact.error.max()),
        },
    }


def write(found: Evaluation | Distance, output: Path) -> list[Path]:
    """Writes JSON to `output`; beside it a table with a row for each image, and a picture.

    Returns:
        The files; only the JSON if there are only distances.

    Raises:
        UserError: if something cannot be written.
    """
    files.write_json(output, as_json(found))
    if isinstance(found, Distance):
        return [output]
    table = output.with_name(f"{output.stem}_images.csv")
    picture = output.with_suffix(".png")
    _write_values(found, table)
    _draw_evaluation(found, picture)
    return [output, table, picture]


def _draw_evaluation(found: Evaluation, path: Path) -> None:
    """Draws how bounds rise with the number of samples, and where nats are lost."""
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    _draw_bounds(left, found)
    if found.log_evidence is not None:
        evidence = found.evidence
        right.hist(found.log_evidence - found.elbo, bins=60, color=COLOURS[0], log=True)
        right.set(title="What the ELBO misses", xlabel=f"{evidence} - ELBO, nats", ylabel="images")
    else:
        kl = found.kl.mean(axis=0)
        right.bar(np.arange(1, len(kl) + 1), np.sort(kl)[::-1], color=COLOURS[0])
        right.set(title="KL of each latent dimension, sorted", xlabel="dimension", ylabel="nats")
        right.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    title = f"How good the model is on {len(found.pixels):,} images ({found.images.origin})"
    fit(figure.suptitle(title), 0.96 * figure.bbox.width)
    figure.tight_layout()
    save(figure, path)


def _draw_bounds(axes: Axes, found: Evaluation) -> None:
    """Draws the means of ELBOs, of bounds by number of samples, and of log p(x) if known."""
    title = found.model.pixels.terms["elbo"].title
    for (name, each), color in zip(found.by_posterior.items(), _COLOURS, strict=False):
        axes.axhline(each.elbo.mean(), color=color, linestyle="--", label=title + name)
        if by_size := each.bounds.importance_weighted:
            axes.set(title=f"Bounds on {found.evidence}", xlabel="samples K")
            means, label = [values.mean() for values in by_size.values()], "importance-weighted"
            axes.semilogx(list(by_size), means, "o-", color=color, label=label + name)
            axes.set_xticks(list(by_size), [f"{size:,}" for size in by_size])
            axes.minorticks_off()
    if found.log_evidence is not None:
        axes.axhline(found.log_evidence.mean(), color="black", label=f"{found.evidence}, exact")
    axes.set(ylabel="nats per image")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)


def _write_values(found: Evaluation, path: Path) -> None:
    """Writes every quantity of every image, in nats."""
    quantities = list(evaluating.quantities(found))
    names = [f"{quantity} (K = {how})" if how.isdecimal() else quantity
             for quantity, how, _ in quantities]  # fmt: skip
    columns = [[f"{value:.4f}" for value in values] for _, _, values in quantities]
    if found.classes:
        names.append("likeliest class")
        columns.append([found.model.class_names[number] for number in found.classes.found])
    files.write_table(path, ["image", *names], zip(found.images.names, *columns, strict=True))
