"""Anomalies by each kind of score, and what `--refine` changes in the modes that take it."""

import numpy as np
import pytest
from generation_helpers import LABELS, HalvesModel, halves_of, lit_images, logits
from generation_helpers import make as make_with

from cvae_tf.core.errors import UserError
from cvae_tf.generation import anomalies, generating
from cvae_tf.models.vae.posterior import FullPosterior

IMAGES = np.maximum(lit_images(), 60)
SCORES = -(IMAGES / 255).sum((1, 2, 3)) - 1 + 0.001 * 8


class RefinedHalves(HalvesModel):
    """As `RefinedModel`; each step moves the mean by a tenth and the score by ten."""

    factor, sign = np.array([[0.3, 0], [0.2, 0.1]], np.float32), 1

    def __init__(self, model, steps=0):
        self.unrefined, self.steps = model, steps

    def encode(self, images, labels=None):
        mean = super().encode(images).mean + np.float32(self.steps / 10)
        return FullPosterior(mean, np.tile(self.factor, (len(images), 1, 1)))

    def mean_scores(self, images, seed=0, num_samples=8, labels=None):
        found = super().mean_scores(images, seed, num_samples)
        return {name: self.sign * scores + 10 * self.steps for name, scores in found.items()}


class OppositeHalves(RefinedHalves):
    """As `RelativeModel` and `RegretModel`: what has the lowest score has the highest by these."""

    sign = -1


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr(generating, "RefinedModel", RefinedHalves)
    monkeypatch.setattr(generating, "RegretModel", OppositeHalves)
    monkeypatch.setattr(anomalies, "RelativeModel", OppositeHalves)
    path = str(tmp_path / "images.npz")
    np.savez(path, x_test=IMAGES, y_test=LABELS)

    def call(mode, model=None, **settings):
        return make_with(model or HalvesModel(), mode, tmp_path / "out", data_path=path, **settings)

    return call


def _read(path):
    header, *rows = path.read_text().splitlines()
    return header, [row.split(",") for row in rows]


@pytest.mark.parametrize(
    ("settings", "column", "expected"),
    [
        ({}, "elbo_nats", SCORES),
        ({"score": "refined"}, "refined_elbo_nats", SCORES + 50),  # the usual five steps
        ({"score": "regret", "refine": 1}, "elbo_minus_refined_elbo_nats", 10 - SCORES),
        ({"score": "relative"}, "relative_elbo_nats", -SCORES),
    ],
)
def test_images_are_sorted_by_the_score_that_is_asked_for(make, settings, column, expected):
    made = make("anomalies", num=2, **settings)
    header, rows = _read(made.files[1])
    order = np.argsort(expected)
    assert header == f"name,{column}" and [row[0] for row in rows] == [str(i) for i in order]
    np.testing.assert_allclose([float(row[1]) for row in rows], expected[order], atol=2e-3)
    np.testing.assert_allclose(made.arrays["scores"], expected, rtol=1e-5)
    np.testing.assert_allclose(made.arrays["images"], IMAGES[order[:2]] / 255, atol=1e-6)


class KnowingHalves(HalvesModel):
    """Knows scores of nine usual images: a tenth is the least share that it can tell."""

    def mean_scores(self, images, seed=0, num_samples=8, labels=None):
        return {"elbo": np.array([3, 1, np.nan, 2, 5, 4])}

    def p_values(self, scores):
        return np.fmax(scores, 1) / 10


def test_images_are_marked_at_the_rate_that_is_asked_for(make, monkeypatch):
    monkeypatch.setattr(anomalies, "knows_relative", lambda model: True)
    assert _read(make("anomalies").files[1])[0] == "name,relative_elbo_nats"  # if not asked
    made = make("anomalies", KnowingHalves(), score="elbo", false_alarms=0.3)
    header, rows = _read(made.files[1])
    assert header == "name,elbo_nats,p_value,marked"
    assert rows[0] == ["2", "nan", "0.10000", "yes"]  # no number: the most unusual of all
    assert [row[0] for row in rows] == ["2", "1", "3", "0", "5", "4"]
    assert [row[3] for row in rows] == ["yes"] * 4 + ["no"] * 2
    assert made.notes[0].startswith("4 of 6 images are marked, 66.67%; of usual images at most 30")


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (KnowingHalves(), {"false_alarms": 0.05}, "with 9 usual images.* can be told is 0.1"),
        (HalvesModel(), {"false_alarms": 0.1}, "this model knows no scores of usual images"),
        (HalvesModel(), {"false_alarms": 0.1, "refine": 2}, "and with --refine=5 only"),
    ],
)
def test_rates_that_cannot_be_told_are_refused(make, model, settings, message):
    with pytest.raises(UserError, match=f"^--false_alarms.*{message}"):
        make("anomalies", model, **settings)


def test_modes_that_refine_use_the_refined_posteriors(make):
    means = logits(halves_of(IMAGES / 255)) + 0.3
    both = make("reconstruct", num=6, refine=3).arrays
    np.testing.assert_allclose(both["images"], HalvesModel().decode(means), atol=1e-5)
    np.testing.assert_allclose(both["encoders_images"], IMAGES / 255, atol=0.003)
    gain = both["log_likelihood"] - both["encoders_log_likelihood"]
    np.testing.assert_allclose(gain, 30, rtol=1e-5)
    with np.load(make("latents", refine=3).files[0]) as written:
        np.testing.assert_allclose(written["mean"], means, rtol=1e-5)
        covariance = RefinedHalves.factor @ RefinedHalves.factor.T
        np.testing.assert_allclose(written["covariance"], [covariance] * 6, rtol=1e-5)
        np.testing.assert_allclose(written["refined_elbo"], SCORES - 0.007 + 30, rtol=1e-5)
    with pytest.raises(UserError, match="--refine does nothing: neither --start nor --end is an"):
        make("interpolate", refine=3, start="0,1", end="1,0")
