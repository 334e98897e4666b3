"""What is measured of a model: how likely images are, and how real its own images look."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core import terminal
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.core.terminal import progress
from cvae_tf.data.batches import batch_slices
from cvae_tf.data.datasets import with_classes
from cvae_tf.data.given_images import Images, class_numbers, load_own, read_asked_for
from cvae_tf.data.inspection import evenly_spaced_indices
from cvae_tf.distances import (
    MOST_IMAGES,
    PrecisionRecall,
    for_dataset,
    frechet_distance,
    precision_recall,
    statistics,
)
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.exporting.load import as_known
from cvae_tf.inference import exact_log_px, importance_bounds
from cvae_tf.inference.exact_log_px import ExactLogPx
from cvae_tf.inference.importance_bounds import Bounds, Mean, OnProgress, map_in_parts, mean_of
from cvae_tf.models import family_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.vae.likelihoods import Pixels, nats_of_one_bit
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.posterior import FullPosterior, Posterior
from cvae_tf.presets import CANNOT_REFINE, REFINE_STEPS

_FEW_IMAGES = 2000  # for a Frechet distance
_CONTENDING = 40.0  # nats below the best bound: classes that are still integrated exactly


class Task(NamedTuple):
    """N images to measure under a model."""

    model: CVAE
    settings: EvaluationSettings
    pixels: np.ndarray  # as the model sees them, float32 [N, H, W, C]
    labels: np.ndarray | None = None  # int32 [N], of a conditional model

    def under(self, label: int) -> "Task":
        """The same images, all under one class."""
        return self._replace(labels=np.full(len(self.pixels), label, np.int32))


class Refined(NamedTuple):
    """Results of refined posteriors on N images, in nats."""

    steps: int
    posteriors: FullPosterior
    bounds: Bounds
    elbo: np.ndarray  # [N]


class Classification(NamedTuple):
    """Images under every class: p(y|x) is proportional to p(x|y) p(y)."""

    log_joint: np.ndarray  # log p(x|y) + log p(y), or a bound on it, [N, Y], nats
    labels: np.ndarray  # the true classes, int [N]
    how: str  # to get log p(x|y): "quadrature", or the number of samples K

    @property
    def found(self) -> np.ndarray:
        """The likeliest class of each image, int [N]."""
        return self.log_joint.argmax(axis=1)

    @property
    def is_wrong(self) -> np.ndarray:
        """1 for images with a wrong class, else 0, [N]."""
        return (self.found != self.labels).astype(np.float64)

    @property
    def log_evidence(self) -> np.ndarray:
        """Log p(x) = log sum_y p(x|y) p(y), or a bound on it, [N], nats."""
        return np.logaddexp.reduce(self.log_joint, axis=1)


class Distance(NamedTuple):
    """Drawn images compared with the same number of test images."""

    images: int  # of each kind
    features: str  # in which they are compared, for people
    of: str  # which images, for people
    frechet: float
    floor: float  # the same for training images
    share: PrecisionRecall
    seed: int


class Evaluation(NamedTuple):
    """What was measured of a model on N images, all in nats.

    For a conditional model everything is under the image's class: log p(x|y) for log p(x).
    """

    model: CVAE
    settings: EvaluationSettings
    images: Images  # grey
    pixels: np.ndarray  # [N, H, W, C], as the model saw them
    posteriors: Posterior
    kl: np.ndarray  # closed form, [N, Z]
    bounds: Bounds
    refined: Refined | None = None  # the same with better posteriors, if asked for
    exact: ExactLogPx | None = None  # for models with one or two latent dimensions
    classes: Classification | None = None  # if asked for
    distance: Distance | None = None  # of drawn images, if asked for

    @property
    def elbo(self) -> np.ndarray:
        """ELBO of each image, [N]."""
        return self.bounds.log_likelihood - self.kl.sum(axis=1)

    @property
    def log_evidence(self) -> np.ndarray | None:
        """Exact log p(x) of each image, [N], if it was computed."""
        return self.exact and self.exact.log_evidence

    @property
    def evidence(self) -> str:
        """The name of what is bounded and integrated."""
        return "log p(x|y)" if self.model.class_names else "log p(x)"

    @property
    def by_posterior(self) -> dict[str, "Evaluation | Refined"]:
        """Results with `elbo` and `bounds`: of the encoder's posteriors, and of refined ones."""
        return {"": self, **({", refined": self.refined} if self.refined else {})}


