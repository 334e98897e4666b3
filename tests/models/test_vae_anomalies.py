"""Scores of held-out images, p-values, how they are kept; what images are sorted by."""

import itertools
import types

import numpy as np
import pytest
import tensorflow as tf
from helpers import vivid
from scipy import ndimage

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Split
from cvae_tf.models import FAMILIES
from cvae_tf.models.networks import Options, build_networks
from cvae_tf.models.vae import anomalies, family
from cvae_tf.models.vae.anomalies import HeldOutScores, scores_of
from cvae_tf.models.vae.likelihoods import LIKELIHOODS, Pixels
from cvae_tf.models.vae.model import CVAE
from cvae_tf.training import run_training


def _small(shape=(8, 8, 1), latent_dim=3, pixels=Pixels()):  # noqa: B008
    networks = build_networks("mlp", shape, latent_dim, seed=3, options=Options(hidden=(16,)))
    return CVAE(networks, 3, pixels)


def test_p_values_count_what_is_as_low():
    scores = HeldOutScores()
    assert scores.count == 0
    held_out = np.random.default_rng(0).normal(size=99).astype(np.float32)
    alike = np.zeros((99, 2))  # as complex as each other: a score is relative to their mean
    scores.take(np.append(held_out[:98], np.nan), alike)
    assert scores.count == 99
    usual = held_out[:98].mean()
    above = np.sort((held_out[:98] - usual) * 98 / 97)  # each beside the mean of the others
    new = np.array([-np.inf, *(above[:5] + 1e-4), 0.3, np.inf, np.nan], np.float32)
    found = scores.compare(tf.constant(new + usual), tf.zeros([9, 2]))
    expected = [(2 + np.sum(above <= value)) / 100 for value in new]
    np.testing.assert_allclose(found.p_value, expected, rtol=1e-6)
    np.testing.assert_allclose(found.score, new, atol=1e-4)


@pytest.mark.parametrize("binarize", ["threshold", "dynamic"])
def test_new_usual_images_have_low_p_values_as_often_as_the_p_values_say(digits, binarize):
    images = digits.test.images[:, ::3, ::3]
    held_out, new = images[::2], images[1::2]
    model = vivid(_small((10, 10, 1), pixels=Pixels(binarize)))
    FAMILIES["vae"].fit_after_training(
        model, "held_out_scores", digits._replace(test=Split(held_out, None))
    )
    ranks = (1 + np.argsort(np.argsort(model.anomaly(held_out).score))) / (1 + len(held_out))
    assert np.abs(model.anomaly(held_out).p_value - ranks).mean() < 0.08  # each one's own place
    rate = pytest.approx(0.2, abs=3 * (2 * 0.16 / len(new)) ** 0.5)
    assert np.mean(model.anomaly(new).p_value <= 0.2) == rate


def test_scores_are_mean_elbos_by_noise_that_all_images_share(digits):
    model = _small((10, 10, 1), pixels=Pixels("dynamic"))
    grey = tf.constant(digits.test.images[:6, ::3, ::3] / 255, tf.float32)
    elbos, known = anomalies.elbos_and_complexities(model, grey, None)
    for own in (slice(2, 3), slice(1, 6, 2)):  # of an image alone, in another place
        alone = anomalies.elbos_and_complexities(model, grey[own], None)
        np.testing.assert_allclose(alone[0], elbos[own], rtol=1e-5)
        np.testing.assert_allclose(alone[1], known[own], rtol=1e-5)
    keys = [tf.constant([1, i]) for i in range(400)]
    draws = [model.elbo(model.pixels.binarize(grey, key), key).elbo for key in keys]
    deviation = np.std(draws, axis=0) / 8**0.5
    assert np.all(np.abs(elbos - np.mean(draws, axis=0)) < 4 * deviation)


def test_as_many_images_are_scored_as_are_affordable(monkeypatch):
    monkeypatch.setattr(family, "_FEWEST_SCORED", 5)
    monkeypatch.setattr(family, "_MOST_PIXELS", 64 * 7 * 16)
    own, images = _small(), np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1))
    assert "anomaly" not in own.abilities
    FAMILIES["vae"].fit_after_training(
        own, "held_out_scores", types.SimpleNamespace(test=Split(images.astype(np.uint8), None))
    )
    assert own.held_out_scores.count == 7
    assert own.smallest_p_value == 1 / 8 and "anomaly" in own.abilities


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_heat_is_what_a_pixel_lacks_beside_the_nearest_reconstruction_beyond_what_is_usual(name):
    parts = LIKELIHOODS[name].decoder_parts(1)
    own = {"seed": 3, "options": Options(hidden=(16,)), **parts}
    networks = build_networks("mlp", (8, 8, 1), 3, **own)
    model = vivid(CVAE(networks, 3, Pixels.of(name)))
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 1)).astype(np.uint8)
    held_out = types.SimpleNamespace(test=Split(images, None))
    for part in ("held_out_scores", "usual_heat"):
        FAMILIES["vae"].fit_after_training(model, part, held_out)
    grey = model.pixels.binarize_mode(tf.constant(images / 255, tf.float32))
    likelihood, outputs = LIKELIHOODS[name], model.parameters(model.encode(grey).mean)
    padded = np.pad(outputs, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="symmetric")
    blurred, stays = np.full((30, 8, 8), np.inf), likelihood.given_image is not None
    for down, right in [(1, 1)] if stays else itertools.product(range(3), range(3)):
        moved = tf.constant(padded[:, down : down + 8, right : right + 8])
        drawn, lacks = likelihood.mean(moved), np.empty((30, 8, 8))
        for row, column in itertools.product(range(8), range(8)):  # one pixel is drawn right
            one = np.zeros((8, 8, 1), np.float32)
            one[row, column] = 1
            lacks[:, row, column] = likelihood.log_prob(grey + one * (drawn - grey), moved)
        lacks -= np.array(likelihood.log_prob(grey, moved))[:, None, None]
        if stays:  # what comes after a pixel does not count for it
            drawn, own = (likelihood.log_prob_of_values(each, moved) for each in (drawn, grey))
            lacks = np.array(drawn - own).sum(axis=-1)
        own = ndimage.gaussian_filter(lacks, (0, 1, 1), mode="constant", truncate=3)
        blurred = np.minimum(blurred, own)
    expected = np.maximum(blurred - blurred.mean(axis=0) - 2 * blurred.std(axis=0), 0)
    found = model.anomaly(images, false_alarms=0.2)
    np.testing.assert_allclose(found.heat_map, expected, atol=2e-3 * expected.max())
    np.testing.assert_array_equal(found.is_anomalous, found.p_value <= 0.2)


