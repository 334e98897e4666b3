"""Conditional models as classifiers: images under every class."""

from typing import NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.terminal import progress
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.inference import exact_log_px, importance_bounds
from cvae_tf.models.vae.model import CVAE

_CONTENDING = 40.0  # nats below the best bound: classes that are integrated exactly


class Classification(NamedTuple):
    """Images under every class: p(y|x) is in proportion to p(x|y) p(y)."""

    log_joint: np.ndarray  # log p(x|y) + log p(y), or a bound on it, [N, Y], nats
    labels: np.ndarray  # the true classes, int [N]
    how: str  # of log p(x|y): "quadrature", or the number of samples K

    @property
    def found(self) -> np.ndarray:
        """The likeliest class of each image, int [N]."""
        return self.log_joint.argmax(axis=1)

    @property
    def is_wrong(self) -> np.ndarray:
        """1 for images that are taken for another class, else 0, [N]."""
        return (self.found != self.labels).astype(np.float64)

    @property
    def log_evidence(self) -> np.ndarray:
        """Log p(x) = log sum_y p(x|y) p(y), or a bound on it, [N], nats."""
        return np.logaddexp.reduce(self.log_joint, axis=1)


def check(model: CVAE) -> None:
    """Raises a UserError if classes cannot be compared under a model."""
    if not model.class_names:
        raise UserError("--classify needs a conditional model; train one with --conditional.")
    if not model.pixels.has_likelihood:
        raise UserError(
            "--classify: the cross-entropy of grey levels is no log-likelihood, so classes cannot "
            "be compared; train with another --likelihood or --binarize."
        )


def classify(
    model: CVAE, pixels: np.ndarray, labels: np.ndarray, settings: EvaluationSettings
) -> Classification:
    """Measures every image under every class: exactly with one or two latents, else by a bound.

    What a bound says to be hopeless, by 40 nats, is not integrated.

    Args:
        model: a conditional one.
        pixels: of N images, float32 [N, H, W, C].
        labels: theirs, int32 [N].
        settings: its `samples` are those of the importance-weighted bound.

    Returns:
        The model as a classifier.
    """
    num_classes, shares = len(model.class_names), log_class_shares(model)
    with progress("classifying") as show:
        columns = []
        for number in range(num_classes):
            show(number / num_classes)
            columns.append(_bound(model, number, pixels, settings))
    log_joint, how = np.stack(columns, axis=1) + shares, str(settings.samples)
    if model.latent_dim <= exact_log_px.LARGEST_DIM:
        how = "quadrature"
        contends = log_joint > log_joint.max(axis=1, keepdims=True) - _CONTENDING
        for number in range(num_classes):
            rows = np.flatnonzero(contends[:, number])
            exact = _exact(model, number, pixels[rows], log_joint[rows, number], settings)
            log_joint[rows, number] = exact + shares[number]
    return Classification(log_joint, labels, how)


def log_class_shares(model: CVAE) -> np.ndarray:
    """Logarithms of the shares of the classes in the training images, log p(y), [Y]."""
    counts = model.metadata.get("data", {}).get("class_counts") or [1] * len(model.class_names)
    with np.errstate(divide="ignore"):
        return np.log(np.array(counts, np.float64) / np.sum(counts))


def _bound(model: CVAE, label: int, pixels: np.ndarray, settings: EvaluationSettings) -> np.ndarray:
    """An importance-weighted bound on log p(x|y) of all images for one class, [N], nats."""
    labels = np.full(len(pixels), label, np.int32)
    posteriors = importance_bounds.encode(model, pixels, settings.batch_size, labels)
    num, own = settings.samples, (settings.seed, settings.batch_size)
    given = model, pixels, posteriors, [num], num, *own
    bounds = importance_bounds.bounds(*given, labels=labels)
    return bounds.importance_weighted[num]


def _exact(
    model: CVAE, label: int, pixels: np.ndarray, bound: np.ndarray, settings: EvaluationSettings
) -> np.ndarray:
    """Log p(x|y) of M images for one class, [M], nats."""
    if not len(pixels):
        return bound
    labels = np.full(len(pixels), label, np.int32)
    posteriors = importance_bounds.encode(model, pixels, settings.batch_size, labels)
    given = model, pixels, posteriors, bound, settings.batch_size
    return exact_log_px.log_evidence(*given, label=label).log_evidence
