"""Everything that is found out of a model with a likelihood, on images: as arrays, and averaged."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core import terminal
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.data.given_images import Images, class_numbers, read_asked_for
from cvae_tf.evaluation import by_class, distance, sampled_bounds
from cvae_tf.evaluation.by_class import Classification
from cvae_tf.evaluation.distance import Distance
from cvae_tf.evaluation.exact_evidence import Quadrature
from cvae_tf.evaluation.measuring import measure
from cvae_tf.evaluation.refined import Refined
from cvae_tf.evaluation.sampled_bounds import Bounds, Mean
from cvae_tf.evaluation.settings import OF_MEASURE, EvaluationSettings
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.families import family_of
from cvae_tf.models.measures import nats_of_one_bit
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.models.vae.posterior import Posterior

_DRAWN_AT_ONCE = 1000


class Evaluation(NamedTuple):
    """What was found out about a model on N images, all in nats.

    Of a conditional model everything is under the class of the image: log p(x|y) for log p(x).
    """

    model: CVAE
    settings: EvaluationSettings
    images: Images  # grey
    pixels: np.ndarray  # [N, H, W, C], as the model was shown them
    posteriors: Posterior
    kl: np.ndarray  # closed form, [N, Z]
    bounds: Bounds
    refined: Refined | None  # the same with better posteriors, if that was asked for
    exact: Quadrature | None  # of models with one or two latent dimensions
    classes: Classification | None = None  # if it was asked for
    distance: Distance | None = None  # of what the model draws, if it was asked for

    @property
    def elbo(self) -> np.ndarray:
        """ELBO of each image, [N]."""
        return self.bounds.log_likelihood - self.kl.sum(axis=1)

    @property
    def log_evidence(self) -> np.ndarray | None:
        """Exact log p(x) of each image, [N], if it could be had."""
        return self.exact and self.exact.log_evidence

    @property
    def evidence(self) -> str:
        """What is bounded and integrated."""
        return "log p(x|y)" if self.model.class_names else "log p(x)"

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


def evaluate(model: GenerativeModel, settings: EvaluationSettings) -> Evaluation | Distance:
    """Finds out what is asked for.

    Args:
        model: a trained one.
        settings: what, of which images, how exactly.

    Returns:
        The evaluation, with the distance if that was asked for; or the distance alone.

    Raises:
        UserError: if the model or the images do not allow it.
    """
    measures = _chosen_measures(model, settings)
    if "likelihood" not in measures:
        return distance.measure(model, settings)
    found = evaluate_likelihood(model, settings)
    if "distance" in measures:
        try:
            found = found._replace(distance=distance.measure(model, settings))
        except UserError as error:  # what was found before is not to be lost
            terminal.warn(f"drawn images are not compared with real ones: {error}")
    return found


def _chosen_measures(model: GenerativeModel, settings: EvaluationSettings) -> tuple[str, ...]:
    """What is to be found out: "auto" is all that the model and the images asked for allow.

    Raises:
        UserError: if the model does not allow it, or settings would do nothing.
    """
    asked, possible = settings.measures, family_of(model).evaluations
    if asked == "auto" and "likelihood" in possible and settings.data_path:
        asked = "likelihood"  # drawn images are compared with the model's own ones alone
    measures = possible if asked == "auto" else (asked,)
    if not measures or not set(measures) <= set(possible):
        what = "likelihood" if asked == "auto" else asked
        instead = f"; it has --measures={possible[0]}" if possible else ""
        raise UserError(
            f"This model ({family_of(model).title}) has no {what} to evaluate{instead}."
        )
    usual = EvaluationSettings()
    for name, of in OF_MEASURE.items():
        if of not in measures and getattr(settings, name) != getattr(usual, name):
            raise UserError(
                f"--{name} is for --measures={of} alone; here {measures[0]} is measured."
            )
    return measures


def evaluate_likelihood(model: CVAE, settings: EvaluationSettings) -> Evaluation:
    """Evaluates a model with a likelihood on all images.

    Args:
        model: the model.
        settings: which images, how many samples.

    Returns:
        What was found out.

    Raises:
        UserError: if the images cannot be read or do not fit, or classes are asked of a model that
            knows none.
    """
    if settings.classify:
        by_class.check(model)
    images = read_asked_for(settings, model.image_shape, model.metadata)
    labels = class_numbers(images, model.class_names) if model.class_names else None
    pixels = draw_pixels(images.pixels, model.pixels, settings.seed)
    measured = measure(model, pixels, settings, labels)
    kl = sampled_bounds.kl_per_dimension(measured.posteriors)
    found = Evaluation(model, settings, images, pixels, measured.posteriors, kl, *measured[1:])
    if settings.classify:
        found = found._replace(classes=by_class.classify(model, pixels, labels, settings))
    return found


def draw_pixels(grey: np.ndarray, pixels: Pixels, seed: int) -> np.ndarray:
    """Makes grey levels [N, H, W, C] pixels of the kind that a model knows, always the same."""
    key = derived_key(seed, Purpose.EVALUATION_BINARIZATION)
    parts = []
    for start in range(0, len(grey), _DRAWN_AT_ONCE):
        part = tf.constant(grey[start : start + _DRAWN_AT_ONCE], tf.float32)
        parts.append(pixels.drawn(part, key, start).numpy())
    return np.concatenate(parts)


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
    evidence = found.evidence
    yield titles["log_likelihood"], samples, found.bounds.log_likelihood
    yield titles["kl"], "closed form", found.kl.sum(axis=1)
    yield titles["elbo"], samples, found.elbo
    if found.refined:
        yield f"{titles['elbo']}, refined", samples, found.refined.elbo
    yield from _bounds(found)
    if log_evidence is not None:
        yield f"{evidence}, exact", "quadrature", log_evidence
        yield f"gap: {evidence} - ELBO", samples, log_evidence - found.elbo
        size, best = found.best_bound
        yield f"gap: {evidence} - bound", str(size), log_evidence - best
    yield from _gaps(found, titles["elbo"], samples)
    if found.classes:
        yield "log p(x), all classes", found.classes.how, found.classes.log_evidence
    for i, values in enumerate(found.kl.T):
        yield f"KL of latent dimension {i + 1}", "closed form", values


def _bounds(found: Evaluation) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields importance-weighted bounds by samples of either posterior."""
    for size, values in found.bounds.importance_weighted.items():
        yield "importance-weighted bound", str(size), values
    if found.refined:
        for size, values in found.refined.bounds.importance_weighted.items():
            yield "importance-weighted bound, refined", str(size), values
    if found.best_bound:
        size, best = found.best_bound
        yield "gap: bound - ELBO", str(size), best - found.elbo


def _gaps(found: Evaluation, elbo: str, samples: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields where the encoder's ELBO loses: by its aim, by the refinement, by being Gaussian."""
    refined = found.refined
    if not refined:
        return
    yield "gap: refined - encoder's", samples, refined.elbo - found.elbo
    if refined.best_elbo is not None:
        yield "gap: best Gaussian - refined", samples, refined.best_elbo - refined.elbo
        if found.log_evidence is not None:
            missed = found.log_evidence - refined.best_elbo
            yield f"gap: {found.evidence} - best Gaussian", samples, missed
