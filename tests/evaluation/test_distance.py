"""Drawn images beside real ones, for a VAE: what is compared, with what, in which words."""

import json

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf import workflows
from cvae_tf.core.errors import UserError
from cvae_tf.distances.frechet import frechet_distance, statistics
from cvae_tf.evaluation import distance
from cvae_tf.evaluation.drawing_model import DrawingModel
from cvae_tf.evaluation.settings import EvaluationSettings

pytestmark = pytest.mark.usefixtures("quick_features")


def _drawing(images, path, **metadata):
    """A model that draws these images, one after the other."""
    numbers = np.arange(len(images), dtype=np.float32)[:, None]
    known = {
        "data": {"name": "own", "key": None, "sha256": None},
        "config": {"data_path": str(path), "seed": 0},
        **metadata,
    }
    return DrawingModel(
        lambda num, key: tf.constant(numbers[:num]),
        lambda latents: tf.constant(images[latents.numpy()[:, 0].astype(int)]),
        images.shape[1:],
        known,
    )


def test_test_images_themselves_have_no_distance(small_npz):
    images = np.load(small_npz)["x_test"][..., None].astype(np.float32) / 255
    found = distance.measure(_drawing(images, small_npz), EvaluationSettings())
    assert found.images == 32 and found.frechet == pytest.approx(0, abs=1e-3)
    assert found.share == (1, 1) and found.floor > 0
    dataset = workflows.load_dataset(data_path=str(small_npz))
    features = distance.image_features.for_dataset(dataset)
    rows = np.arange(32) * 128 // 32
    expected = frechet_distance(
        statistics(features.of(dataset.test.images)),
        statistics(features.of(dataset.train.images[rows])),
    )
    assert found.floor == pytest.approx(expected, rel=1e-5)


def test_black_and_white_models_are_compared_in_black_and_white(small_npz):
    images = np.load(small_npz)["x_test"][..., None].astype(np.float32) / 255
    drawn = 0.5 + 0.1 * np.sign(images - 0.5)  # pale, but of the same shapes
    pale = distance.measure(_drawing(drawn, small_npz), EvaluationSettings())
    model = _drawing(drawn, small_npz, black_and_white=True)
    found = distance.measure(model, EvaluationSettings())
    assert found.frechet == pytest.approx(0, abs=1e-3) and pale.frechet > 1
    assert "white above .5" in distance.as_table(found)


def test_features_without_labels_are_said_to_be_random(small_npz):
    images = np.load(small_npz)["x_train"][:32, ..., None].astype(np.float32) / 255
    settings = EvaluationSettings(features="random")
    found = distance.measure(_drawing(images, small_npz), settings)
    assert "random weights" in distance.as_table(found)


def test_images_that_are_gone_are_an_error_in_a_line(tmp_path):
    model = _drawing(np.zeros((2, 8, 8, 1), np.float32), tmp_path / "gone.npz")
    with pytest.raises(UserError, match="gone.npz: no such file"):
        distance.measure(model, EvaluationSettings())
    with pytest.raises(UserError, match="does not say what it was trained on"):
        distance.measure(model._replace(metadata={}), EvaluationSettings())


@pytest.mark.slow
def test_a_vae_is_evaluated_by_both(tmp_path, small_npz, capsys):
    run = workflows.train(
        run_dir=tmp_path / "run",
        data_path=str(small_npz),
        epochs=1,
        conditional=True,
        latent_dim=3,
        network="mlp",
        hidden="8",
        verbose=0,
    )
    settings = {"importance_samples": "1", "samples": 1}
    found = workflows.evaluate(run.directory, **settings)
    said = capsys.readouterr().out
    assert "ELBO" in said and "Frechet distance" in said and "recall" in said
    assert found.distance.frechet > found.distance.floor
    written = json.loads((run.directory / "evaluation.json").read_text())["distance"]
    assert written["distance"] == found.distance.frechet and written["neighbours"] == 3
    with pytest.raises(
        UserError, match="--data_path is for --measures=likelihood alone; here distance"
    ):
        workflows.evaluate(run.directory, measures="distance", data_path=str(small_npz))
    other = workflows.evaluate(run.directory, data_path=str(small_npz), verbose=0, **settings)
    assert other.distance is None  # drawn images are compared with the model's own ones
    exported = workflows.evaluate(run.saved_model, measures="distance", verbose=0)
    assert exported.frechet == pytest.approx(found.distance.frechet, rel=1e-3)
