"""Scores by refined posteriors, by what refining brings, and beside those of images as complex."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.inference import anomalies
from cvae_tf.inference.anomalies import most_telling, refined_scores, scores_of
from cvae_tf.models.families import family_of

LABELS = np.array([0, 2, 1, 2, 9], np.int32)
KINDS = "elbo", "relative", "refined", "regret"


@pytest.fixture(scope="module")
def model(conditional):
    return conditional


@pytest.fixture(scope="module")
def grey(digits):
    return (digits.test.images[:5] / 255).astype(np.float32)


def _assert_near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def _by_signature(model, name, *arguments):
    function, _ = family_of(model).signatures(model)[name]
    return function(*map(tf.constant, arguments))


def test_posteriors_are_refined_under_their_labels_and_scored(model, grey):
    posterior = model.refine(grey, LABELS, steps=3)
    found = _by_signature(model, "refine", grey, 3, LABELS)
    _assert_near(posterior.mean, found["mean"])
    _assert_near(posterior.factor, found["factor"])
    _assert_near(posterior.mean, model.refine(tf.constant(grey), tf.constant(LABELS), steps=3).mean)
    assert np.abs(model.refine(grey, 9 - LABELS, steps=3).mean - found["mean"]).max() > 5e-3
    assert np.abs(model.encode(grey, LABELS).mean - found["mean"]).max() > 5e-3
    key = tf.random.fold_in(derived_key(4, Purpose.SCORES), 0)  # of the first part of a batch
    scores = _by_signature(model, "score_refined", grey, key, 3, 5, LABELS)["pseudo_elbo"]
    own = refined_scores(model, grey, 4, LABELS, steps=3, num_samples=5)["pseudo_elbo"]
    _assert_near(own, scores)
    assert model.refine(grey[:0], LABELS[:0]).mean.shape == (0, 3)
    assert anomalies.p_values(model, scores, "refined", 3) is None  # held-out images had 5 steps


def test_regret_and_relative_scores_are_what_they_are_of(model, grey):
    found = [scores_of(model, grey, kind, 2, LABELS) for kind in KINDS]
    own, relative, refined, regret = (each.values for each in found)
    np.testing.assert_array_equal(own, model.mean_scores(grey, 2, labels=LABELS)["pseudo_elbo"])
    _assert_near(regret, own - refined)
    _assert_near(relative, _by_signature(model, "score_relative", grey, own, LABELS)["scores"])
    assert len({each.measure.title for each in found}) == len(KINDS)
    for kind, each in zip(KINDS, found, strict=True):
        np.testing.assert_array_equal(each.p_values, model.p_values(each.values, kind))


def test_what_cannot_be_refined_or_compared_is_refused(model, gan, grey):
    with pytest.raises(UserError, match="export its run again"):
        scores_of(gan, grey, "refined")
    with pytest.raises(UserError, match="steps=-1; must be a whole number from 0 to"):
        model.refine(grey, LABELS, steps=-1)
    assert (most_telling(model), most_telling(gan)) == ("relative", "elbo")
    with pytest.raises(UserError, match="^--score=relative: this model knows no scores"):
        scores_of(gan, grey, "relative")
