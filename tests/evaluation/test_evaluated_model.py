import numpy as np
import pytest
import tensorflow as tf
from conftest import METADATA, tiny_cvae, tiny_images

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.evaluation import evaluated_model
from cvae_tf.exporting import writing
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.pixels import Pixels


def _metadata(**settings):
    return {**METADATA, "config": {**METADATA["config"], **settings}}


@pytest.mark.parametrize(
    ("binarize", "likelihood"),
    [("dynamic", "bernoulli"), ("none", "continuous_bernoulli"), ("none", "gaussian")],
)
def test_an_exported_model_is_the_same_subject_as_the_model(tmp_path, binarize, likelihood):
    settings = {"binarize": binarize, "likelihood": likelihood}
    config = Config.create(**settings, latent_dim=3, seed=1)
    model = CVAE.from_settings(config, (8, 8, 1), steps_per_epoch=1)
    metadata = _metadata(**settings)
    writing.write_model(model, "saved_model", tmp_path / "1", metadata)
    loaded = evaluated_model.from_saved_model(str(tmp_path / "1"))
    original = evaluated_model.from_model(model, metadata)
    assert loaded[2:] == original[2:]
    pixels = tf.constant(np.random.default_rng(0).integers(0, 2, (5, 8, 8, 1)), tf.float32)
    for own, expected in zip(loaded.encode(pixels), original.encode(pixels), strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-5)
    latents = tf.random.stateless_normal([4, 3], [1, 2])
    np.testing.assert_allclose(
        loaded.decode(latents), original.decode(latents), rtol=1e-4, atol=1e-5
    )
    functions = tf.saved_model.load(str(tmp_path / "1"))
    np.testing.assert_allclose(
        functions.decode(latents)["images"],
        original.pixels.density.mean(original.decode(latents)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_model_of_an_older_version_is_refused(tmp_path):
    old = tf.Module()
    shapes = {"decode": [None, 2], "encode": [None, 8, 8, 1]}
    names = {"decode": "latents", "encode": "images"}
    signatures = {
        name: tf.function(
            lambda x: {"y": x}, input_signature=[tf.TensorSpec(shape, name=names[name])]
        ).get_concrete_function()
        for name, shape in shapes.items()
    }
    signatures["decode"] = tf.function(
        lambda latents: {"images": tf.zeros([1, 8, 8, 1])},
        input_signature=[tf.TensorSpec([None, 2], name="latents")],
    ).get_concrete_function()
    signatures["sample"] = signatures["decode"]
    tf.saved_model.save(old, str(tmp_path), signatures)
    with pytest.raises(UserError, match="older version"):
        evaluated_model.from_saved_model(str(tmp_path))


def test_drawn_pixels_are_white_as_often_as_their_grey_level_says():
    grey = np.tile(np.linspace(0, 1, 36).reshape(1, 6, 6, 1), (3000, 1, 1, 1)).astype(np.float32)
    drawn = evaluated_model.draw_pixels(grey, Pixels("dynamic"), seed=0)
    assert set(np.unique(drawn)) == {0, 1}
    deviation = np.sqrt(grey[0] * (1 - grey[0]) / 3000)
    assert np.all(np.abs(drawn.mean(axis=0) - grey[0]) <= 5 * deviation)


def test_drawn_pixels_are_always_the_same_and_follow_the_seed():
    grey = (tiny_images(10) / 255).astype(np.float32)
    dynamic = Pixels("dynamic")
    first, again, other = (evaluated_model.draw_pixels(grey, dynamic, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    np.testing.assert_array_equal(evaluated_model.draw_pixels(grey, Pixels(), 0), grey > 0.5)
    np.testing.assert_array_equal(evaluated_model.draw_pixels(grey, Pixels("none"), 0), grey)


def test_a_model_without_a_likelihood_is_refused(monkeypatch):
    model = tiny_cvae()
    monkeypatch.setattr(type(model), "evaluations", ())
    with pytest.raises(UserError, match="has no likelihood to evaluate"):
        evaluated_model.from_model(model, {})
