"""An evaluation as numbers that can be trusted: a table, JSON, pictures."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf import evaluation, evaluation_figures, files, posteriors, quadrature, screen
from cvae_tf.config import term_titles
from cvae_tf.evaluation import Bounds
from cvae_tf.exported import Posterior
from cvae_tf.image_files import Fit, Images, read_images, read_own_images
from cvae_tf.quadrature import Quadrature
from cvae_tf.request import EvaluationRequest
from cvae_tf.subject import Subject, draw_pixels


class Evaluation(NamedTuple):
    """What was found out about a model on N images, all in nats."""

    subject: Subject
    request: EvaluationRequest
    split: str  # which images they are
    pixels: np.ndarray  # [N, H, W, C], as the model was shown them
    posteriors: Posterior
    kl: np.ndarray  # closed form, [N, Z]
    bounds: Bounds
    exact: Quadrature | None  # of models with one or two latent dimensions

    @property
    def elbo(self) -> np.ndarray:
        """ELBO of each image, [N]."""
        return self.bounds.log_likelihood - self.kl.sum(axis=1)


class Number(NamedTuple):
    """A mean over images with the conditions it was taken under."""

    quantity: str
    how: str  # the number of samples K, or the method
    nats: evaluation.Mean  # per image
    bits_per_dimension: float  # lower is better, as a length of code


def evaluate(subject: Subject, request: EvaluationRequest) -> Evaluation:
    """Evaluates a model on all images.

    Args:
        subject: the model.
        request: the settings.

    Returns:
        What was found out.

    Raises:
        UserError: if the images cannot be read or do not fit.
    """
    images, split = _images(subject, request)
    pixels = draw_pixels(images.pixels, subject.binarize, request.seed)
    posterior = evaluation.encode(subject, pixels, request.batch_size)
    kl = evaluation.kl_per_dimension(posterior)
    with screen.progress("sampling") as show:
        bounds = evaluation.bounds(
            subject,
            pixels,
            posterior,
            request.sizes if subject.has_likelihood else [],
            request.samples,
            request.seed,
            request.batch_size,
            show,
        )
    found = Evaluation(subject, request, split, pixels, posterior, kl, bounds, exact=None)
    if subject.has_likelihood and subject.latent_dim <= quadrature.LARGEST_DIM:
        with screen.progress("integrating"):
            exact = quadrature.log_likelihood(
                subject, pixels, posterior, found.elbo, request.batch_size
            )
        found = found._replace(exact=exact)
    return found


def _images(subject: Subject, request: EvaluationRequest) -> tuple[Images, str]:
    fit = Fit(subject.image_shape, request.resize, request.invert)
    if request.data_path:
        return read_images(request.data_path, fit), f"all of {request.data_path}"
    return read_own_images(subject.metadata, fit), f"{subject.metadata['data']['name']} test"


def numbers(found: Evaluation) -> list[Number]:
    """Averages what was found over the images."""
    num_pixels = math.prod(found.subject.image_shape)

    def number(quantity: str, how: str, values: np.ndarray) -> Number:
        nats = evaluation.mean_of(values)
        is_length = quantity == "KL" or quantity.startswith("gap")  # of codes, as bits are
        bits = nats.mean / (num_pixels * math.log(2))
        return Number(quantity, how, nats, bits if is_length else -bits)

    return [number(*parts) for parts in _quantities(found)]


def _quantities(found: Evaluation) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields what there is to know: its name, how it was estimated, and its values [N]."""
    titles = term_titles(found.subject.binarize, found.subject.likelihood_name)
    samples, bounds, exact = str(found.request.samples), found.bounds, found.exact
    yield titles["log_likelihood"], samples, bounds.log_likelihood
    yield titles["kl"], "closed form", found.kl.sum(axis=1)
    yield titles["elbo"], samples, found.elbo
    for size, values in bounds.importance_weighted.items():
        yield "importance-weighted bound", str(size), values
    if bounds.importance_weighted:
        size, best = max(bounds.importance_weighted.items())
        yield "gap: bound - ELBO", str(size), best - found.elbo
    if exact:
        yield "log p(x), exact", "quadrature", exact.log_likelihood
        yield "gap: log p(x) - ELBO", samples, exact.log_likelihood - found.elbo
        yield "gap: log p(x) - bound", str(size), exact.log_likelihood - best


