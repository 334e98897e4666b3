"""Scores of held-out images, and the p-values that follow from them; how they are kept."""

import types

import numpy as np
import pytest
import tensorflow as tf
from helpers import vivid

from cvae_tf.data.datasets import Split
from cvae_tf.models.arrays import SCORE_SAMPLES
from cvae_tf.models.families import FAMILIES
from cvae_tf.models.networks import Options, build_networks
from cvae_tf.models.vae import family, held_out_scores
from cvae_tf.models.vae.held_out_scores import HeldOutScores
from cvae_tf.models.vae.likelihoods import Pixels
from cvae_tf.models.vae.model import CVAE
from cvae_tf.presets import REFINE_STEPS
from cvae_tf.training import run_training


def _small(shape=(8, 8, 1), latent_dim=3, pixels=Pixels()):  # noqa: B008
    networks = build_networks("mlp", shape, latent_dim, seed=3, options=Options(hidden=(16,)))
    return CVAE(networks, 3, pixels)


def test_p_values_count_what_is_as_low():
    scores = HeldOutScores()
    assert scores.known == {}
    held_out = np.random.default_rng(0).normal(size=99).astype(np.float32)
    scores.take("encoders", held_out)
    assert scores.known == {"encoders": 99}
    new = np.array([-np.inf, *held_out[:5], 0.3, np.inf], np.float32)
    expected = [(1 + np.sum(held_out <= value)) / 100 for value in new]
    np.testing.assert_allclose(scores.p_values("encoders", tf.constant(new)), expected, rtol=1e-6)
    scores.take("refined", np.array([1.0, np.nan, -np.inf, 3.0, 2.0]))  # the most unusual ones
    p_values = scores.p_values("refined", tf.constant([np.nan, -np.inf, 0.5, 2.0, 9.0]))
    np.testing.assert_allclose(p_values, np.array([3, 3, 3, 5, 6]) / 6, rtol=1e-6)


def _p_values(model, images):
    """Of each kind of score, as somebody computes it with a SavedModel, by noise of its own."""
    functions = {
        name: function for name, (function, _) in FAMILIES["vae"].signatures(model).items()
    }
    grey, samples = tf.constant(images / 255, tf.float32), SCORE_SAMPLES
    draws = [functions["score"](grey, tf.constant([5, i]))["elbo"] for i in range(samples)]
    own, given = np.mean(draws, axis=0), (tf.constant(REFINE_STEPS), tf.constant(samples))
    refined = functions["score_refined"](grey, tf.constant([5, 9]), *given)["elbo"].numpy()
    scores = {
        "p_values": own,
        "p_values_refined": refined,
        "p_values_regret": own - refined,
        "p_values_relative": functions["score_relative"](grey, own)["scores"],
    }
    return [functions[name](each)["p_values"].numpy() for name, each in scores.items()]


def test_new_usual_images_have_low_p_values_as_often_as_the_p_values_say(digits):
    images = digits.test.images[:, ::3, ::3]
    held_out, new = images[::2], images[1::2]
    model = vivid(_small((10, 10, 1)))
    FAMILIES["vae"].finish(model, "held_out_scores", digits._replace(test=Split(held_out, None)))
    for p_values in _p_values(model, held_out):  # each one's own place, but for the noise
        ranks = (1 + np.argsort(np.argsort(p_values, stable=True))) / (1 + len(held_out))
        assert np.abs(p_values - ranks).mean() < 0.08
    for p_values in _p_values(model, new):
        rate = pytest.approx(0.2, abs=3 * (2 * 0.16 / len(new)) ** 0.5)
        assert np.mean(p_values <= 0.2) == rate


@pytest.mark.parametrize(
    ("options", "affordable", "expected"),
    [
        ({}, 20 * 32, {"encoders": 40, "relative": 40, "refined": 20, "regret": 20}),
        ({"latent_dim": 65, "pixels": Pixels("dynamic")}, 7 * 16, {"encoders": 7, "relative": 7}),
    ],
)  # fmt: skip
def test_models_of_every_kind_score_as_many_images_as_are_affordable(
    monkeypatch, options, affordable, expected
):
    monkeypatch.setattr(family, "_FEWEST_SCORED", 5)
    monkeypatch.setattr(family, "_MOST_PIXELS", 64 * affordable)
    own, images = _small(**options), np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1))
    family.score_held_out(own, Split(images.astype(np.uint8), None))
    assert own.held_out_scores.known == expected
    found = {name for name in FAMILIES["vae"].signatures(own) if name.startswith("p_values")}
    assert found == {f"p_values_{kind}".removesuffix("_encoders") for kind in expected}