class Number(NamedTuple):
    """A mean over images, and how it was found."""

    quantity: str
    how: str  # the number of samples K, or the method
    nats: Mean  # per image
    bits: Mean  # per dimension, a length of code; lower is better


def evaluate(model: GenerativeModel, settings: EvaluationSettings) -> Evaluation | Distance:
    """Measures what is asked for: likelihoods, with the distance if wanted, or that alone.

    Raises:
        UserError: if the model or the images do not allow it.
    """
    family = family_of(model)
    measures = settings.chosen_measures(family.evaluations, family.title)
    if "likelihood" not in measures:
        return measure_distance(model, settings)
    found = evaluate_likelihood(model, settings)
    if "distance" in measures:
        try:
            found = found._replace(distance=measure_distance(model, settings))
        except UserError as error:  # earlier results must not be lost
            terminal.warn(f"drawn images are not compared with real ones: {error}")
    return found


def evaluate_likelihood(model: CVAE, settings: EvaluationSettings) -> Evaluation:
    """Evaluates a model with a likelihood on all images.

    Raises:
        UserError: if the images cannot be read or do not fit, or the model cannot do what is asked
            for.
    """
    check_model(model, settings)
    images = read_asked_for(settings, model.image_shape, model.metadata)
    labels = class_numbers(images, model.class_names) if model.class_names else None
    pixels = draw_pixels(images.pixels, model.pixels, settings.seed)
    return measure(Task(model, settings, pixels, labels), images)


def check_model(model: CVAE, settings: EvaluationSettings) -> None:
    """Raises a UserError if refining or classifying is asked for, and the model cannot."""
    if settings.refine and not model.can_refine:
        raise UserError(f"--refine={settings.refine}: {CANNOT_REFINE}")
    if settings.classify and not model.class_names:
        raise UserError("--classify needs a conditional model; train one with --conditional.")
    if settings.classify and not model.pixels.has_likelihood:
        raise UserError(
            "--classify: the cross-entropy of grey levels is no log-likelihood, so classes cannot "
            "be compared; train with another --likelihood or --binarize."
        )


def draw_pixels(grey: np.ndarray, pixels: Pixels, seed: int) -> np.ndarray:
    """Turns grey levels [N, H, W, C] into pixels for a model, always the same."""
    key = derived_key(seed, Purpose.EVALUATION_BINARIZATION)
    parts = [
        pixels.binarize(tf.constant(grey[own], tf.float32), key, own.start).numpy()
        for own in batch_slices(len(grey), grey.shape[1:])
    ]
    return np.concatenate(parts)


def measure(task: Task, images: Images) -> Evaluation:
    """Measures images; for a conditional model each under its own class."""
    model, settings = task.model, task.settings
    is_exact = exact_log_px.can_integrate(model)
    sizes = settings.sizes(is_exact) if model.pixels.has_likelihood else []
    steps = settings.refine
    if steps is None:
        steps = REFINE_STEPS if is_exact and model.can_refine else 0
    terminal.say(_plan(task, sizes, steps, is_exact))
    posteriors = _encode(task)
    with progress("sampling") as show:
        bounds = _sample(task, posteriors, sizes, show)
    kl = importance_bounds.kl_per_dimension(posteriors)
    found = Evaluation(model, settings, images, task.pixels, posteriors, kl, bounds)
    refined = refine(task, steps, sizes) if steps else None
    exact = exact_log_px.log_evidence(model, task.pixels, task.labels) if is_exact else None
    classes = classify(task) if settings.classify else None
    return found._replace(refined=refined, exact=exact, classes=classes)


