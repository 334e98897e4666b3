"""Scores of held-out images, and the p-values that follow from them; how they are kept."""

import types

import numpy as np
import pytest
import tensorflow as tf
from conftest import vivid

from cvae_tf.core.errors import LostImagesError
from cvae_tf.data.datasets import Split
from cvae_tf.models.networks.building import Options, build_networks
from cvae_tf.models.vae import amounts, held_out_scores
from cvae_tf.models.vae.held_out_scores import HeldOutScores
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.training import finishing


def _small(shape=(8, 8, 1), latent_dim=3, pixels=Pixels(), num_classes=0):  # noqa: B008
    networks = build_networks(
        "mlp", shape, latent_dim, seed=3, num_classes=num_classes, options=Options(hidden=(16,))
    )
    return CVAE(networks, 3, pixels, num_classes=num_classes)


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
    functions = {name: function for name, (function, _) in model.signatures().items()}
    grey, samples = tf.constant(images / 255, tf.float32), amounts.SCORE_SAMPLES
    draws = [functions["score"](grey, tf.constant([5, i]))["elbo"] for i in range(samples)]
    own, given = np.mean(draws, axis=0), (tf.constant(amounts.STEPS), tf.constant(samples))
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
    model.finish("held_out_scores", digits._replace(test=Split(held_out, None)))
    for p_values in _p_values(model, held_out):  # each one's own place, but for the noise
        ranks = (1 + np.argsort(np.argsort(p_values, stable=True))) / (1 + len(held_out))
        assert np.abs(p_values - ranks).mean() < 0.08
    for p_values in _p_values(model, new):
        rate = pytest.approx(0.2, abs=3 * (2 * 0.16 / len(new)) ** 0.5)
        assert np.mean(p_values <= 0.2) == rate


@pytest.mark.parametrize(
    ("options", "affordable", "expected"),
    [
        ({"num_classes": 3, "pixels": Pixels("none")}, 10**6,
         {"encoders": 40, "relative": 40, "refined": 40, "regret": 40}),
        ({}, 20 * 32, {"encoders": 40, "relative": 40, "refined": 20, "regret": 20}),
        ({"latent_dim": 65, "pixels": Pixels("dynamic")}, 7 * 16, {"encoders": 7, "relative": 7}),
    ],
)  # fmt: skip
def test_models_of_every_kind_score_as_many_images_as_are_affordable(
    monkeypatch, options, affordable, expected
):
    monkeypatch.setattr(held_out_scores, "_FEWEST", 5)
    monkeypatch.setattr(held_out_scores, "_MOST_PIXELS", 64 * affordable)
    own, images = _small(**options), np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1))
    held_out_scores.measure(own, Split(images.astype(np.uint8), np.arange(40) % 3))
    assert own.held_out_scores.known == expected
    found = {name for name in own.signatures() if name.startswith("p_values")}
    assert found == {f"p_values_{kind}".removesuffix("_encoders") for kind in expected}


# What is learned at the end is kept with the run.


@pytest.fixture
def run(tmp_path):
    return types.SimpleNamespace(finishing=tmp_path / "finishing.npz")


def _with_scores(steps=4):
    model = _small()
    model.compile("sgd")
    model.optimizer.iterations.assign(steps)
    return model


def test_they_come_back_with_the_run_if_they_are_of_its_weights_and_fit(run, monkeypatch):
    model, again = _with_scores(), _with_scores()
    monkeypatch.setattr(
        CVAE, "finish", lambda own, *_: own.held_out_scores.take("encoders", np.arange(9.0))
    )
    finishing.finish(run, model, None)
    assert finishing.restore(run, again) == []
    for first, second in zip(
        model.held_out_scores.variables, again.held_out_scores.variables, strict=True
    ):
        np.testing.assert_array_equal(first, second)
    missing = ["its scores come without p-values"]
    assert finishing.restore(run, _with_scores(steps=5)) == missing
    with np.load(run.finishing) as arrays:
        shorter = {name: values[:-1] if values.ndim else values for name, values in arrays.items()}
    np.savez(run.finishing, **shorter)
    assert finishing.restore(run, _with_scores()) == missing
    run.finishing.unlink()
    assert finishing.restore(run, _with_scores()) == missing


@pytest.mark.parametrize(
    "error", [tf.errors.ResourceExhaustedError(None, None, "no memory"), LostImagesError("gone")]
)
def test_failing_at_the_end_does_not_cost_the_model(run, monkeypatch, capsys, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(CVAE, "finish", fail)
    finishing.finish(run, _with_scores(), None)
    assert "is missing: its scores come without p-values" in capsys.readouterr().err
    assert not run.finishing.exists()
