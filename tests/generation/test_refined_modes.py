"""Modes with --refine, by a real exported model."""

import numpy as np
import pytest

from cvae_tf import registry
from cvae_tf.core.errors import UserError
from cvae_tf.exporting import loading
from cvae_tf.exporting.refined_model import RefinedModel, RegretModel
from cvae_tf.generation.generating import generate
from cvae_tf.generation.settings import GenerationSettings

MODES = [name for name in registry.MODES if "refine" in registry.MODES[name].settings]


@pytest.fixture(scope="module")
def model(exported_digits):
    return loading.load(exported_digits)


@pytest.fixture(scope="module")
def data_path(tmp_path_factory, digits):
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, images=digits.test.images[:12])
    return str(path)


def _make(model, mode, data_path, output, **settings):
    chosen = GenerationSettings.create(mode, data_path=data_path, **settings)
    return generate(model, mode, chosen, output)


@pytest.mark.parametrize("mode", MODES)
def test_refined_posteriors_change_what_is_made(model, mode, data_path, tmp_path):
    own, refined = (
        _make(model, mode, data_path, tmp_path / str(steps), refine=steps) for steps in (0, 4)
    )
    assert [path.name for path in own.files] == [path.name for path in refined.files]
    assert all(path.exists() for path in refined.files)
    both = own.arrays.keys() & refined.arrays.keys()
    changed = [name for name in both if np.any(own.arrays[name] != refined.arrays[name])]
    assert changed


def test_reconstructions_stand_beside_the_encoders(model, data_path, tmp_path):
    made = _make(model, "reconstruct", data_path, tmp_path, num=5, refine=5)
    own = _make(model, "reconstruct", data_path, tmp_path / "own", num=5)
    np.testing.assert_array_equal(made.arrays["encoders_images"], own.arrays["images"])
    gain = made.arrays["log_likelihood"] - made.arrays["encoders_log_likelihood"]
    assert gain.shape == (5,) and gain.mean() > 0


def test_refined_latents_are_written_with_their_covariances(model, data_path, tmp_path):
    _make(model, "latents", data_path, tmp_path, refine=3)
    with np.load(tmp_path / "latents.npz") as written:
        expected = RefinedModel(model, 3)
        np.testing.assert_allclose(written["covariance"].shape, (12, 2, 2))
        variances = np.exp(written["logvar"])
        diagonal = np.diagonal(written["covariance"], axis1=1, axis2=2)
        np.testing.assert_allclose(variances, diagonal, rtol=1e-4)
        with np.load(data_path) as given:
            np.testing.assert_allclose(
                written["mean"], expected.encode(given["images"]).mean, rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize(
    ("score", "column"),
    [("elbo", "elbo"), ("refined", "refined_elbo"), ("regret", "elbo_minus_refined_elbo")],
)
def test_images_are_sorted_by_the_score_that_is_asked_for(
    model, data_path, tmp_path, score, column
):
    made = _make(model, "anomalies", data_path, tmp_path, score=score, num=3)
    scorer = {"refined": RefinedModel(model, 5), "regret": RegretModel(model, 5)}.get(score, model)
    with np.load(data_path) as given:
        expected = np.sort(scorer.mean_scores(given["images"])["elbo"])
    header, *rows = (tmp_path / "anomalies.csv").read_text().splitlines()
    assert header == f"name,{column}_nats"
    np.testing.assert_allclose([float(row.split(",")[1]) for row in rows], expected, atol=2e-3)
    np.testing.assert_array_equal(np.sort(made.arrays["scores"]), expected)


@pytest.mark.parametrize("score", ["elbo", "relative"])
def test_steps_without_refinement_are_refused(score):
    with pytest.raises(UserError, match=f"--refine=3 does nothing with --score={score}"):
        GenerationSettings.create("anomalies", score=score, refine=3)


def test_relative_scores_are_what_images_are_sorted_by_if_they_are_known(
    model, exported_finished_digits, tmp_path
):
    finished = loading.load(exported_finished_digits)
    settings = GenerationSettings.create("anomalies", num=3)
    made = generate(finished, "anomalies", settings, tmp_path)
    header, *rows = (tmp_path / "anomalies.csv").read_text().splitlines()
    assert header == "name,relative_elbo_nats,p_value"
    scores = [float(row.split(",")[1]) for row in rows]
    np.testing.assert_allclose(scores, np.sort(made.arrays["scores"]), atol=1e-3)
    own = loading.as_loaded(finished).mean_scores(made.arrays["images"])["elbo"]
    assert np.all(np.abs(np.array(scores[:3])) < np.abs(own))
    with pytest.raises(UserError, match="^--score=relative: this model knows no scores"):
        settings = GenerationSettings.create("anomalies", num=3, score="relative")
        generate(model, "anomalies", settings, tmp_path)


def test_neighbours_lie_as_the_covariance_says(model, data_path, tmp_path, monkeypatch):
    decoded = []
    decode = RefinedModel.decode
    monkeypatch.setattr(
        RefinedModel,
        "decode",
        lambda self, latents, labels=None: decoded.append(latents) or decode(self, latents, labels),
    )
    _make(model, "neighbours", data_path, tmp_path, refine=3, num=2000, index=1)
    with np.load(data_path) as given:
        posterior = RefinedModel(model, 3).encode(given["images"][1:2])
    latents = np.asarray(decoded[-1], np.float64)
    np.testing.assert_allclose(
        np.cov(latents.T), posterior.factor[0] @ posterior.factor[0].T, rtol=0.15, atol=1e-5
    )


def test_a_model_without_an_encoder_is_refused(model, data_path, tmp_path, monkeypatch):
    monkeypatch.setattr(
        model, "abilities", tuple(name for name in model.abilities if name != "refine")
    )
    with pytest.raises(UserError, match="^This model cannot refine"):
        _make(model, "anomalies", data_path, tmp_path / "new", refine=5)
    assert not (tmp_path / "new").exists()