def _plan(task: Task, sizes: list[int], steps: int, is_exact: bool) -> str:
    """Says what will be measured, and how many images are decoded, which takes the time."""
    settings, num = task.settings, len(task.pixels)
    samples = f"{settings.samples} samples" if settings.samples > 1 else "a sample"
    parts = [f"the ELBO by {samples} of each"]
    parts += [f"bounds by up to {max(sizes):,} samples"] if sizes else []
    parts += [f"posteriors refined by {steps} steps"] if steps else []
    parts += ["log p(x) by integration"] if is_exact else []
    parts += [f"each under {len(task.model.class_names)} classes"] if settings.classify else []
    decoded = num * max([settings.samples, *sizes]) * (2 if steps else 1)
    fewer = "; --importance_samples=1,10,100 is faster" if max(sizes, default=0) >= 1000 else ""
    return (
        f"measuring {num:,} images: {', '.join(parts)} ({decoded:,} decoded images for the "
        f"samples{fewer}) ..."
    )


def _encode(task: Task) -> Posterior:
    model, settings, pixels, labels = task
    return importance_bounds.encode(model, pixels, settings.batch_size, labels)


def _sample(
    task: Task,
    posteriors: Posterior | FullPosterior,
    sizes: list[int],
    show: OnProgress = lambda share: None,
) -> Bounds:
    model, settings, pixels, labels = task
    own = settings.samples, settings.seed, settings.batch_size
    return importance_bounds.bounds(model, pixels, posteriors, sizes, *own, show, labels)


def refine(task: Task, steps: int, sizes: list[int]) -> Refined:
    """Refines posteriors by Gauss-Newton steps, and samples them as those of the encoder."""

    def climb(pixels: tf.Tensor, labels: tf.Tensor | None) -> FullPosterior:
        return task.model.refine(pixels, labels, steps=steps)

    at_once = task.settings.batch_size
    with progress("refining") as show:
        posteriors = map_in_parts(climb, at_once, task.pixels, task.labels, on_progress=show)
    with progress("sampling") as show:
        bounds = _sample(task, posteriors, sizes, show)
    kl = FullPosterior(*map(tf.constant, posteriors)).kl().numpy()
    return Refined(steps, posteriors, bounds, bounds.log_likelihood - kl)


def classify(task: Task) -> Classification:
    """Measures every image under every class: exactly with one or two latents, else by a bound.

    Classes whose bound by `samples` is 40 nats below the best are not integrated.
    """
    samples, shares = task.settings.samples, log_class_shares(task.model)
    log_joint = np.zeros((len(task.pixels), len(shares)))
    with progress("classifying") as show:
        for number, share in enumerate(shares):
            show(number / len(shares))
            of_class = task.under(number)
            bounds = _sample(of_class, _encode(of_class), [samples])
            log_joint[:, number] = bounds.importance_weighted[samples] + share
    if not exact_log_px.can_integrate(task.model):
        return Classification(log_joint, task.labels, str(samples))
    contends = log_joint > log_joint.max(axis=1, keepdims=True) - _CONTENDING
    for number in np.flatnonzero(contends.any(axis=0)):
        rows = np.flatnonzero(contends[:, number])
        labels = np.full(len(rows), number)
        exact = exact_log_px.log_evidence(task.model, task.pixels[rows], labels)
        log_joint[rows, number] = exact.log_evidence + shares[number]
    return Classification(log_joint, task.labels, "quadrature")


def log_class_shares(model: CVAE) -> np.ndarray:
    """Logarithms of the shares of the classes in the training images, log p(y), [Y]."""
    counts = model.metadata.get("data", {}).get("class_counts") or [1] * len(model.class_names)
    with np.errstate(divide="ignore"):
        return np.log(np.array(counts, np.float64) / np.sum(counts))