def test_a_rate_of_false_alarms_that_too_few_images_tell_is_warned_of(capsys):
    model = _small()
    model.held_out_scores.take(np.arange(9.0), np.zeros((9, 2)))
    assert not model.anomaly(np.ones((2, 8, 8, 1)), false_alarms=0.05).is_anomalous.any()
    assert "nothing is called anomalous below 0.1." in capsys.readouterr().err
    with pytest.raises(UserError, match="^false_alarms: must be a number between 0 and 1"):
        model.anomaly(np.ones((2, 8, 8, 1)), false_alarms=5)


# What scores are to be expected of images by their complexity.


def test_variation_is_that_of_neighbours():
    images = np.random.default_rng(0).random((2, 4, 6, 5, 3)).astype(np.float32)
    images[0, 0] = 0.5
    sums = np.zeros((2, 4))
    for axis in (2, 3):
        sums += np.abs(np.diff(images.astype(float), axis=axis)).sum(axis=(2, 3, 4))
    expected = np.log((sums + 1) / (6 * 5 * 3))
    found = anomalies.complexities(*map(tf.constant, images))  # of images and reconstructions
    np.testing.assert_allclose(found, expected.T, rtol=1e-5)


def test_scores_are_relative_to_the_parabola_that_expects_more_of_the_others():
    random = np.random.default_rng(3)
    known, scores = random.normal(size=(30, 2)), random.normal(size=30)
    trends, above = anomalies.fit_trends(known, scores)
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
    found = anomalies.relative_scores(*given)
    np.testing.assert_allclose(found, scores[:9] - np.maximum(*expected), atol=1e-4)


def test_few_images_and_such_as_are_alike_have_a_trend_too():
    near = np.linspace(-1, 1, 30)
    for places, scores, expected in (
        ([-2.0, -2, -2], [1.0, 2, 6], [3, 3, 3]), ([-2.0, -1], [np.nan, -np.inf], [0, 0]),
        ([-2.0, -1, -1], [4.0, 7, 9], [4, 8, 8]), (-2 + 1e-4 * near, *[5 + 0.1 * near] * 2),
    ):  # fmt: skip
        trend, _ = anomalies.fit_trend(np.array(places), np.array(scores))
        found = anomalies.expected_score(*(np.array(each, np.float32) for each in (places, trend)))
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
    known, heat = (np.arange(9.0), np.zeros((9, 2))), np.ones((2, 8, 8))
    monkeypatch.setattr(family, "_score_held_out", lambda m, _: m.held_out_scores.take(*known))
    monkeypatch.setattr(family, "_find_usual_heat", lambda m, _: m.usual_heat.take(heat))
    run_training.fit_after_training(run, model, digits, step=4)
    assert run_training.restore_fitted(run, again) == []
    for part, same in zip(model.fitted_parts.values(), again.fitted_parts.values(), strict=True):
        for first, second in zip(part.variables, same.variables, strict=True):
            np.testing.assert_array_equal(first, second)
    missing = ["the model cannot tell anomalies", "the model cannot show where an image is unusual"]
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

    monkeypatch.setattr(family, "_score_held_out", fail)
    monkeypatch.setattr(family, "_find_usual_heat", fail)
    run_training.fit_after_training(run, _with_scores(), digits, step=4)
    assert "so the model cannot tell anomalies" in capsys.readouterr().err
    assert not run.finishing.exists()


# What images are sorted by, under their labels.


LABELS = np.array([0, 2, 1, 2, 9], np.int32)


@pytest.fixture(scope="module")
def grey(digits):
    return (digits.test.images[:5] / 255).astype(np.float32)


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
    np.testing.assert_allclose(alone, expected.score, 1e-3, 1e-3)  # whatever it stands beside
    assert scores_of(gan, grey).measure.name == "logit"
    with pytest.raises(UserError, match="^--score=elbo: this model's score is its logit"):
        scores_of(gan, grey, kind="elbo")
    bare = vae.from_config(vae.get_config())
    with pytest.raises(UserError, match="^--score=relative: this model knows no scores"):
        scores_of(bare, grey, kind="relative")
