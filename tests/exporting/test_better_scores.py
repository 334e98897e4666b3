"""Exported models by refined posteriors, and by scores beside those of images as complex."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.exporting.refined_model import RefinedModel, RegretModel
from cvae_tf.exporting.relative_model import RelativeModel, most_telling

LABELS = np.array([0, 2, 1, 2, 9], np.int32)


@pytest.fixture(scope="module")
def model(conditional):
    return conditional


@pytest.fixture(scope="module")
def grey(digits):
    return (digits.test.images[:5] / 255).astype(np.float32)


def _assert_near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_refined_model_encodes_reconstructs_and_scores_by_refined_posteriors(model, grey):
    refined, functions, images = RefinedModel(model, 3), model.functions, tf.constant(grey)
    found = functions.refine(images, 3, LABELS)
    posterior = refined.encode(grey, LABELS)
    _assert_near(posterior.mean, found["mean"])
    _assert_near(posterior.factor, found["factor"])
    assert np.abs(refined.encode(grey, 9 - LABELS).mean - found["mean"]).max() > 5e-3
    assert np.abs(model.encode(grey, LABELS).mean - found["mean"]).max() > 5e-3
    _assert_near(refined.reconstruct(grey, LABELS), model.decode(found["mean"].numpy(), LABELS))
    key = tf.random.fold_in(derived_key(4, Purpose.SCORES), 0)  # of the first part of a batch
    scores = functions.score_refined(images, key, 3, 5, LABELS)["pseudo_elbo"]
    own = refined.mean_scores(grey, seed=4, num_samples=5, labels=LABELS)["pseudo_elbo"]
    _assert_near(own, scores)
    assert refined.encode(grey[:0], labels=LABELS[:0]).mean.shape == (0, 3)
    assert refined.p_values(scores) is None  # held-out images had 5 steps


def test_regret_and_relative_scores_are_what_they_are_of(model, grey):
    scorers = model, RefinedModel(model, 3), RegretModel(model, 3), RelativeModel(model)
    own, refined, regret, relative = (
        each.mean_scores(grey, seed=2, labels=LABELS)["pseudo_elbo"] for each in scorers
    )
    _assert_near(regret, own - refined)
    _assert_near(relative, model.functions.score_relative(grey, own, LABELS)["scores"])
    assert len({each.main_score.title for each in scorers}) == len(scorers)


def test_what_cannot_be_refined_or_compared_is_refused(model, gan):
    for refine in (lambda: RefinedModel(gan, 5), lambda: gan.infer(np.zeros((1, 28, 28, 1)))):
        with pytest.raises(UserError, match="export its run again"):
            refine()
    with pytest.raises(UserError, match="steps=-1; must be a whole number from 0 to"):
        RefinedModel(model, -1)
    assert isinstance(most_telling(model), RelativeModel) and most_telling(gan) is gan
    with pytest.raises(UserError, match="^--score=relative: this model knows no scores"):
        RelativeModel(gan)
