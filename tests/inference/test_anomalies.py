"""How usual images are to a model: refined under their labels, scored in both ways, or refused."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.inference.anomalies import scores_of
from cvae_tf.models.families import family_of

LABELS = np.array([0, 2, 1, 2, 9], np.int32)


@pytest.fixture(scope="module")
def grey(digits):
    return (digits.test.images[:5] / 255).astype(np.float32)


def _assert_near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_posteriors_are_refined_under_their_labels(conditional, grey):
    model = conditional
    posterior = model.refine(grey, LABELS, steps=3)
    function, _ = family_of(model).signatures(model)["refine"]
    found = function(*map(tf.constant, (grey, 3, LABELS)))
    _assert_near(posterior.mean, found["mean"])
    _assert_near(posterior.factor, found["factor"])
    _assert_near(posterior.mean, model.refine(tf.constant(grey), tf.constant(LABELS), steps=3).mean)
    assert np.abs(model.refine(grey, 9 - LABELS, steps=3).mean - found["mean"]).max() > 5e-3
    assert np.abs(model.encode(grey, LABELS).mean - found["mean"]).max() > 5e-3
    assert model.refine(grey[:0], LABELS[:0]).mean.shape == (0, 3)
    with pytest.raises(UserError, match="steps=-1; must be a whole number from 0 to"):
        model.refine(grey, LABELS, steps=-1)


def test_scores_are_relative_unless_the_elbo_is_asked_for_or_alone(conditional, vae, gan, grey):
    own, relative = (scores_of(conditional, grey, LABELS, kind) for kind in ("elbo", None))
    expected = conditional.mean_scores(grey, labels=LABELS)["pseudo_elbo"]
    np.testing.assert_array_equal(own.values, expected)
    assert (own.measure.title, own.p_values) == ("pseudo-ELBO", None)
    expected = conditional.anomaly(grey, LABELS)
    np.testing.assert_array_equal(relative.values, expected.score)
    np.testing.assert_array_equal(relative.p_values, expected.p_value)
    assert relative.measure.title == "relative pseudo-ELBO"
    alone = [conditional.anomaly(grey[[i]], LABELS[[i]]).score[0] for i in range(5)]
    _assert_near(alone, expected.score)  # whatever it stands beside
    assert scores_of(gan, grey).measure.name == "logit"
    with pytest.raises(UserError, match="^--score=elbo: this model's score is its logit"):
        scores_of(gan, grey, kind="elbo")
    bare = vae.from_config(vae.get_config())
    with pytest.raises(UserError, match="^--score=relative: this model knows no scores"):
        scores_of(bare, grey, kind="relative")