def as_table(found: Evaluation) -> str:
    """Writes the numbers for people."""
    subject, request = found.subject, found.request
    conditions = f"{subject.binarize}, seed {request.seed}, {found.split}"
    lines = [
        f"{len(found.pixels):,} images ({found.split}); p(x|z): {subject.likelihood_name}; "
        f"{subject.latent_dim} latent dimensions",
        "",
        f"{'':26} {'K':>11} {'nats per image':>20} {'bits/dim':>9}  binarisation, seed, images",
    ]
    for quantity, how, nats, bits in numbers(found):
        value = f"{nats.mean:.2f} +- {nats.standard_error:.2f}"
        lines.append(f"{quantity:26} {how:>11} {value:>20} {bits:9.4f}  {conditions}")
    active = evaluation.count_active_units(found.posteriors)
    kl = ", ".join(f"{value:.2f}" for value in found.kl.mean(axis=0))
    lines += ["", f"active units: {active} of {subject.latent_dim}; KL by latent dimension: {kl}"]
    if found.exact:
        lines.append(
            f"quadrature: halving the steps to {found.exact.step:g} changed the mean log p(x) by "
            f"{found.exact.change:.1e} nats"
        )
    if not subject.has_likelihood:
        lines.append(
            "The cross-entropy of grey levels is no log-likelihood, so there is no bound on log "
            "p(x). Train with --likelihood=continuous_bernoulli or gaussian to have one."
        )
    return "\n".join(lines)


def as_json(found: Evaluation) -> dict[str, Any]:
    """Returns everything for programs; each number carries its conditions."""
    subject, request = found.subject, found.request
    conditions = {
        "binarize": subject.binarize,
        "likelihood": subject.likelihood_name,
        "seed": request.seed,
        "split": found.split,
        "images": len(found.pixels),
    }
    return {
        "config": subject.metadata.get("config"),
        "numbers": [
            {
                "quantity": quantity,
                "samples": int(how) if how.isdecimal() else None,
                "method": "posterior samples" if how.isdecimal() else how,
                "nats_per_image": nats.mean,
                "standard_error": nats.standard_error,
                "bits_per_dimension": bits,
                **conditions,
            }
            for quantity, how, nats, bits in numbers(found)
        ],
        "kl_per_dimension_nats": found.kl.mean(axis=0).tolist(),
        "active_units": evaluation.count_active_units(found.posteriors),
        "quadrature": found.exact and {"step": found.exact.step, "change_nats": found.exact.change},
    }


def write(found: Evaluation, output: Path) -> list[Path]:
    """Writes JSON and pictures.

    Args:
        found: the evaluation.
        output: the JSON file; the pictures get names that begin alike.

    Returns:
        The files.

    Raises:
        UserError: if something cannot be written.
    """
    files.write_json(output, as_json(found))
    picture = output.with_suffix(".png")
    evaluation_figures.draw_evaluation(
        picture,
        {size: values.mean() for size, values in found.bounds.importance_weighted.items()},
        found.elbo,
        found.exact.log_likelihood if found.exact else None,
        found.kl.mean(axis=0),
        f"{found.split}, {found.subject.binarize}, seed {found.request.seed}",
    )
    if not found.exact or found.subject.latent_dim != 2:
        return [output, picture]
    missed = found.exact.log_likelihood - max(found.bounds.importance_weighted.items())[1]
    modes = posteriors.find_two_modes(found.subject, found.pixels, missed)
    own = found.posteriors.mean[modes.image], found.posteriors.logvar[modes.image]
    map_file = output.with_name(f"{output.stem}_posterior.png")
    evaluation_figures.draw_posterior(map_file, found.pixels[modes.image], modes, own)
    return [output, picture, map_file]
