"""Scores beside those of usual images that are as complex."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import METADATA, vivid

from cvae_tf.core.errors import UserError
from cvae_tf.exporting import loading, writing
from cvae_tf.exporting.relative_model import RelativeModel, most_telling
from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.vae import complexity
from cvae_tf.models.vae.model import CVAE


def _log_variation(pixels):
    total = sum(np.abs(np.diff(pixels, axis=axis)).sum(axis=(1, 2, 3)) for axis in (1, 2))
    return np.log((total + 1) / pixels[0].size)


def test_a_score_is_what_is_above_the_higher_of_two_parabolas(
    finished_digits, exported_finished_digits, digits
):
    model = loading.load(exported_finished_digits)
    own = digits.test.images / np.float32(255)
    images = np.concatenate([own, own[:3] * 0, np.random.default_rng(0).random((3, 28, 28, 1))])
    scores, found = (each.mean_scores(images)["elbo"] for each in (model, RelativeModel(model)))
    num, expected, both = len(own), [], []
    black_and_white = (images >= 0.5).astype(float)  # as the digits were thresholded
    for each in (black_and_white, model.reconstruct(images).astype(float)):
        places = _log_variation(each)
        both.append(places)
        # The run has fitted its own draws of the same scores.
        trend = np.polyfit(places[:num], scores[:num], 2)
        inside = np.clip(places, places[:num].min(), places[:num].max())
        expected.append(np.polyval(trend, inside))
    away = np.abs(found - (scores - np.maximum(*expected)))
    assert np.median(away) < 1 and away.max() < 6  # where images are few, draws count
    assert 0.1 < np.mean(expected[0] > expected[1]) < 0.9  # either is the higher one
    known = np.stack(both, axis=1).astype(np.float32)
    exact = finished_digits.held_out_scores.relative(known, scores.astype(np.float32))
    np.testing.assert_allclose(found, exact, atol=0.05)


def test_a_conditional_model_reconstructs_by_the_labels(tmp_path, digits):
    model = CVAE(build_networks("mlp", (28, 28, 1), latent_dim=2, seed=1, num_classes=10), 1,
                 num_classes=10)  # fmt: skip
    vivid(model).finish("held_out_scores", digits)  # so that classes differ
    data = {**METADATA["data"], "class_names": [str(digit) for digit in range(10)]}
    writing.write_model(model, "saved_model", tmp_path / "1", {**METADATA, "data": data})
    loaded = loading.load(tmp_path / "1")
    images, labels = digits.test.images, digits.test.labels.astype(np.int32)
    relative = RelativeModel(loaded).mean_scores(images, labels=labels)["elbo"]
    pixels, scores = loaded.reconstruct(images, labels), loaded.mean_scores(images, labels=labels)
    known = complexity.complexities(
        tf.constant(images / 255 >= 0.5, tf.float32), tf.constant(pixels)
    )
    expected = model.held_out_scores.relative(known, scores["elbo"])
    np.testing.assert_allclose(relative, expected, atol=1e-2)
    (trends,) = (each for each in model.held_out_scores.variables if each.name == "trends")
    limits = np.stack([np.min(known, axis=0), np.max(known, axis=0)], axis=1)
    np.testing.assert_allclose(trends[:, -2:], limits, atol=1e-4)  # of what was fitted
    for each in (loaded, RelativeModel(loaded)):
        assert each.mean_scores(images[:0], labels=labels[:0])["elbo"].shape == (0,)


def test_p_values_are_of_relative_scores(exported_finished_digits):
    model = RelativeModel(loading.load(exported_finished_digits))
    p_values = model.p_values(np.array([-1e4, 0, 1e4]))
    assert p_values[0] == pytest.approx(1 / 298) and p_values[2] == 1
    assert 0.3 < p_values[1] < 0.7


def test_a_model_without_them_is_used_as_it_is(exported_digits, exported_finished_digits):
    assert isinstance(most_telling(loading.load(exported_finished_digits)), RelativeModel)
    model = loading.load(exported_digits)
    assert most_telling(model) is model
    assert RelativeModel(loading.load(exported_finished_digits)).mean_scores(
        np.zeros((0, 28, 28, 1))
    )["elbo"].shape == (0,)
    with pytest.raises(UserError, match="^--score=relative: this model knows no scores"):
        RelativeModel(model)