def measure_distance(model: GenerativeModel, settings: EvaluationSettings) -> Distance:
    """Compares drawn images with the model's own test images, which may have been moved.

    Raises:
        UserError: if the images of its training cannot be loaded.
    """
    dataset = load_own(model.metadata, settings.data_path)
    num = min(MOST_IMAGES, len(dataset.test.images))
    if num < 2:
        raise UserError(f"{dataset.name}: a distance needs two test images at least.")
    if num < _FEW_IMAGES:
        terminal.warn(
            f"{num:,} test images are few for a Frechet distance, which is larger for fewer images:"
            " compare it with that of as many training images alone."
        )
    dataset = with_classes(dataset) if model.class_names else dataset
    features = for_dataset(dataset, settings.features)
    terminal.say(f"drawing {num:,} images and comparing them with as many real ones ...")
    real, training = (
        features.of_parts(_real(split.images, num, model))
        for split in (dataset.test, dataset.train)
    )
    drawn = features.of_parts(_drawn(model, num, settings.seed, dataset.test.labels))
    of_real = statistics(real)
    return Distance(
        num,
        features.title,
        dataset.name + (", white above .5" if model.metadata.get("black_and_white") else ""),
        frechet_distance(of_real, statistics(drawn)),
        frechet_distance(of_real, statistics(training)),
        precision_recall(real, drawn),
        settings.seed,
    )


def _drawn(
    model: GenerativeModel, num: int, seed: int, labels: np.ndarray | None
) -> Iterator[np.ndarray]:
    """Draws `num` images, in parts; a conditional model takes the labels of test images."""
    latents = np.asarray(model.sample_latents(num, derived_key(seed, Purpose.COMPARED_IMAGES)))
    if model.class_names:
        labels = labels[evenly_spaced_indices(len(labels), num)]
    for own in batch_slices(num, model.image_shape):
        drawn = model.decode(latents[own], labels[own] if model.class_names else None)
        yield as_known(drawn, model.metadata)


def _real(images: Any, num: int, model: GenerativeModel) -> Iterator[np.ndarray]:
    """Yields `num` of the images, in parts, as the model sees them."""
    rows = evenly_spaced_indices(len(images), num)
    for own in batch_slices(len(rows), model.image_shape):
        yield as_known(images[rows[own]], model.metadata)


def numbers(found: Evaluation) -> list[Number]:
    """Averages the results over the images."""
    bit = nats_of_one_bit(found.model.image_shape)

    def number(quantity: str, how: str, values: np.ndarray) -> Number:
        is_length = quantity.startswith(("KL", "gap"))  # of codes, in bits
        bits = values / (bit if is_length else -bit)
        return Number(quantity, how, mean_of(values), mean_of(bits))

    return [number(*parts) for parts in quantities(found)]


def quantities(found: Evaluation) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields all results: the name, how it was estimated, and the values [N]."""
    titles = {name: measure.title for name, measure in found.model.pixels.terms.items()}
    samples, refined, bounds = str(found.settings.samples), found.refined, found.bounds
    evidence, log_evidence = found.evidence, found.log_evidence
    yield titles["log_likelihood"], samples, bounds.log_likelihood
    yield titles["kl"], "closed form", found.kl.sum(axis=1)
    for name, each in found.by_posterior.items():
        yield titles["elbo"] + name, samples, each.elbo
    for name, each in found.by_posterior.items():
        for size, values in each.bounds.importance_weighted.items():
            yield f"importance-weighted bound{name}", str(size), values
    if bounds.importance_weighted:
        size, best = max(bounds.importance_weighted.items())
        yield "gap: bound - ELBO", str(size), best - found.elbo
    if log_evidence is not None:
        yield f"{evidence}, exact", "quadrature", log_evidence
        yield f"gap: {evidence} - ELBO", samples, log_evidence - found.elbo
        yield f"gap: {evidence} - bound", str(size), log_evidence - best
    if refined:  # the two losses of the encoder's ELBO: a wrong place, and being Gaussian
        yield "gap: refined - encoder's", samples, refined.elbo - found.elbo
        if log_evidence is not None:
            yield f"gap: {evidence} - refined", samples, log_evidence - refined.elbo
    if found.classes:
        yield "log p(x), all classes", found.classes.how, found.classes.log_evidence
    for i, values in enumerate(found.kl.T):
        yield f"KL of latent dimension {i + 1}", "closed form", values
