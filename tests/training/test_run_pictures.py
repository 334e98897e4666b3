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
    {"epoch": epoch, "train_elbo": -9, "test_elbo": -8, "test_log_likelihood": -7, "test_kl": 1.0}
    for epoch in (1, 2)
]


@pytest.fixture
def drawn(monkeypatch):
    """What would have been drawn, by the name of the function."""
    calls = {}
    for name in ("draw_panels", "draw_manifold", "draw_latents", "draw_curves"):
        monkeypatch.setattr(
            run_pictures, name, lambda *given, name=name: calls.update({name: given})
        )
    return calls


def _pictures(tmp_path, model, dataset, images, labels=None):
    dataset = dataset._replace(test=Split(images, labels), class_names=("cat", "dog"))
    return RunPictures(create_run(tmp_path / "run", Config.create(), dataset), model, dataset)


@pytest.mark.parametrize("num", [3, 50])
def test_epochs_show_the_same_test_images_and_the_same_latents(tmp_path, toy_dataset, drawn, num):
    images, labels = tiny_images(num, seed=1), np.arange(num) // 25  # in the order of classes
    model = tiny_cvae(seed=2)
    pictures = _pictures(tmp_path, model, toy_dataset, images, labels)
    found = []
    for epoch in (3, 4):
        pictures.draw_epoch(epoch, {"elbo": -12.345})
        path, (samples, pairs), title = drawn["draw_panels"]
        assert path.name == f"image_at_epoch_000{epoch}.png"
        assert title == f"Epoch {epoch}: test ELBO -12.3 nats per image (toy)"
        found.append(samples.sets[0])
    assert found[0].shape == (64, 6, 6, 1) and np.array_equal(*found)
    originals, reconstructions = pairs.sets
    shown = choose_shown(labels, num, 32)
    assert np.bincount(labels[shown]).tolist() == ([3] if num == 3 else [16, 16])
    np.testing.assert_array_equal(originals, images[shown] > 127)
    np.testing.assert_allclose(reconstructions, model(originals), rtol=1e-5)


def test_summary_decodes_the_grid_and_encodes_all_test_images(
    tmp_path, toy_dataset, drawn, monkeypatch
):
    monkeypatch.setattr(parts, "_PIXELS", 8 * 6 * 6)  # eight images in a part
    images, labels, model = tiny_images(20, seed=1), np.arange(20) % 2, tiny_cvae()
    _pictures(tmp_path, model, toy_dataset, images, labels).draw_summary(ROWS)
    latents = normal_quantile_grid(3, 3)
    decoded = 1 / (1 + np.exp(-model.decoder(latents).numpy()))
    np.testing.assert_allclose(drawn["draw_manifold"][1](latents), decoded, rtol=1e-5)
    _, means, shown, title, names = drawn["draw_latents"]
    expected = model.encoder((images > 127).astype(np.float32)).numpy()[:, :2]
    np.testing.assert_allclose(means, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(shown, labels)
    assert names == ("cat", "dog") and title == "Latents of the test images (toy)"
    _, rows, groups, _ = drawn["draw_curves"]
    columns = {name for group in groups for name in group.columns}
    assert rows == ROWS and columns > ROWS[0].keys() - {"epoch"}


@pytest.mark.parametrize(("latent_dim", "num"), [(1, 20), (2, 20), (3, 1)])
def test_manifold_is_drawn_in_two_dimensions_only(tmp_path, toy_dataset, latent_dim, num):
    model = tiny_cvae(latent_dim=latent_dim)
    _pictures(tmp_path, model, toy_dataset, tiny_images(num)).draw_summary(ROWS)
    names = {path.name for path in (tmp_path / "run").glob("*.png")}
    assert names - {"manifold.png"} == {"latents.png", "curves.png"}
    assert ("manifold.png" in names) == (latent_dim == 2)
