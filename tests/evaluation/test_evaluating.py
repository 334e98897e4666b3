"""What is measured: images under their own classes, drawn images beside real ones."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf
from helpers import binary_images, designed_model, tiny_images

from cvae_tf import api, distances
from cvae_tf.core.errors import UserError
from cvae_tf.data.given_images import Images
from cvae_tf.distances import for_dataset, frechet_distance, statistics
from cvae_tf.evaluation import evaluating, tables_and_pictures
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.models.vae.likelihoods import Pixels
from cvae_tf.models.vae.posterior import Posterior

RANDOM = EvaluationSettings(features="random")

LABELS = np.array([1, 0, 1, 1, 0, 1], np.int32)
PIXELS = binary_images(6)
SETTINGS = EvaluationSettings(importance_samples="1,4", samples=3, batch_size=2000)
LOGITS = np.array([-0.5, 1.5], np.float32)


def _model(latent_dim=1):
    """Of class y all pixels have the log-odds LOGITS[y], whatever the latents."""

    def encode(pixels, labels):
        mean = tf.stack([0.1 * tf.cast(labels, tf.float32)] * latent_dim, axis=1)
        return Posterior(mean, tf.zeros_like(mean) - 1.0)

    def decode(latents, labels):
        logits = tf.gather(tf.constant(LOGITS), labels) + 0 * latents[:, 0]
        return tf.ones([1, 6, 6, 1]) * logits[:, None, None, None]

    metadata = {"data": {"class_counts": [1, 3]}}
    known = {"metadata": metadata, "class_names": ("no", "yes")}
    return designed_model(encode, decode, latent_dim, (6, 6, 1), **known)


def _log_likelihoods():
    """Of each image in each class, by the formula; [N, 2]."""
    white = PIXELS.sum(axis=(1, 2, 3)).astype(float)[:, None]
    return white * LOGITS - 36 * np.logaddexp(0, LOGITS)


def test_images_are_measured_under_their_own_class_in_their_order():
    images = Images(PIXELS, LABELS, list("abcdef"))
    task = evaluating.Task(_model(), SETTINGS, PIXELS, LABELS)
    found = evaluating.measure(task, images)
    own = _log_likelihoods()[np.arange(6), LABELS]
    np.testing.assert_allclose(found.exact.log_evidence, own, atol=1e-3)
    np.testing.assert_allclose(found.bounds.log_likelihood, own, rtol=1e-5)
    np.testing.assert_allclose(found.posteriors.mean[:, 0], 0.1 * LABELS, rtol=1e-6)


@pytest.mark.parametrize(("latent_dim", "how"), [(1, "quadrature"), (3, "3")])
def test_the_classifier_is_bayes_rule(latent_dim, how):
    """The likelihoods do not depend on the latents, so that bounds are exact up to the KL."""
    model = _model(latent_dim)
    found = evaluating.classify(evaluating.Task(model, SETTINGS, PIXELS, LABELS))
    assert found.how == how
    np.testing.assert_allclose(evaluating.log_class_shares(model), np.log([0.25, 0.75]))
    log_joint = _log_likelihoods() + np.log([0.25, 0.75])
    np.testing.assert_array_equal(found.found, log_joint.argmax(axis=1))
    np.testing.assert_array_equal(found.is_wrong, log_joint.argmax(axis=1) != LABELS)
    if how == "quadrature":
        np.testing.assert_allclose(found.log_joint, log_joint, atol=1e-3)
        log_evidence = np.log(np.exp(log_joint).sum(axis=1))
        np.testing.assert_allclose(found.log_evidence, log_evidence, atol=1e-3)


def test_without_counts_all_classes_are_as_likely_and_what_cannot_classify_is_refused():
    model = _model()
    model.metadata = {}
    np.testing.assert_allclose(evaluating.log_class_shares(model), np.log([0.5, 0.5]))
    with pytest.raises(UserError, match="--classify: the cross-entropy of grey levels is no log-l"):
        model.pixels = Pixels("none")
        evaluating.check_model(model, EvaluationSettings(classify=True))
    with pytest.raises(UserError, match="--classify needs a conditional model"):
        model.class_names = ()
        evaluating.check_model(model, EvaluationSettings(classify=True))


def test_drawn_pixels_follow_the_seed_alone_and_are_of_the_kind_that_the_model_knows():
    grey = np.tile((tiny_images(12) / 255).astype(np.float32), (100, 1, 1, 1))
    first, again, other = (
        evaluating.draw_pixels(grey, Pixels("dynamic"), seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other) and set(np.unique(first)) == {0, 1}
    assert np.any(first[:12] != first[996:1008])  # of another batch
    np.testing.assert_allclose(first.mean(), grey.mean(), atol=0.01)
    np.testing.assert_array_equal(evaluating.draw_pixels(grey, Pixels(), 0), grey > 0.5)
    np.testing.assert_array_equal(evaluating.draw_pixels(grey, Pixels("none"), 0), grey)


def _drawing(images, path, **metadata):
    """A model that draws these images, one after the other."""
    known = {"data": {"name": "own", "key": None, "sha256": None}, **metadata}
    known["config"] = {"data_path": str(path), "seed": 0}

    def sample_latents(num, key):
        return tf.range(num)[:, tf.newaxis]

    def decode(latents, labels):
        return images[latents[:, 0]]

    own = {"image_shape": images.shape[1:], "metadata": known, "class_names": ()}
    return types.SimpleNamespace(sample_latents=sample_latents, decode=decode, **own)


@pytest.fixture(scope="module")
def held_out(small_npz):
    return np.load(small_npz)["x_test"][..., None].astype(np.float32) / 255


def test_test_images_themselves_have_no_distance(small_npz, held_out, capsys):
    found = evaluating.measure_distance(_drawing(held_out, small_npz), RANDOM)
    assert found.images == 32 and found.frechet == pytest.approx(0, abs=1e-3)
    assert found.share == (1, 1)
    assert "32 test images are few for a Frechet distance" in capsys.readouterr().err
    dataset = api.load_dataset(data_path=str(small_npz))
    features = for_dataset(dataset, "random")
    test, training = dataset.test.images, dataset.train.images[np.arange(32) * 128 // 32]
    floor = frechet_distance(*(statistics(features.of(each)) for each in (test, training)))
    assert found.floor == pytest.approx(floor, rel=1e-5) and floor > 0


def test_black_and_white_models_are_compared_in_black_and_white(small_npz, held_out):
    drawn = 0.5 + 0.1 * np.sign(held_out - 0.5)  # pale, but of the same shapes
    pale = evaluating.measure_distance(_drawing(drawn, small_npz), RANDOM)
    found = evaluating.measure_distance(_drawing(drawn, small_npz, black_and_white=True), RANDOM)
    assert found.frechet == pytest.approx(0, abs=1e-3) and pale.frechet > 1
    assert "white above .5" in tables_and_pictures.as_table(found)


@pytest.mark.slow
def test_a_vae_is_evaluated_by_both(tmp_path, conditional_run, small_npz, monkeypatch):
    """By a classifier of few steps."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(distances, "_FEWEST_STEPS", 3)
    found = api.evaluate(conditional_run.directory, tmp_path / "both.json", samples=1)
    written = json.loads((tmp_path / "both.json").read_text())["distance"]
    assert written["distance"] == found.distance.frechet > found.distance.floor
    exported = conditional_run.saved_model
    own = {"data_path": str(small_npz), "verbose": 0}
    moved = api.evaluate(exported, measures="distance", **own)
    assert moved.frechet == found.distance.frechet
    other = api.evaluate(exported, samples=1, **own)
    np.testing.assert_allclose(other.elbo, found.elbo, rtol=1e-4)
    assert other.distance is None  # drawn images are compared with the model's own ones
