import numpy as np
import pytest
from conftest import tiny_cvae, tiny_images

from cvae_tf.config import Config
from cvae_tf.data.datasets import Split
from cvae_tf.drawing import figures
from cvae_tf.training import run_directory, run_pictures
from cvae_tf.training.run_pictures import Gallery

ROWS = [
    {"epoch": 1, "train_elbo": -9, "test_elbo": -8, "test_log_likelihood": -7, "test_kl": 1.0},
    {"epoch": 2, "train_elbo": -7, "test_elbo": -6, "test_log_likelihood": -5, "test_kl": 1.0},
]


def _run(tmp_path, dataset):
    return run_directory.create_run(str(tmp_path / "run"), Config.create(), dataset)


@pytest.fixture
def drawn(monkeypatch):
    """What would have been drawn, by the name of the function."""
    calls = {}
    for name in ("draw_epoch", "draw_manifold", "draw_latents", "draw_curves"):
        monkeypatch.setattr(figures, name, lambda *given, name=name: calls.update({name: given}))
    return calls


def test_epochs_show_the_first_test_images_and_the_same_latents(tmp_path, toy_dataset, drawn):
    dataset = toy_dataset._replace(test=Split(tiny_images(50, seed=1), None))
    model = tiny_cvae(seed=2)
    gallery_ = Gallery(_run(tmp_path, dataset), model, dataset)
    gallery_.draw_epoch(3, -12.345)
    path, samples, originals, reconstructions, title = drawn["draw_epoch"]
    assert path.name == "image_at_epoch_0003.png"
    assert samples.shape == (64, 6, 6, 1)
    np.testing.assert_array_equal(originals, dataset.test.images[:32] > 127)
    np.testing.assert_allclose(reconstructions, model(originals), rtol=1e-5)
    assert title == "Epoch 3: test ELBO -12.3 nats per image (toy)"
    gallery_.draw_epoch(4, -12.0)
    np.testing.assert_array_equal(drawn["draw_epoch"][1], samples)


def test_few_test_images_are_shown_again_and_again(tmp_path, toy_dataset, drawn):
    dataset = toy_dataset._replace(test=Split(tiny_images(3, seed=1), None))
    Gallery(_run(tmp_path, dataset), tiny_cvae(), dataset).draw_epoch(0, -1.0)
    originals = drawn["draw_epoch"][2]
    np.testing.assert_array_equal(originals, dataset.test.images[np.arange(32) % 3] > 127)


def test_summary_decodes_the_grid_and_encodes_all_test_images(
    tmp_path, toy_dataset, drawn, monkeypatch
):
    monkeypatch.setattr(run_pictures, "_ENCODED_AT_ONCE", 8)
    dataset = toy_dataset._replace(test=toy_dataset.test._replace(labels=np.arange(20)))
    model = tiny_cvae()
    Gallery(_run(tmp_path, dataset), model, dataset).draw_summary(ROWS)
    decoded = model.decoder(figures.normal_quantile_grid(20)).numpy()
    np.testing.assert_allclose(drawn["draw_manifold"][1], 1 / (1 + np.exp(-decoded)), rtol=1e-5)
    means = model.encoder((dataset.test.images > 127).astype(np.float32)).numpy()[:, :2]
    np.testing.assert_allclose(drawn["draw_latents"][1], means, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(drawn["draw_latents"][2], np.arange(20))
    assert drawn["draw_curves"][1] == ROWS


@pytest.mark.parametrize(("latent_dim", "manifold"), [(1, False), (2, True), (3, False)])
def test_manifold_is_drawn_in_two_dimensions_only(tmp_path, toy_dataset, latent_dim, manifold):
    model = tiny_cvae(latent_dim=latent_dim)
    Gallery(_run(tmp_path, toy_dataset), model, toy_dataset).draw_summary(ROWS)
    names = {path.name for path in (tmp_path / "run").glob("*.png")}
    assert names == {"latents.png", "curves.png"} | ({"manifold.png"} if manifold else set())
