"""Everything that is found out of a model with a likelihood, on images: as arrays, and averaged."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cvae_tf.core.progress import progress
from cvae_tf.data.given_images import Images, read_asked_for
from cvae_tf.evaluation import exact_evidence, sampled_bounds
from cvae_tf.evaluation.evaluated_model import EvaluatedModel, draw_pixels
from cvae_tf.evaluation.exact_evidence import Quadrature
from cvae_tf.evaluation.sampled_bounds import Bounds, Mean
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.models.measures import nats_of_one_bit
from cvae_tf.models.vae.posterior import Posterior


class Evaluation(NamedTuple):
    """What was found out about a model on N images, all in nats."""

    model: EvaluatedModel
    settings: EvaluationSettings
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

    @property
    def log_evidence(self) -> np.ndarray | None:
        """Exact log p(x) of each image, [N], if it could be had."""
        return self.exact and self.exact.log_evidence

    @property
    def best_bound(self) -> tuple[int, np.ndarray] | None:
        """The largest number of samples K, and the bounds with it, [N]."""
        return max(self.bounds.importance_weighted.items(), default=None)


class Number(NamedTuple):
    """A mean over images with the conditions it was taken under."""

    quantity: str
    how: str  # the number of samples K, or the method
    nats: Mean  # per image
    bits: Mean  # per dimension; lower is better, as a length of code


def evaluate(model: EvaluatedModel, settings: EvaluationSettings) -> Evaluation:
    """Evaluates a model on all images.

    Args:
        model: the model.
        settings: which images, how many samples.

    Returns:
        What was found out.

    Raises:
        UserError: if the images cannot be read or do not fit.
    """
    images = read_asked_for(settings, model.image_shape, model.metadata)
    pixels = draw_pixels(images.pixels, model.pixels, settings.seed)
    posterior = sampled_bounds.encode(model, pixels, settings.batch_size)
    kl = sampled_bounds.kl_per_dimension(posterior)
    has_likelihood = model.pixels.has_likelihood
    with progress("sampling") as show:
        bounds = sampled_bounds.bounds(
            model,
            pixels,
            posterior,
            settings.sizes if has_likelihood else [],
            settings.samples,
            settings.seed,
            settings.batch_size,
            show,
        )
    found = Evaluation(model, settings, images, pixels, posterior, kl, bounds, exact=None)
    if has_likelihood and model.latent_dim <= exact_evidence.LARGEST_DIM:
        with progress("integrating"):
            exact = exact_evidence.log_evidence(
                model, pixels, posterior, found.elbo, settings.batch_size
            )
        found = found._replace(exact=exact)
    return found


def numbers(found: Evaluation) -> list[Number]:
    """Averages what was found over the images."""
    bit = nats_of_one_bit(found.model.image_shape)

    def number(quantity: str, how: str, values: np.ndarray) -> Number:
        is_length = quantity.startswith(("KL", "gap"))  # of codes, as bits are
        bits = values / (bit if is_length else -bit)
        return Number(quantity, how, sampled_bounds.mean_of(values), sampled_bounds.mean_of(bits))

    return [number(*parts) for parts in quantities(found)]


def quantities(found: Evaluation) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields what there is to know: its name, how it was estimated, and its values [N]."""
    titles = {name: measure.title for name, measure in found.model.pixels.terms.items()}
    samples, log_evidence = str(found.settings.samples), found.log_evidence
    yield titles["log_likelihood"], samples, found.bounds.log_likelihood
    yield titles["kl"], "closed form", found.kl.sum(axis=1)
    yield titles["elbo"], samples, found.elbo
    for size, values in found.bounds.importance_weighted.items():
        yield "importance-weighted bound", str(size), values
    if found.best_bound:
        size, best = found.best_bound
        yield "gap: bound - ELBO", str(size), best - found.elbo
    if log_evidence is not None:
        yield "log p(x), exact", "quadrature", log_evidence
        yield "gap: log p(x) - ELBO", samples, log_evidence - found.elbo
        yield "gap: log p(x) - bound", str(size), log_evidence - best
    for i, values in enumerate(found.kl.T):
        yield f"KL of latent dimension {i + 1}", "closed form", values
