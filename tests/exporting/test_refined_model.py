"""An exported model by refined posteriors: the same arrays as from the model in memory."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import METADATA, vivid

from cvae_tf.core.errors import UserError
from cvae_tf.exporting import loading, writing
from cvae_tf.exporting.refined_model import RefinedModel, RegretModel
from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.vae.model import CVAE


@pytest.fixture(scope="module")
def model(exported_digits):
    return loading.load(exported_digits)


@pytest.fixture(scope="module")
def grey(digits):
    return (digits.test.images[:300] / 255).astype(np.float32)


def _log_joint(model, grey, latents):
    """By NumPy: log p(x, z) of black-and-white images, but for a constant."""
    parameters = model.functions.parameters(tf.constant(latents))["parameters"].numpy()
    white = (grey > 0.5).astype(np.float64)
    log_likelihood = white * parameters - np.logaddexp(0, parameters.astype(np.float64))
    return log_likelihood.sum(axis=(1, 2, 3)) - 0.5 * np.square(latents).sum(axis=1)


def test_inferred_latents_are_likelier_than_the_encoders(model, grey):
    found = model.infer(grey)
    num = len(grey)
    assert found.mean.shape == (num, 2) and found.factor.shape == (num, 2, 2)
    own, refined = (_log_joint(model, grey, mean) for mean in (model.encode(grey).mean, found.mean))
    assert np.all(refined > own - 1e-2) and refined.mean() > own.mean() + 0.5


def test_more_steps_are_no_worse(model, grey):
    values = [
        _log_joint(model, grey[:40], model.infer(grey[:40], steps).mean) for steps in (0, 2, 8)
    ]
    assert np.all(np.diff(values, axis=0) > -1e-2) and values[-1].mean() > values[0].mean()


def test_the_signature_takes_the_usual_number_of_steps(model, grey):
    found, usual = model.functions.infer(tf.constant(grey[:5])), model.infer(grey[:5], 5)
    np.testing.assert_allclose(found["mean"], usual.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        found["covariance"], usual.factor @ usual.factor.transpose(0, 2, 1), rtol=1e-3, atol=1e-6
    )


def test_a_refined_model_reconstructs_and_scores_better(model, grey):
    refined = RefinedModel(model, 5)
    latents = refined.encode(grey)
    np.testing.assert_array_equal(latents.mean, model.infer(grey, 5).mean)
    np.testing.assert_allclose(
        refined.reconstruct(grey), model.decode(latents.mean), rtol=1e-3, atol=1e-4
    )
    scores = {name: each.mean_scores(grey) for name, each in (("own", model), ("new", refined))}
    assert set(scores["new"]) == set(scores["own"])
    assert scores["new"]["elbo"].mean() > scores["own"]["elbo"].mean() + 0.5
    assert refined.main_score.title == "refined ELBO"


def test_regret_is_what_refinement_brings_to_the_score(model, grey):
    scorers = model, RefinedModel(model, 3), RegretModel(model, 3)
    own, refined, regret = (each.mean_scores(grey[:9], seed=2)["elbo"] for each in scorers)
    np.testing.assert_allclose(regret, own - refined, rtol=1e-5, atol=1e-4)
    assert scorers[-1].main_score.title == "ELBO minus refined ELBO"


def test_scores_are_log_likelihood_less_kl_and_repeat(model, grey):
    refined = RefinedModel(model, 3)
    first, again = (refined.score(grey[:9], seed=4) for _ in range(2))
    np.testing.assert_allclose(
        first["elbo"], first["log_likelihood"] - first["kl"], rtol=1e-5, atol=1e-4
    )
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    assert np.any(refined.score(grey[:9], seed=5)["elbo"] != first["elbo"])


def test_no_images_have_no_posteriors(model):
    found = model.infer(np.zeros((0, 28, 28, 1), np.float32))
    assert found.mean.shape == (0, 2)


def test_an_older_model_says_what_to_do(model, monkeypatch):
    monkeypatch.setattr(model, "abilities", ("sample", "decode", "encode"))
    with pytest.raises(UserError, match="export its run again"):
        RefinedModel(model, 5)


def test_steps_out_of_range_are_refused_in_use(model, grey):
    for steps in (-1, 2.5, True):
        with pytest.raises(UserError, match=f"steps={steps}; must be a whole number from 0 to"):
            RefinedModel(model, steps)
    with pytest.raises(tf.errors.InvalidArgumentError, match="steps must be"):
        model.functions.refine(tf.constant(grey[:2]), tf.constant(-1))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A model of 8 x 8 pixels and three classes."""
    networks = build_networks("mlp", (8, 8, 1), 2, seed=1, num_classes=3)
    model = vivid(CVAE(networks, seed=1, num_classes=3))
    directory = tmp_path_factory.mktemp("conditional") / "export" / "1"
    data = {**METADATA["data"], "image_shape": [8, 8, 1], "class_names": ["a", "b", "c"]}
    writing.write_model(model, "saved_model", directory, {**METADATA, "data": data})
    return loading.load(directory)


def test_every_image_is_refined_under_its_class(conditional):
    images = np.random.default_rng(0).integers(0, 2, (4, 8, 8, 1)).astype(np.float32)
    refined, labels = RefinedModel(conditional, 6), np.array([0, 2, 1, 2])
    mean = refined.encode(images, labels).mean
    for row, label in enumerate(labels):
        own = slice(row, row + 1)
        alone = refined.encode(images[own], labels[own]).mean
        np.testing.assert_allclose(mean[own], alone, atol=2e-3)
        others = refined.encode(images[own], (labels[own] + 1) % 3).mean
        assert np.abs(mean[own] - others).max() > 0.01, label
    scores = refined.mean_scores(images, 0, 5, labels)
    np.testing.assert_allclose(
        scores["elbo"], scores["log_likelihood"] - scores["kl"], rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(
        refined.reconstruct(images, labels), conditional.decode(mean, labels), atol=5e-3
    )


def test_no_images_of_no_class_have_no_posteriors(conditional):
    empty = np.zeros((0, 8, 8, 1), np.float32)
    assert conditional.infer(empty, labels=np.zeros(0, np.int32)).mean.shape == (0, 2)


def test_the_mean_of_many_scores_is_the_closed_form(model, grey):
    """The KL of a Gaussian is known; its mean over many samples must come near it."""
    kl = model.infer(grey[:3], 3).kl().numpy()
    scores = RefinedModel(model, 3).mean_scores(grey[:3], 1, 3000)
    np.testing.assert_allclose(scores["kl"], kl, atol=0.1)
