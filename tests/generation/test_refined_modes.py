"""Anomalies by each kind of score, and what `--refine` changes in the modes that take it."""

import numpy as np
import pytest
from generation_helpers import LABELS, HalvesModel, RefinedHalves, halves_of, lit_images, logits
from generation_helpers import make as make_with

from cvae_tf import registry
from cvae_tf.core.errors import UserError
from cvae_tf.generation import anomalies, generating

IMAGES = np.maximum(lit_images(), 60)
SCORES = -(IMAGES / 255).sum((1, 2, 3)) - 1 + 0.001 * 8


class RegretHalves(RefinedHalves):
    """As `RegretModel`."""

    def mean_scores(self, images, seed=0, num_samples=8, labels=None):
        refined = super().mean_scores(images)["elbo"]
        return {"elbo": self.unrefined.mean_scores(images)["elbo"] - 2 * refined}


class RelativeHalves(HalvesModel):
    """As `RelativeModel`."""

    def __init__(self, model):
        pass

    def mean_scores(self, images, seed=0, num_samples=8, labels=None):
        return {"elbo": 1 - super().mean_scores(images)["elbo"]}


@pytest.fixture(autouse=True)
def _no_real_models(monkeypatch):
    monkeypatch.setattr(generating, "RefinedModel", RefinedHalves)
    monkeypatch.setattr(generating, "RegretModel", RegretHalves)
    monkeypatch.setattr(anomalies, "RelativeModel", RelativeHalves)


@pytest.fixture
def make(tmp_path):
    np.savez(tmp_path / "images.npz", x_test=IMAGES, y_test=LABELS)

    def call(mode, model=None, output=tmp_path / "out", **settings):
        path = str(tmp_path / "images.npz")
        return make_with(model or HalvesModel(), mode, output, data_path=path, **settings)

    return call


def _read(path):
    header, *rows = path.read_text().splitlines()
    return header, [row.split(",") for row in rows]


@pytest.mark.parametrize(
    ("settings", "column", "expected"),
    [
        ({}, "elbo_nats", SCORES),
        ({"refine": 2}, "refined_elbo_nats", SCORES + 20),
        ({"score": "refined"}, "refined_elbo_nats", SCORES + 50),  # the usual five steps
        ({"score": "regret", "refine": 1}, "elbo_minus_refined_elbo_nats", -SCORES - 20),
        ({"score": "relative"}, "relative_elbo_nats", 1 - SCORES),
    ],
)
def test_images_are_sorted_by_the_score_that_is_asked_for(make, settings, column, expected):
    made = make("anomalies", num=2, **settings)
    picture, table = made.files
    header, rows = _read(table)
    order = np.argsort(expected)
    assert header == f"name,{column}" and [row[0] for row in rows] == [str(i) for i in order]
    np.testing.assert_allclose([float(row[1]) for row in rows], expected[order], atol=2e-3)
    np.testing.assert_allclose(made.arrays["scores"], expected, rtol=1e-5)
    np.testing.assert_allclose(made.arrays["images"], IMAGES[order[:2]] / 255, atol=1e-6)
    assert picture.stat().st_size > 1000


class KnowingHalves(HalvesModel):
    """Knows the scores of nine usual images: a p-value is the share that is as low."""

    usual = np.sort(SCORES)[[0, 0, 1, 2, 2, 2, 3, 4, 5]] + 0.5

    def mean_scores(self, images, seed=0, num_samples=8, labels=None):
        found = super().mean_scores(images)["elbo"]
        return {"elbo": np.where(found == found.max(), np.nan, found)}

    def p_values(self, scores):
        scores = np.where(np.isnan(scores), -np.inf, scores)
        return (1 + (self.usual <= scores[:, None]).sum(axis=1)) / 10


def test_images_are_marked_at_the_rate_that_is_asked_for(make, monkeypatch):
    monkeypatch.setattr(anomalies, "knows_relative", lambda model: True)
    assert _read(make("anomalies").files[1])[0] == "name,relative_elbo_nats"  # if not asked
    made = make("anomalies", KnowingHalves(), score="elbo", false_alarms=0.3)
    header, rows = _read(made.files[1])
    assert header == "name,elbo_nats,p_value,marked"
    best = str(SCORES.argmax())  # here its score is no number: the most unusual of all
    assert rows[0] == [best, "nan", "0.10000", "yes"]
    p_values = [float(row[2]) for row in rows[1:]]
    np.testing.assert_allclose(p_values, [0.1, 0.3, 0.4, 0.7, 0.8])
    assert [row[3] for row in rows[1:]] == ["yes", "yes", "no", "no", "no"]
    assert made.notes[0].startswith("3 of 6 images are marked, 50.00%; of usual images at most 30")


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (KnowingHalves(), {"false_alarms": 0.05}, "with 9 usual images.* can be told is 0.1"),
        (HalvesModel(), {"false_alarms": 0.1}, "this model knows no scores of usual images"),
        (HalvesModel(), {"false_alarms": 0.1, "refine": 2}, "and with --refine=5 only"),
    ],
)
def test_rates_that_cannot_be_told_are_refused(make, tmp_path, model, settings, message):
    with pytest.raises(UserError, match=f"^--false_alarms.*{message}"):
        make("anomalies", model, **settings)
    assert not (tmp_path / "out").exists()


def test_every_mode_that_refines_uses_the_refined_posteriors(make, tmp_path):
    asked = {
        "reconstruct": {"num": 6}, "interpolate": {"start": "2", "end": "5"},
        "neighbours": {"index": 1, "num": 900}, "denoise": {"num": 6}, "latents": {},
    }  # fmt: skip
    takes = {mode for mode in registry.MODES if "refine" in registry.MODES[mode].settings}
    assert takes == {*asked, "anomalies"}
    own, made = (
        {
            mode: make(mode, output=tmp_path / f"{mode} {steps}", refine=steps, **asked[mode])
            for mode in asked
        }
        for steps in (0, 3)
    )
    assert np.any(own["denoise"].arrays["images"] != made["denoise"].arrays["images"])
    means = logits(halves_of(IMAGES / 255)) + 0.3
    both, encoders = made["reconstruct"].arrays, own["reconstruct"].arrays["images"]
    np.testing.assert_allclose(both["images"], HalvesModel().decode(means), atol=1e-5)
    np.testing.assert_array_equal(both["encoders_images"], encoders)
    gain = both["log_likelihood"] - both["encoders_log_likelihood"]
    np.testing.assert_allclose(gain, 30, rtol=1e-5)
    way = halves_of(made["interpolate"].arrays["images"])
    np.testing.assert_allclose(logits(way[[0, -1]]), means[[2, 5]], atol=1e-4)
    near = logits(halves_of(made["neighbours"].arrays["images"]))
    covariance = RefinedHalves.factor @ RefinedHalves.factor.T
    np.testing.assert_allclose(near.mean(axis=0), means[1], atol=0.05)
    np.testing.assert_allclose(np.cov(near.T), covariance, atol=0.01)
    with np.load(made["latents"].files[0]) as written:
        np.testing.assert_allclose(written["mean"], means, rtol=1e-5)
        np.testing.assert_allclose(written["covariance"], [covariance] * 6, rtol=1e-5)
        np.testing.assert_allclose(written["refined_elbo"], SCORES - 0.007 + 30, rtol=1e-5)
    with pytest.raises(UserError, match="--refine does nothing: neither --start nor --end is an"):
        make("interpolate", refine=3, start="0,1", end="1,0")
