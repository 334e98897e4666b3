"""Scores of held-out images, and the p-values that follow from them; how they are kept."""

import types

import numpy as np
import pytest
import tensorflow as tf
from conftest import METADATA, vivid

from cvae_tf.core.errors import LostImagesError, UserError
from cvae_tf.data.datasets import Split
from cvae_tf.exporting import loading, writing
from cvae_tf.exporting.refined_model import RefinedModel, RegretModel
from cvae_tf.exporting.relative_model import RelativeModel
from cvae_tf.generation.generating import generate
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.networks.building import Options, build_networks
from cvae_tf.models.vae import amounts, held_out_scores
from cvae_tf.models.vae.held_out_scores import HeldOutScores
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.training import finishing

SCORERS = {
    "encoders": ("p_values", lambda model: model),
    "relative": ("p_values_relative", RelativeModel),
    "refined": ("p_values_refined", lambda model: RefinedModel(model, amounts.STEPS)),
    "regret": ("p_values_regret", lambda model: RegretModel(model, amounts.STEPS)),
}


def _small(shape=(8, 8, 1), latent_dim=3, pixels=Pixels(), num_classes=0):  # noqa: B008
    networks = build_networks(
        "mlp", shape, latent_dim, seed=3, num_classes=num_classes, options=Options(hidden=(16,))
    )
    return CVAE(networks, 3, pixels, num_classes=num_classes)


@pytest.fixture(scope="module")
def halves(digits):
    """Half of the test images is held out, the other half is new."""
    images, labels = digits.test
    return Split(images[::2], labels[::2]), Split(images[1::2], labels[1::2])


@pytest.fixture(scope="module")
def finished(digits, halves):
    model = vivid(_small((28, 28, 1)))
    model.finish("held_out_scores", digits._replace(test=halves[0]))
    return model


@pytest.fixture(scope="module")
def model(finished, tmp_path_factory):
    """It as others use it."""
    directory = tmp_path_factory.mktemp("finished") / "1"
    writing.write_model(finished, "saved_model", directory, METADATA)
    return loading.load(directory)


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


@pytest.mark.parametrize("kind", SCORERS)
def test_an_exported_model_has_the_scores_of_the_model(finished, model, halves, kind):
    signature, scorer = SCORERS[kind]
    scorer, held_out = scorer(model), halves[0].images
    scores = scorer.mean_scores(held_out, seed=5, num_samples=amounts.SCORE_SAMPLES)["elbo"]
    p_values = scorer.p_values(scores)
    ranks = (1 + np.argsort(np.argsort(scores))) / (1 + len(scores))
    # Of the same images, by other noise.
    assert np.corrcoef(p_values, ranks)[0, 1] > 0.9 and np.abs(p_values - ranks).mean() < 0.08
    expected = finished.held_out_scores.p_values(kind, tf.constant(scores))
    np.testing.assert_array_equal(p_values, expected)
    found = getattr(model.functions, signature)(scores=tf.constant(scores))["p_values"]
    np.testing.assert_array_equal(found, expected)


def _anomalies(model, output, **settings):
    chosen = GenerationSettings.create("anomalies", **settings)
    return generate(model, "anomalies", chosen, output)


def test_images_that_were_never_seen_are_marked_at_the_rate(model, halves, tmp_path):
    new = halves[1].images
    np.savez(tmp_path / "images.npz", images=new)
    settings = {"data_path": str(tmp_path / "images.npz"), "false_alarms": 0.2}
    made = _anomalies(model, tmp_path / "made", **settings)
    marked = made.arrays["marked"]
    assert np.mean(marked) == pytest.approx(0.2, abs=3 * (2 * 0.16 / len(new)) ** 0.5)
    lines = (tmp_path / "made" / "anomalies.csv").read_text().splitlines()
    assert lines[0].endswith(",p_value,marked")
    assert sum(line.endswith(",yes") for line in lines) == marked.sum()
    assert made.notes[0].startswith(f"{marked.sum():,} of {len(marked):,} images are marked")
    assert len(made.notes) == 1  # which says that images are compared with themselves, here:
    assert "compared with" in _anomalies(model, tmp_path / "own", num=4).notes[-1]


def test_rates_that_cannot_be_told_are_refused(model, tmp_path):
    with pytest.raises(UserError, match="smallest rate"):
        _anomalies(model, tmp_path / "a", false_alarms=1e-6)
    with pytest.raises(UserError, match="--refine=5 only"):
        _anomalies(model, tmp_path / "b", false_alarms=0.1, refine=2)
    assert not (tmp_path / "a" / "anomalies.csv").exists()


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
    assert found == {SCORERS[kind][0] for kind in expected}


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
