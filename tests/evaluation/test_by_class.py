"""Conditional models under evaluation: each class is a model of its own."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import binary_images, designed_model

from cvae_tf.core.errors import UserError
from cvae_tf.data.given_images import Images
from cvae_tf.evaluation import evaluating
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.models.vae.likelihoods import Pixels
from cvae_tf.models.vae.posterior import Posterior

LABELS = np.array([1, 0, 1, 1, 0, 1], np.int32)
PIXELS = binary_images(6)
SETTINGS = EvaluationSettings(importance_samples="1,4", samples=3, batch_size=2000)
LOGITS = np.array([-0.5, 1.5], np.float32)


def _model(latent_dim=1):
    """Of class y all pixels have the log-odds LOGITS[y], whatever the latents."""

    def encode(pixels, labels):
        mean = tf.stack([0.1 * tf.cast(labels, tf.float32)] * latent_dim, axis=1)
        return Posterior(mean, tf.zeros_like(mean) - 1.0)

    def decode(latents, labels):
        logits = tf.gather(tf.constant(LOGITS), labels) + 0 * latents[:, 0]
        return tf.ones([1, 6, 6, 1]) * logits[:, None, None, None]

    metadata = {"data": {"class_counts": [1, 3]}}
    known = {"metadata": metadata, "class_names": ("no", "yes")}
    return designed_model(encode, decode, latent_dim, (6, 6, 1), **known)


def _log_likelihoods():
    """Of each image in each class, by the formula; [N, 2]."""
    white = PIXELS.sum(axis=(1, 2, 3)).astype(float)[:, None]
    return white * LOGITS - 36 * np.logaddexp(0, LOGITS)


def test_images_are_measured_under_their_own_class_in_their_order():
    images = Images(PIXELS, LABELS, list("abcdef"))
    task = evaluating.Task(_model(), SETTINGS, PIXELS, LABELS)
    found = evaluating.measure(task, images)
    own = _log_likelihoods()[np.arange(6), LABELS]
    np.testing.assert_allclose(found.exact.log_evidence, own, atol=1e-3)
    np.testing.assert_allclose(found.bounds.log_likelihood, own, rtol=1e-5)
    np.testing.assert_allclose(found.posteriors.mean[:, 0], 0.1 * LABELS, rtol=1e-6)


@pytest.mark.parametrize(("latent_dim", "how"), [(1, "quadrature"), (3, "3")])
def test_the_classifier_is_bayes_rule(latent_dim, how):
    """The likelihoods do not depend on the latents, so that bounds are exact up to the KL."""
    model = _model(latent_dim)
    found = evaluating.classify(evaluating.Task(model, SETTINGS, PIXELS, LABELS))
    assert found.how == how
    np.testing.assert_allclose(evaluating.log_class_shares(model), np.log([0.25, 0.75]))
    log_joint = _log_likelihoods() + np.log([0.25, 0.75])
    np.testing.assert_array_equal(found.found, log_joint.argmax(axis=1))
    np.testing.assert_array_equal(found.is_wrong, log_joint.argmax(axis=1) != LABELS)
    if how == "quadrature":
        np.testing.assert_allclose(found.log_joint, log_joint, atol=1e-3)
        log_evidence = np.log(np.exp(log_joint).sum(axis=1))
        np.testing.assert_allclose(found.log_evidence, log_evidence, atol=1e-3)


def test_without_counts_all_classes_are_as_likely_and_what_cannot_classify_is_refused():
    model = _model()
    model.metadata = {}
    np.testing.assert_allclose(evaluating.log_class_shares(model), np.log([0.5, 0.5]))
    with pytest.raises(UserError, match="--classify: the cross-entropy of grey levels is no log-l"):
        model.pixels = Pixels("none")
        evaluating.check_model(model, EvaluationSettings(classify=True))
    with pytest.raises(UserError, match="--classify needs a conditional model"):
        model.class_names = ()
        evaluating.check_model(model, EvaluationSettings(classify=True))
