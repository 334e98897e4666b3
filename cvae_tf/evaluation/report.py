"""An evaluation as numbers that can be trusted: a table, JSON, pictures."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.config import term_titles
from cvae_tf.core import files
from cvae_tf.data.given_images import Images, read_asked_for
from cvae_tf.evaluation import exact_evidence, pictures, sampled_bounds, true_posterior
from cvae_tf.evaluation.evaluated_model import Subject, draw_pixels
from cvae_tf.evaluation.exact_evidence import Quadrature
from cvae_tf.evaluation.sampled_bounds import Bounds
from cvae_tf.exporting.loaded_model import Posterior
from cvae_tf.generation.settings import EvaluationRequest
from cvae_tf.training import screen


class Evaluation(NamedTuple):
    """What was found out about a model on N images, all in nats."""

    subject: Subject
    request: EvaluationRequest
    images: Images  # grey
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
    nats: sampled_bounds.Mean  # per image
    bits: sampled_bounds.Mean  # per dimension; lower is better, as a length of code


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
    images = read_asked_for(request, subject.image_shape, subject.metadata)
    pixels = draw_pixels(images.pixels, subject.binarize, request.seed)
    posterior = sampled_bounds.encode(subject, pixels, request.batch_size)
    kl = sampled_bounds.kl_per_dimension(posterior)
    with screen.progress("sampling") as show:
        bounds = sampled_bounds.bounds(
            subject,
            pixels,
            posterior,
            request.sizes if subject.has_likelihood else [],
            request.samples,
            request.seed,
            request.batch_size,
            show,
        )
    found = Evaluation(subject, request, images, pixels, posterior, kl, bounds, exact=None)
    if subject.has_likelihood and subject.latent_dim <= exact_evidence.LARGEST_DIM:
        with screen.progress("integrating"):
            exact = exact_evidence.log_likelihood(
                subject, pixels, posterior, found.elbo, request.batch_size
            )
        found = found._replace(exact=exact)
    return found


def numbers(found: Evaluation) -> list[Number]:
    """Averages what was found over the images."""
    nats_in_bit_per_dimension = math.prod(found.subject.image_shape) * math.log(2)

    def number(quantity: str, how: str, values: np.ndarray) -> Number:
        is_length = quantity.startswith(("KL", "gap"))  # of codes, as bits are
        bits = values / (nats_in_bit_per_dimension if is_length else -nats_in_bit_per_dimension)
        return Number(quantity, how, sampled_bounds.mean_of(values), sampled_bounds.mean_of(bits))

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
    for i, values in enumerate(found.kl.T):
        yield f"KL of latent dimension {i + 1}", "closed form", values


def as_table(found: Evaluation) -> str:
    """Writes the numbers for people."""
    subject, request = found.subject, found.request
    conditions = f"{subject.binarize}, seed {request.seed}, {found.images.origin}"
    lines = [
        f"{len(found.pixels):,} images ({found.images.origin}); p(x|z): {subject.likelihood_name}; "
        f"{subject.latent_dim} latent dimensions",
        "",
        f"{'':26} {'K':>11} {'nats per image':>20} {'bits/dim':>9}  binarisation, seed, images",
    ]
    for quantity, how, nats, bits in numbers(found):
        error = "" if nats.standard_error is None else f" +- {nats.standard_error:.2f}"
        value = f"{nats.mean:.2f}{error}"
        lines.append(f"{quantity:26} {how:>11} {value:>20} {bits.mean:9.4f}  {conditions}")
    active = sampled_bounds.count_active_units(found.posteriors)
    lines += ["", f"active units: {active} of {subject.latent_dim} ({conditions})"]
    return "\n".join([*lines, *_remarks(found)])


def _remarks(found: Evaluation) -> Iterator[str]:
    """Yields what is to be known of the numbers."""
    subject, exact = found.subject, found.exact
    if exact:
        yield (
            f"quadrature: halving the steps to {exact.step:g} changed the mean log p(x) by "
            f"{exact.change:.1e} nats"
        )
        if abs(exact.change) > exact_evidence.TOLERANCE:
            yield f"That is more than {exact_evidence.TOLERANCE}: log p(x) is not exact here."
    if not subject.has_likelihood:
        yield (
            "The cross-entropy of grey levels is no log-likelihood, so there is no bound on log "
            "p(x). Train with --likelihood=continuous_bernoulli or gaussian to have one."
        )
    elif subject.likelihood_name != "bernoulli":
        yield (
            "These are densities of grey levels in [0, 1], whose bits/dim may be negative; they "
            "do not compare with code lengths of images with 256 levels."
        )


def as_json(found: Evaluation) -> dict[str, Any]:
    """Returns everything for programs; each number carries its conditions."""
    subject, request = found.subject, found.request
    conditions = {
        "binarize": subject.binarize,
        "likelihood": subject.likelihood_name,
        "seed": request.seed,
        "split": found.images.origin,
        "images": len(found.pixels),
    }
    return {
        "config": subject.metadata.get("config"),
        "training": subject.metadata.get("metrics"),  # as far as it had come
        "batch_size": request.batch_size,  # which the noise depends on
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
            for quantity, how, nats, bits in numbers(found)
        ],
        "active_units": {
            "count": sampled_bounds.count_active_units(found.posteriors),
            "of": subject.latent_dim,
            **conditions,
        },
        "quadrature": found.exact and {"step": found.exact.step, "change_nats": found.exact.change},
    }


def write(found: Evaluation, output: Path) -> list[Path]:
    """Writes JSON, a table with a row for each image, and pictures.

    Args:
        found: the evaluation.
        output: the JSON file; the others get names that begin alike.

    Returns:
        The files.

    Raises:
        UserError: if something cannot be written.
    """
    table = output.with_name(f"{output.stem}_images.csv")
    picture = output.with_suffix(".png")
    files.write_json(output, as_json(found))
    _write_values(found, table)
    _draw(found, picture)
    written = [output, table, picture]
    if found.exact and found.subject.latent_dim == 2:
        written += _draw_two_modes(found, output.with_name(f"{output.stem}_posterior.png"))
    return written


def _draw(found: Evaluation, path: Path) -> None:
    pictures.draw_evaluation(
        path,
        {size: values.mean() for size, values in found.bounds.importance_weighted.items()},
        found.elbo,
        found.exact.log_likelihood if found.exact else None,
        found.kl.mean(axis=0),
        f"{found.images.origin}, {found.subject.binarize}, seed {found.request.seed}",
        term_titles(found.subject.binarize, found.subject.likelihood_name)["elbo"],
    )


def _draw_two_modes(found: Evaluation, path: Path) -> list[Path]:
    """Draws a posterior with two modes, if there is one."""
    missed = found.exact.log_likelihood - max(found.bounds.importance_weighted.items())[1]
    modes = true_posterior.find_two_modes(found.subject, found.pixels, missed)
    if modes is None:
        return []
    own = found.posteriors.mean[modes.image], found.posteriors.logvar[modes.image]
    pictures.draw_posterior(path, found.pixels[modes.image], modes, own)
    return [path]


def _write_values(found: Evaluation, path: Path) -> None:
    """Writes every quantity of every image, in nats."""
    quantities = list(_quantities(found))
    names = [f"{quantity} (K = {how})" if how.isdecimal() else quantity
             for quantity, how, _ in quantities]  # fmt: skip
    columns = [[f"{value:.4f}" for value in values] for _, _, values in quantities]
    files.write_table(path, ["image", *names], zip(found.images.names, *columns, strict=True))
