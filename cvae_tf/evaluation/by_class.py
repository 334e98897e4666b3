"""Conditional models as classifiers: images under every class."""

from typing import NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.progress import progress
from cvae_tf.evaluation import exact_evidence, sampled_bounds
from cvae_tf.evaluation.evaluated_model import EvaluatedModel
from cvae_tf.evaluation.settings import EvaluationSettings

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


def check(model: EvaluatedModel) -> None:
    """Raises a UserError if classes cannot be compared under a model."""
    if not model.class_names:
        raise UserError("--classify needs a conditional model; train one with --conditional.")
    if not model.pixels.has_likelihood:
        raise UserError(
            "--classify: the cross-entropy of grey levels is no log-likelihood, so classes cannot "
            "be compared; train with another --likelihood or --binarize."
        )


def classify(
    model: EvaluatedModel, pixels: np.ndarray, labels: np.ndarray, settings: EvaluationSettings
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
    models = [model.of_class(number) for number in range(len(model.class_names))]
    with progress("classifying") as show:
        columns = []
        for number, of_class in enumerate(models):
            show(number / len(models))
            columns.append(_bound(of_class, pixels, settings))
    log_joint, how = np.stack(columns, axis=1) + model.log_class_shares, str(settings.samples)
    if model.latent_dim <= exact_evidence.LARGEST_DIM:
        how = "quadrature"
        contends = log_joint > log_joint.max(axis=1, keepdims=True) - _CONTENDING
        for number, of_class in enumerate(models):
            rows = np.flatnonzero(contends[:, number])
            exact = _exact(of_class, pixels[rows], log_joint[rows, number], settings)
            log_joint[rows, number] = exact + model.log_class_shares[number]
    return Classification(log_joint, labels, how)


def _bound(model: EvaluatedModel, pixels: np.ndarray, settings: EvaluationSettings) -> np.ndarray:
    """An importance-weighted bound on log p(x|y) of all images for one class, [N], nats."""
    posteriors = sampled_bounds.encode(model, pixels, settings.batch_size)
    num, own = settings.samples, (settings.seed, settings.batch_size)
    bounds = sampled_bounds.bounds(model, pixels, posteriors, [num], num, *own)
    return bounds.importance_weighted[num]


def _exact(
    model: EvaluatedModel, pixels: np.ndarray, bound: np.ndarray, settings: EvaluationSettings
) -> np.ndarray:
    """Log p(x|y) of M images for one class, [M], nats."""
    if not len(pixels):
        return bound
    posteriors = sampled_bounds.encode(model, pixels, settings.batch_size)
    exact = exact_evidence.log_evidence(model, pixels, posteriors, bound, settings.batch_size)
    return exact.log_evidence
