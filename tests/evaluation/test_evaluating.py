"""Who is evaluated: runs and exported models; drawn images beside real ones."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_images

from cvae_tf import api
from cvae_tf.core.errors import UserError
from cvae_tf.distances import classifier
from cvae_tf.distances.distances import frechet_distance, statistics
from cvae_tf.evaluation import distance, evaluating
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.models.vae.likelihoods import Pixels

RANDOM = EvaluationSettings(features="random")


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


def test_test_images_themselves_have_no_distance(small_npz, held_out):
    found = distance.measure(_drawing(held_out, small_npz), RANDOM)
    assert found.images == 32 and found.frechet == pytest.approx(0, abs=1e-3)
    assert found.share == (1, 1)
    dataset = api.load_dataset(data_path=str(small_npz))
    features = distance.for_dataset(dataset, "random")
    test, training = dataset.test.images, dataset.train.images[np.arange(32) * 128 // 32]
    floor = frechet_distance(*(statistics(features.of(each)) for each in (test, training)))
    assert found.floor == pytest.approx(floor, rel=1e-5) and floor > 0


def test_black_and_white_models_are_compared_in_black_and_white(small_npz, held_out):
    drawn = 0.5 + 0.1 * np.sign(held_out - 0.5)  # pale, but of the same shapes
    pale = distance.measure(_drawing(drawn, small_npz), RANDOM)
    found = distance.measure(_drawing(drawn, small_npz, black_and_white=True), RANDOM)
    assert found.frechet == pytest.approx(0, abs=1e-3) and pale.frechet > 1
    assert "white above .5" in distance.as_table(found)


def test_images_that_are_gone_are_an_error_in_a_line(tmp_path):
    model = _drawing(np.zeros((2, 8, 8, 1), np.float32), tmp_path / "gone.npz")
    with pytest.raises(UserError, match="gone.npz: no such file"):
        distance.measure(model, EvaluationSettings())


@pytest.mark.slow
def test_a_vae_is_evaluated_by_both(tmp_path, conditional_run, small_npz, monkeypatch):
    """By a classifier of few steps."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(classifier, "_FEWEST_STEPS", 3)
    found = api.evaluate(conditional_run.directory, tmp_path / "both.json", samples=1)
    written = json.loads((tmp_path / "both.json").read_text())["distance"]
    assert written["distance"] == found.distance.frechet > found.distance.floor
    exported = conditional_run.saved_model
    own = {"data_path": str(small_npz), "verbose": 0}
    with pytest.raises(UserError, match="--data_path is for --measures=likelihood alone; here di"):
        api.evaluate(exported, measures="distance", **own)
    other = api.evaluate(exported, samples=1, **own)
    np.testing.assert_allclose(other.elbo, found.elbo, rtol=1e-4)
    assert other.distance is None  # drawn images are compared with the model's own ones
