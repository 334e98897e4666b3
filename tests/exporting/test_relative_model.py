"""Scores beside those of usual images that are as complex."""

import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.exporting import loading
from cvae_tf.exporting.relative_model import RelativeModel, most_telling


def _log_variation(images):
    pixels = (images >= 0.5).astype(float)  # as the digits were thresholded
    total = sum(np.abs(np.diff(pixels, axis=axis)).sum(axis=(1, 2, 3)) for axis in (1, 2))
    return np.log((total + 1) / pixels[0].size)


def test_a_score_is_what_is_above_a_parabola(exported_finished_digits, digits):
    model = loading.load(exported_finished_digits)
    own = digits.test.images / np.float32(255)
    images = np.concatenate([own, own[:3] * 0, np.random.default_rng(0).random((3, 28, 28, 1))])
    scores, found = (each.mean_scores(images)["elbo"] for each in (model, RelativeModel(model)))
    num, places = len(own), _log_variation(images)
    # The run has fitted its own draws of the same scores.
    trend = np.polyfit(places[:num], scores[:num], 2)
    inside = np.clip(places, places[:num].min(), places[:num].max())
    np.testing.assert_allclose(found, scores - np.polyval(trend, inside), atol=3)
    assert abs(found[:num].mean()) < 1 < np.abs(scores[:num]).mean()


def test_p_values_are_of_relative_scores(exported_finished_digits):
    model = RelativeModel(loading.load(exported_finished_digits))
    p_values = model.p_values(np.array([-1e4, 0, 1e4]))
    assert p_values[0] == pytest.approx(1 / 298) and p_values[2] == 1
    assert 0.3 < p_values[1] < 0.7


def test_a_model_without_them_is_used_as_it_is(exported_digits, exported_finished_digits):
    assert isinstance(most_telling(loading.load(exported_finished_digits)), RelativeModel)
    model = loading.load(exported_digits)
    assert most_telling(model) is model
    with pytest.raises(UserError, match="^--score=relative: this model knows no scores"):
        RelativeModel(model)
