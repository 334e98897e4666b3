import numpy as np
import pytest
from conftest import create_run, tiny_cvae, tiny_images

from cvae_tf.config import Config
from cvae_tf.core import parts
from cvae_tf.data.datasets import Split
from cvae_tf.data.shown_images import choose_shown
from cvae_tf.drawing.manifold import normal_quantile_grid
from cvae_tf.training import run_pictures
from cvae_tf.training.run_pictures import RunPictures

ROWS = [
    {"epoch": 1, "train_elbo": -9, "test_elbo": -8, "test_log_likelihood": -7, "test_kl": 1.0},
    {"epoch": 2, "train_elbo": -7, "test_elbo": -6, "test_log_likelihood": -5, "test_kl": 1.0},
]


def _run(tmp_path, dataset):
    return create_run(str(tmp_path / "run"), Config.create(), dataset)


@pytest.fixture
def drawn(monkeypatch):
    """What would have been drawn, by the name of the function."""
    calls = {}
    for name in ("draw_panels", "draw_manifold", "draw_latents", "draw_curves"):
        monkeypatch.setattr(
            run_pictures, name, lambda *given, name=name: calls.update({name: given})
        )
    return calls


def test_epochs_show_the_same_test_images_and_the_same_latents(tmp_path, toy_dataset, drawn):
    labels = np.arange(50) // 25  # sorted: the first 32 are not enough
    dataset = toy_dataset._replace(test=Split(tiny_images(50, seed=1), labels))
    model = tiny_cvae(seed=2)
    pictures = RunPictures(_run(tmp_path, dataset), model, dataset)
    pictures.draw_epoch(3, {"elbo": -12.345})
    path, (samples, pairs), title = drawn["draw_panels"]
    assert path.name == "image_at_epoch_0003.png"
    assert samples.sets[0].shape == (64, 6, 6, 1)
    originals, reconstructions = pairs.sets
    shown = choose_shown(labels, 50, 32)
    assert np.bincount(labels[shown]).tolist() == [16, 16]
    np.testing.assert_array_equal(originals, dataset.test.images[shown] > 127)
    np.testing.assert_allclose(reconstructions, model(originals), rtol=1e-5)
    assert title == "Epoch 3: test ELBO -12.3 nats per image (toy)"
    pictures.draw_epoch(4, {"elbo": -12.0})
    np.testing.assert_array_equal(drawn["draw_panels"][1][0].sets, samples.sets)


def test_few_test_images_are_shown_once_each(tmp_path, toy_dataset, drawn):
    dataset = toy_dataset._replace(test=Split(tiny_images(3, seed=1), None))
    RunPictures(_run(tmp_path, dataset), tiny_cvae(), dataset).draw_epoch(0, {"elbo": -1.0})
    originals = drawn["draw_panels"][1][1].sets[0]
    np.testing.assert_array_equal(originals, dataset.test.images > 127)


def test_one_test_image_and_many_latents_are_drawn(tmp_path, toy_dataset):
    dataset = toy_dataset._replace(test=Split(tiny_images(1), None))
    run = _run(tmp_path, dataset)
    RunPictures(run, tiny_cvae(latent_dim=5), dataset).draw_summary(ROWS)
    assert run.latents.stat().st_size > 1000


def test_summary_decodes_the_grid_and_encodes_all_test_images(
    tmp_path, toy_dataset, drawn, monkeypatch
):
    monkeypatch.setattr(parts, "_PIXELS", 8 * 6 * 6)  # eight images in a part
    dataset = toy_dataset._replace(test=toy_dataset.test._replace(labels=np.arange(20)))
    model = tiny_cvae()
    RunPictures(_run(tmp_path, dataset), model, dataset).draw_summary(ROWS)
    latents = normal_quantile_grid(3, 3)
    decoded = model.decoder(latents).numpy()
    decode = drawn["draw_manifold"][1]
    np.testing.assert_allclose(decode(latents), 1 / (1 + np.exp(-decoded)), rtol=1e-5)
    means = model.encoder((dataset.test.images > 127).astype(np.float32)).numpy()[:, :2]
    np.testing.assert_allclose(drawn["draw_latents"][1], means, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(drawn["draw_latents"][2], np.arange(20))
    assert drawn["draw_curves"][1] == ROWS


def test_latents_have_the_names_of_their_classes(tmp_path, toy_dataset, drawn):
    test = toy_dataset.test._replace(labels=np.arange(20) % 2)
    dataset = toy_dataset._replace(test=test, class_names=("cat", "dog"))
    RunPictures(_run(tmp_path, dataset), tiny_cvae(), dataset).draw_summary(ROWS)
    _, _, labels, title, names = drawn["draw_latents"]
    np.testing.assert_array_equal(labels, test.labels)
    assert names == ("cat", "dog") and title == "Latents of the test images (toy)"


@pytest.mark.parametrize(("latent_dim", "manifold"), [(1, False), (2, True), (3, False)])
def test_manifold_is_drawn_in_two_dimensions_only(tmp_path, toy_dataset, latent_dim, manifold):
    model = tiny_cvae(latent_dim=latent_dim)
    RunPictures(_run(tmp_path, toy_dataset), model, toy_dataset).draw_summary(ROWS)
    names = {path.name for path in (tmp_path / "run").glob("*.png")}
    assert names == {"latents.png", "curves.png"} | ({"manifold.png"} if manifold else set())


def test_curves_of_all_terms_have_their_groups(tmp_path, toy_dataset, drawn):
    RunPictures(_run(tmp_path, toy_dataset), tiny_cvae(), toy_dataset).draw_summary(ROWS)
    groups = drawn["draw_curves"][2]
    terms = {name for group in groups for name in group.columns}
    assert terms > ROWS[0].keys() - {"epoch"}
    assert {group.unit for group in groups} == {"nats per image"}
