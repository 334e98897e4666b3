"""Everything that is found out of a model with a likelihood, on images: as arrays, and averaged."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core import terminal
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.core.terminal import progress
from cvae_tf.data.given_images import Images, class_numbers, read_asked_for
from cvae_tf.evaluation import by_class, distance
from cvae_tf.evaluation.by_class import Classification
from cvae_tf.evaluation.distance import Distance
from cvae_tf.evaluation.settings import OF_MEASURE, EvaluationSettings
from cvae_tf.inference import exact_log_px, importance_bounds
from cvae_tf.inference.exact_log_px import Quadrature
from cvae_tf.inference.importance_bounds import Bounds, Mean, mean_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.families import family_of
from cvae_tf.models.vae import refinement
from cvae_tf.models.vae.likelihoods import Pixels, nats_of_one_bit
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.posterior import FullPosterior, Posterior

_DRAWN_AT_ONCE = 1000
_STEPS_TO_BEST = 3  # from a refined posterior to the best Gaussian


class Refined(NamedTuple):
    """What refined posteriors say of N images, in nats."""

    steps: int
    posteriors: FullPosterior
    bounds: Bounds
    elbo: np.ndarray  # [N]
    best_elbo: np.ndarray | None  # of the best Gaussian that was found, [N]; in 1 or 2 dimensions


class Measured(NamedTuple):
    """What was measured of N images."""

    posteriors: Posterior
    bounds: Bounds
    refined: Refined | None
    exact: Quadrature | None


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
    kl = importance_bounds.kl_per_dimension(measured.posteriors)
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


def measure(
    model: CVAE,
    pixels: np.ndarray,
    settings: EvaluationSettings,
    labels: np.ndarray | None = None,
) -> Measured:
    """Measures images, of a conditional model each under its own class.

    Args:
        model: the model.
        pixels: of N images, float32 [N, H, W, C].
        settings: how many samples.
        labels: theirs, int32 [N], of a conditional model.

    Returns:
        Values for each image.
    """
    posteriors = importance_bounds.encode(model, pixels, settings.batch_size, labels)
    has_likelihood = model.pixels.has_likelihood
    is_exact = has_likelihood and model.latent_dim <= exact_log_px.LARGEST_DIM
    sizes = settings.sizes(is_exact) if has_likelihood else []
    steps = settings.steps_of_refinement(model.can_refine, is_exact)
    with progress("sampling") as show:
        own = settings.samples, settings.seed, settings.batch_size
        bounds = importance_bounds.bounds(model, pixels, posteriors, sizes, *own, show, labels)
    refined = None
    if steps:
        refined = measure_refined(model, pixels, steps, sizes, settings, labels)
    if not is_exact:
        return Measured(posteriors, bounds, refined, exact=None)
    near = posteriors
    least = bounds.log_likelihood - importance_bounds.kl_per_dimension(near).sum(axis=1)
    if refined:  # closer to where p(x, z) is large, so that less is integrated
        near = Posterior(refined.posteriors.mean, refined.posteriors.logvar)
        least = np.maximum(least, refined.elbo)
    images = pixels, near, least, settings.batch_size
    if labels is None:
        exact = exact_log_px.log_evidence(model, *images)
    else:
        exact = _integrate_by_class(model, labels, *images)
    return Measured(posteriors, bounds, refined, exact)


def _integrate_by_class(
    model: CVAE,
    labels: np.ndarray,
    pixels: np.ndarray,
    posteriors: Posterior,
    elbo: np.ndarray,
    batch_size: int,
) -> Quadrature:
    """Integrates the images of each class under the model of that class."""
    images = [np.flatnonzero(labels == number) for number in np.unique(labels)]
    parts = [
        exact_log_px.log_evidence(
            model,
            pixels[own],
            Posterior(*(each[own] for each in posteriors)),
            elbo[own],
            batch_size,
            label=int(labels[own[0]]),
        )
        for own in images
    ]
    return exact_log_px.joined(parts, images)


def measure_refined(
    model: CVAE,
    pixels: np.ndarray,
    steps: int,
    sizes: list[int],
    settings: EvaluationSettings,
    labels: np.ndarray | None,
) -> Refined:
    """Refines the posteriors of images, and samples them as the encoder's are.

    Args:
        model: the model.
        pixels: of N images, float32 [N, H, W, C].
        steps: of Gauss and Newton, for each image.
        sizes: numbers of samples K for importance-weighted bounds.
        settings: how many samples.
        labels: theirs, int32 [N], of a conditional model.

    Returns:
        Values for each image.
    """

    def sampled(posteriors: FullPosterior, sizes: list[int]) -> tuple[Bounds, np.ndarray]:
        own = settings.samples, settings.seed, settings.batch_size
        with progress("sampling") as show:
            bounds = importance_bounds.bounds(model, pixels, posteriors, sizes, *own, show, labels)
        kl = FullPosterior(*map(tf.constant, posteriors)).kl().numpy()
        return bounds, bounds.log_likelihood - kl

    with progress("refining") as show:
        posteriors = refine_posteriors(model, pixels, labels, steps, settings.batch_size, show)
    refined = Refined(steps, posteriors, *sampled(posteriors, sizes), None)
    if model.latent_dim > exact_log_px.LARGEST_DIM:
        return refined
    with progress("best Gaussians") as show:
        best = climb_to_best(model, pixels, labels, posteriors, show)
    return refined._replace(best_elbo=sampled(best, [])[1])


def refine_posteriors(
    model: CVAE,
    pixels: np.ndarray,
    labels: np.ndarray | None,
    steps: int,
    batch_size: int,
    on_progress: Callable[[float], None] = lambda share: None,
) -> FullPosterior:
    """Finds the refined posteriors of N images, as arrays.

    Args:
        model: the model.
        pixels: float32 [N, H, W, C].
        labels: int32 [N], of a conditional model.
        steps: of Gauss and Newton.
        batch_size: images, or latents, that are worked on at once.
        on_progress: called now and then.

    Returns:
        N Gaussians.
    """

    def climb(pixels: tf.Tensor, labels: tf.Tensor | None) -> FullPosterior:
        return model.refine(pixels, labels, steps=steps)

    return _climb_in_parts(climb, batch_size, on_progress, pixels, labels)


def climb_to_best(
    model: CVAE,
    pixels: np.ndarray,
    labels: np.ndarray | None,
    start: FullPosterior,
    on_progress: Callable[[float], None] = lambda share: None,
) -> FullPosterior:
    """Finds Gaussians with a higher ELBO near others; arguments as for `refine_posteriors`."""

    @tf.function
    def climb(pixels: tf.Tensor, labels: tf.Tensor | None, *start: tf.Tensor) -> FullPosterior:
        decode, density = refinement.decoder_for(model, labels), model.pixels.density
        gaussians = FullPosterior(*start)
        return refinement.best_gaussian(decode, density, pixels, gaussians, _STEPS_TO_BEST)

    at_once = refinement.images_at_once(model, nodes=2 * model.latent_dim)
    return _climb_in_parts(climb, at_once, on_progress, pixels, labels, *start)


def _climb_in_parts(
    climb: Callable[..., FullPosterior],
    at_once: int,
    on_progress: Callable[[float], None],
    *arrays: np.ndarray | None,
) -> FullPosterior:
    """Climbs for some images after the others; of arrays [N, ...], those that are None stay so."""
    num, found = len(arrays[0]), []
    for start in range(0, num, at_once):
        own = slice(start, start + at_once)
        found.append(climb(*(each if each is None else tf.constant(each[own]) for each in arrays)))
        on_progress(min((start + at_once) / num, 1.0))
    return FullPosterior(*(np.concatenate(values) for values in zip(*found, strict=True)))


def numbers(found: Evaluation) -> list[Number]:
    """Averages what was found over the images."""
    bit = nats_of_one_bit(found.model.image_shape)

    def number(quantity: str, how: str, values: np.ndarray) -> Number:
        is_length = quantity.startswith(("KL", "gap"))  # of codes, as bits are
        bits = values / (bit if is_length else -bit)
        return Number(quantity, how, mean_of(values), mean_of(bits))

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
