"""Conditional models under evaluation: each class is a model of its own."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import binary_images

from cvae_tf.core.errors import UserError
from cvae_tf.evaluation import by_class, measuring, sampled_bounds
from cvae_tf.evaluation.evaluated_model import EvaluatedModel
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.models.vae.posterior import Posterior

LABELS = np.array([1, 0, 1, 1, 0, 1], np.int32)
PIXELS = binary_images(6)
SETTINGS = EvaluationSettings(importance_samples="1,4", samples=3, batch_size=50)
LOGITS = np.array([-0.5, 1.5], np.float32)


def _model(latent_dim=2, slope=0.0, counts=(1, 3)):
    """Of class y all pixels have the log-odds LOGITS[y] + slope * the first latent."""

    def encode(pixels, labels):
        mean = tf.stack([0.1 * tf.cast(labels, tf.float32)] * latent_dim, axis=1)
        return Posterior(mean, tf.zeros_like(mean) - 1.0)

    def decode(latents, labels):
        logits = tf.gather(tf.constant(LOGITS), labels) + slope * latents[:, 0]
        return tf.ones([1, 6, 6, 1]) * logits[:, None, None, None]

    metadata = {"data": {"class_counts": list(counts)}}
    return EvaluatedModel(encode, decode, latent_dim, (6, 6, 1), Pixels(), metadata, ("no", "yes"))


def _log_likelihood(logits):
    """Of all images with the same log-odds in all pixels, by the formula; [N]."""
    white = PIXELS.sum(axis=(1, 2, 3)).astype(float)
    return white * logits - 36 * np.logaddexp(0, logits)


def test_images_are_measured_under_their_own_class_in_their_order():
    found = measuring.measure(_model(), PIXELS, SETTINGS, LABELS)
    expected = np.stack([_log_likelihood(logits) for logits in LOGITS], axis=1)
    own = expected[np.arange(6), LABELS]
    np.testing.assert_allclose(found.exact.log_evidence, own, atol=1e-3)
    np.testing.assert_allclose(found.bounds.log_likelihood, own, rtol=1e-5)
    np.testing.assert_allclose(found.posteriors.mean[:, 0], 0.1 * LABELS, rtol=1e-6)


@pytest.mark.slow
def test_each_class_is_the_model_without_labels():
    model = _model(slope=0.7)
    whole = measuring.measure(model, PIXELS, SETTINGS, LABELS)
    for number in (0, 1):
        rows = number == LABELS
        alone = measuring.measure(model.of_class(number), PIXELS, SETTINGS)
        np.testing.assert_allclose(
            whole.exact.log_evidence[rows], alone.exact.log_evidence[rows], atol=1e-3
        )
        for size in (1, 4):  # the noise of an image depends on its number alone
            np.testing.assert_allclose(
                whole.bounds.importance_weighted[size][rows],
                alone.bounds.importance_weighted[size][rows],
                rtol=1e-6,
            )


@pytest.mark.parametrize(
    ("latent_dim", "how"), [pytest.param(2, "quadrature", marks=pytest.mark.slow), (3, "3")]
)
def test_the_classifier_is_bayes_rule(latent_dim, how):
    """The likelihoods do not depend on the latents, so that bounds are exact up to the KL."""
    found = by_class.classify(_model(latent_dim), PIXELS, LABELS, SETTINGS)
    assert found.how == how
    log_joint = np.stack([_log_likelihood(logits) for logits in LOGITS], axis=1)
    log_joint += np.log([0.25, 0.75])
    np.testing.assert_array_equal(found.found, log_joint.argmax(axis=1))
    if how == "quadrature":
        np.testing.assert_allclose(found.log_joint, log_joint, atol=1e-3)
        log_evidence = np.log(np.exp(log_joint).sum(axis=1))
        np.testing.assert_allclose(found.log_evidence, log_evidence, atol=1e-3)
    np.testing.assert_array_equal(found.is_wrong, log_joint.argmax(axis=1) != LABELS)


def test_hopeless_classes_keep_their_bound(monkeypatch):
    monkeypatch.setattr(by_class, "_CONTENDING", 1e-6)
    model = _model(slope=0.7)
    found = by_class.classify(model, PIXELS, LABELS, SETTINGS)
    losers = 1 - found.found
    for image, number in enumerate(losers):
        bound = by_class._bound(model.of_class(int(number)), PIXELS, SETTINGS)[image]
        expected = bound + model.log_class_shares[number]
        assert found.log_joint[image, number] == pytest.approx(expected, rel=1e-6)


def test_without_counts_all_classes_are_as_likely():
    model = _model()._replace(metadata={})
    np.testing.assert_allclose(model.log_class_shares, np.log([0.5, 0.5]))


def test_what_cannot_classify_is_refused():
    with pytest.raises(UserError, match="--classify: the cross-entropy of grey levels is no log-l"):
        by_class.check(_model()._replace(pixels=Pixels("none")))
    with pytest.raises(UserError, match="--classify needs a conditional model"):
        by_class.check(_model()._replace(class_names=()))


def test_errors_are_counted_with_their_standard_error():
    classes = by_class.Classification(np.eye(2)[[0, 0, 1, 1]], np.array([0, 1, 1, 1]), "5")
    mean, error = sampled_bounds.mean_of(classes.is_wrong)
    assert (mean, error) == (0.25, pytest.approx(np.sqrt(0.25 * 0.75 / 3)))
