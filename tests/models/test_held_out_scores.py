"""Scores of held-out images, and the p-values that follow from them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import METADATA

import cvae_tf
from cvae_tf.core.errors import UserError
from cvae_tf.exporting import loaded_model, writing
from cvae_tf.exporting.refined_model import RefinedModel
from cvae_tf.generation.generating import generate
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.vae import refinement_steps
from cvae_tf.models.vae.held_out_scores import SAMPLES, HeldOutScores
from cvae_tf.models.vae.model import CVAE
from cvae_tf.training import building


@pytest.fixture(scope="module")
def finished(digits):
    """An untrained model that has seen its test images."""
    model = CVAE(build_networks("patches", (28, 28, 1), latent_dim=2, seed=3), seed=3)
    model.compile(keras.optimizers.SGD())
    model.finish(digits)
    return model


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished") / "1"
    writing.write_model(finished, "saved_model", directory, METADATA)
    return directory


@pytest.fixture(scope="module")
def model(exported):
    return loaded_model.load(exported)


def test_p_values_count_what_is_as_low():
    scores = HeldOutScores()
    assert scores.known == []
    held_out = np.random.default_rng(0).normal(size=99).astype(np.float32)
    scores.take("elbo", held_out)
    assert scores.known == ["elbo"]
    new = np.array([-np.inf, *held_out[:5], 0.3, np.inf], np.float32)
    expected = [(1 + np.sum(held_out <= value)) / 100 for value in new]
    np.testing.assert_allclose(scores.p_values("elbo", tf.constant(new)), expected, rtol=1e-6)


def test_a_rate_of_usual_images_gets_p_values_up_to_it():
    random = np.random.default_rng(1)
    rates = []
    for _ in range(200):
        scores = HeldOutScores()
        scores.take("elbo", random.gamma(2.0, size=49))
        new = tf.constant(random.gamma(2.0, size=100), tf.float32)
        rates.append(np.mean(scores.p_values("elbo", new).numpy() <= 0.1))
    assert np.mean(rates) == pytest.approx(0.1, abs=4 * np.std(rates) / 200**0.5)


@pytest.mark.parametrize("steps", [0, refinement_steps.DEFAULT])
def test_an_exported_model_knows_how_unusual_its_test_images_are(model, digits, steps):
    scorer = RefinedModel(model, steps) if steps else model
    scores = scorer.mean_scores(digits.test.images, seed=3, num_samples=SAMPLES)["elbo"]
    p_values = scorer.p_values(scores)
    ranks = (1 + np.argsort(np.argsort(scores))) / (1 + len(scores))
    np.testing.assert_allclose(p_values, ranks, atol=0.1)  # other noise, the same images
    noise = np.random.default_rng(0).random(digits.test.images[:20].shape)
    unusual = scorer.mean_scores(noise, seed=3, num_samples=SAMPLES)["elbo"]
    np.testing.assert_allclose(scorer.p_values(unusual), 1 / (1 + len(scores)), rtol=1e-5)


def test_the_saved_model_has_the_scores_of_the_model(finished, exported):
    functions = tf.saved_model.load(str(exported))
    for kind, signature in (("elbo", "p_values"), ("elbo_refined", "p_values_refined")):
        held_out = next(v for v in finished.held_out_scores.variables if v.name == kind).numpy()
        scores = tf.constant(np.quantile(held_out[np.isfinite(held_out)], [0, 0.2, 0.5, 1]) + 0.01)
        scores = tf.cast(scores, tf.float32)
        expected = finished.held_out_scores.p_values(kind, scores)
        np.testing.assert_array_equal(
            getattr(functions, signature)(scores=scores)["p_values"], expected
        )
        assert len(np.unique(expected)) == 4


def test_scores_are_kept_with_the_run(small_npz, tmp_path, capsys):
    trained = cvae_tf.train(
        data_path=small_npz, epochs=1, network="tutorial", run_dir=tmp_path / "run", verbose=0
    ).directory
    run, model = building.load_trained(str(trained))[:2]
    assert model.held_out_scores.known == ["elbo", "elbo_refined"]
    assert "not finished" not in capsys.readouterr().out
    run.finishing.unlink()
    model = building.load_trained(str(trained)).model
    assert "not finished: its scores come without p-values" in capsys.readouterr().out
    assert model.held_out_scores.known == [] and "p_values" not in model.signatures()


def _anomalies(model, output, **settings):
    chosen = GenerationSettings.create("anomalies", **settings)
    return generate(model, "anomalies", chosen, output)


def test_images_are_marked_at_the_rate_of_false_alarms(model, digits, tmp_path):
    noise = np.random.default_rng(0).random((30, *digits.test.images.shape[1:]))
    data_path = tmp_path / "images.npz"
    mixed = np.concatenate([digits.test.images, (255 * noise).astype(np.uint8)])
    np.savez(data_path, images=mixed)
    made = _anomalies(model, tmp_path / "made", data_path=str(data_path), false_alarms=0.05)
    marked = made.arrays["marked"]
    assert marked[-30:].all()
    assert np.mean(marked[:-30]) == pytest.approx(0.05, abs=0.02)
    lines = (tmp_path / "made" / "anomalies.csv").read_text().splitlines()
    assert lines[0].endswith(",p_value,marked")
    assert sum(line.endswith(",yes") for line in lines) == marked.sum()
    assert f"{marked.sum():,} of {len(mixed):,} images are marked" in made.notes[0]


def test_rates_that_cannot_be_told_are_refused(model, tmp_path):
    with pytest.raises(UserError, match="smallest rate"):
        _anomalies(model, tmp_path / "a", false_alarms=1e-6)
    with pytest.raises(UserError, match="--refine=5 only"):
        _anomalies(model, tmp_path / "b", false_alarms=0.1, refine=2)
    assert not (tmp_path / "a" / "anomalies.csv").exists()
