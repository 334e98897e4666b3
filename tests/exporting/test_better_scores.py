"""Exported models by refined posteriors, and by scores beside those of images as complex."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.exporting import loading
from cvae_tf.exporting.refined_model import RefinedModel, RegretModel
from cvae_tf.exporting.relative_model import RelativeModel, most_telling

LABELS = np.array([0, 2, 1, 2, 9], np.int32)


@pytest.fixture(scope="module")
def model(conditional_run):
    return loading.load(conditional_run.saved_model)


@pytest.fixture(scope="module")
def gan(gan_run):
    return loading.load(gan_run.saved_model)


@pytest.fixture(scope="module")
def grey(digits):
    return (digits.test.images[:5] / 255).astype(np.float32)


def _assert_near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_refined_model_encodes_reconstructs_and_scores_by_refined_posteriors(model, grey):
    refined, functions, images = RefinedModel(model, 3), model.functions, tf.constant(grey)
    found = functions.refine(images, 3, LABELS)
    for posterior in (refined.encode(grey, LABELS), model.infer(grey, 3, LABELS)):
        _assert_near(posterior.mean, found["mean"])
        _assert_near(posterior.factor, found["factor"])
    assert np.abs(refined.encode(grey, 9 - LABELS).mean - found["mean"]).max() > 5e-3
    assert np.abs(model.encode(grey, LABELS).mean - found["mean"]).max() > 5e-3
    _assert_near(refined.reconstruct(grey, LABELS), model.decode(found["mean"].numpy(), LABELS))
    key = tf.random.fold_in(derived_key(4, Purpose.SCORES), 0)  # of the first part of a batch
    scores = functions.score_refined(images, key, 3, 5, LABELS)
    own = refined.mean_scores(grey, seed=4, num_samples=5, labels=LABELS)
    assert set(own) == set(scores) == {"pseudo_elbo", "negative_cross_entropy", "kl"}
    for name, values in own.items():
        _assert_near(values, scores[name])
    assert model.infer(grey[:0], labels=LABELS[:0]).mean.shape == (0, 3)


def test_regret_is_what_refinement_brings_to_the_score(model, grey):
    scorers = model, RefinedModel(model, 3), RegretModel(model, 3)
    own, refined, regret = (
        each.mean_scores(grey, seed=2, labels=LABELS)["pseudo_elbo"] for each in scorers
    )
    _assert_near(regret, own - refined)
    titles = [each.main_score.title for each in scorers]
    assert titles == ["pseudo-ELBO", "refined pseudo-ELBO", "pseudo-ELBO minus refined pseudo-ELBO"]


def test_relative_scores_are_of_the_mean_scores(model, grey):
    relative = RelativeModel(model)
    scores = model.mean_scores(grey, labels=LABELS)["pseudo_elbo"]
    expected = model.functions.score_relative(tf.constant(grey), scores, LABELS)["scores"]
    _assert_near(relative.mean_scores(grey, labels=LABELS)["pseudo_elbo"], expected)
    assert relative.mean_scores(grey[:0], labels=LABELS[:0])["pseudo_elbo"].shape == (0,)
    assert relative.main_score.title == "relative pseudo-ELBO"


def test_each_kind_of_score_has_p_values_of_its_own(model):
    scores = np.array([-539.3, -0.1, 0.4], np.float32)
    kinds = {
        "p_values": model,
        "p_values_refined": RefinedModel(model, 5),
        "p_values_regret": RegretModel(model, 5),
        "p_values_relative": RelativeModel(model),
    }
    found = [each.p_values(scores) for each in kinds.values()]
    for name, values in zip(kinds, found, strict=True):
        expected = getattr(model.functions, name)(tf.constant(scores))["p_values"]
        np.testing.assert_array_equal(values, expected)
    assert len(np.unique(found, axis=0)) >= 3
    assert RefinedModel(model, 4).p_values(scores) is None  # held-out images had 5 steps


def test_what_cannot_be_refined_or_compared_is_refused(model, gan):
    for refine in (lambda: RefinedModel(gan, 5), lambda: gan.infer(np.zeros((1, 28, 28, 1)))):
        with pytest.raises(UserError, match="export its run again"):
            refine()
    for steps in (-1, 2.5, True):
        with pytest.raises(UserError, match=f"steps={steps}; must be a whole number from 0 to"):
            RefinedModel(model, steps)
    assert isinstance(most_telling(model), RelativeModel) and most_telling(gan) is gan
    with pytest.raises(UserError, match="^--score=relative: this model knows no scores"):
        RelativeModel(gan)