# What scores are to be expected of images by their complexity.


def test_variation_is_that_of_neighbours():
    images = np.random.default_rng(0).random((2, 4, 6, 5, 3)).astype(np.float32)
    images[0, 0] = 0.5
    sums = np.zeros((2, 4))
    for axis in (2, 3):
        sums += np.abs(np.diff(images.astype(float), axis=axis)).sum(axis=(2, 3, 4))
    expected = np.log((sums + 1) / (6 * 5 * 3))
    found = held_out_scores.complexities(*map(tf.constant, images))  # of images and reconstructions
    np.testing.assert_allclose(found, expected.T, rtol=1e-5)


def test_scores_are_relative_to_the_parabola_that_expects_more_of_the_others():
    random = np.random.default_rng(3)
    known, scores = random.normal(size=(30, 2)), random.normal(size=30)
    trends, above = held_out_scores.fit_trends(known, scores)
    for left_out in range(5):
        others = np.arange(30) != left_out
        fits = (np.polyfit(own[others], scores[others], 2) for own in known.T)
        expects = [np.polyval(fit, at) for fit, at in zip(fits, known[left_out], strict=True)]
        assert above[left_out] == pytest.approx(scores[left_out] - max(expects), rel=1e-6)
    new = np.clip(4 * known[:9], known.min(axis=0), known.max(axis=0))  # what was seen, at most
    expected = [
        np.polyval(np.polyfit(a, scores, 2), b) for a, b in zip(known.T, new.T, strict=True)
    ]
    given = (tf.constant(part, tf.float32) for part in (scores[:9], 4 * known[:9], trends))
    found = held_out_scores.relative_scores(*given)
    np.testing.assert_allclose(found, scores[:9] - np.maximum(*expected), atol=1e-4)


@pytest.mark.parametrize(
    ("places", "scores", "expected"),
    [
        ([-2.0, -2, -2], [1.0, 2, 6], [3, 3, 3]),
        ([-2.0, -1], [np.nan, -np.inf], [0, 0]),
        ([-2.0, -1, -1], [4.0, 7, 9], [4, 8, 8]),
        (-2 + 1e-4 * np.linspace(-1, 1, 30), *[5 + 0.1 * np.linspace(-1, 1, 30)] * 2),
    ],
)
def test_few_images_and_such_as_are_alike_have_a_trend_too(places, scores, expected):
    trend, _ = held_out_scores.fit_trend(np.array(places), np.array(scores))
    given = (np.array(each, np.float32) for each in (places, trend))
    found = held_out_scores.expected_score(*given)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


# What is learned at the end is kept with the run.


@pytest.fixture
def run(tmp_path):
    return types.SimpleNamespace(finishing=tmp_path / "finishing.npz")


def _with_scores(steps=4):
    model = _small()
    model.compile("sgd")
    model.optimizer.iterations.assign(steps)
    return model


def test_they_come_back_with_the_run_if_they_are_of_its_weights_and_fit(run, monkeypatch, digits):
    model, again = _with_scores(), _with_scores()
    monkeypatch.setattr(
        family, "score_held_out", lambda own, _: own.held_out_scores.take("encoders", np.arange(9))
    )
    run_training.fit_after_training(run, model, digits)
    assert run_training.restore_fitted(run, again) == []
    for first, second in zip(
        model.held_out_scores.variables, again.held_out_scores.variables, strict=True
    ):
        np.testing.assert_array_equal(first, second)
    missing = ["its scores come without p-values"]
    assert run_training.restore_fitted(run, _with_scores(steps=5)) == missing
    with np.load(run.finishing) as arrays:
        shorter = {name: values[:-1] if values.ndim else values for name, values in arrays.items()}
    np.savez(run.finishing, **shorter)
    assert run_training.restore_fitted(run, _with_scores()) == missing
    run.finishing.unlink()
    assert run_training.restore_fitted(run, _with_scores()) == missing


def test_failing_at_the_end_does_not_cost_the_model(run, monkeypatch, capsys, digits):
    def fail(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "no memory")

    monkeypatch.setattr(family, "score_held_out", fail)
    run_training.fit_after_training(run, _with_scores(), digits)
    assert "is missing: its scores come without p-values" in capsys.readouterr().err
    assert not run.finishing.exists()
