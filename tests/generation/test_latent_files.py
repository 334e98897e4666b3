import csv

import imageio.v3 as iio
import numpy as np
import pytest

from cvae_tf.data.given_images import Images
from cvae_tf.generation import latent_files
from cvae_tf.models.vae.posterior import Posterior


@pytest.fixture(params=[True, False], ids=["labelled", "unlabelled"])
def images(request):
    pixels = np.random.default_rng(0).random((5, 8, 6, 1)).astype(np.float32)
    labels = np.array([3, 1, 4, 1, 5]) if request.param else None
    return Images(pixels, labels, [f"{name}.png" for name in "abcde"])


@pytest.fixture
def written(tmp_path, images):
    random = np.random.default_rng(1)
    posterior = Posterior(*random.normal(size=(2, 5, 3)).astype(np.float32))
    elbo = random.normal(size=5).astype(np.float32)
    latent_files.write(tmp_path, images, posterior, {"elbo": elbo})
    return tmp_path, images, posterior, elbo


def test_arrays_come_back(written):
    directory, images, posterior, elbo = written
    with np.load(directory / "latents.npz") as arrays:
        np.testing.assert_array_equal(arrays["mean"], posterior.mean)
        np.testing.assert_array_equal(arrays["logvar"], posterior.logvar)
        np.testing.assert_array_equal(arrays["elbo"], elbo)
        assert ("label" in arrays) == (images.labels is not None)


def test_table_has_a_line_for_each_image(written):
    directory, images, posterior, elbo = written
    with (directory / "latents.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == images.names
    if images.labels is not None:
        assert [row["label"] for row in rows] == ["3", "1", "4", "1", "5"]
    for number, row in enumerate(rows):
        assert float(row["elbo_nats"]) == pytest.approx(elbo[number])
        for i in range(3):
            assert float(row[f"mean_{i + 1}"]) == pytest.approx(posterior.mean[number, i])
            assert float(row[f"logvar_{i + 1}"]) == pytest.approx(posterior.logvar[number, i])


def test_labels_have_their_names(tmp_path, images):
    if images.labels is None:
        return
    names = ("0", "cat", "2", "sea horse", "dog\nand bone", "f")
    images = images._replace(class_names=names)
    posterior = Posterior(np.zeros((5, 2), np.float32), np.zeros((5, 2), np.float32))
    latent_files.write(tmp_path, images, posterior, {})
    expected = ["sea horse", "cat", "dog\nand bone", "cat", "f"]
    with (tmp_path / "latents.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == expected
    with np.load(tmp_path / "latents.npz") as arrays:
        assert arrays["label"].tolist() == expected


def test_projector_has_vectors_names_and_pictures(written):
    directory, images, posterior, _ = written
    projector = directory / "projector"
    vectors = np.loadtxt(projector / "vectors.tsv", delimiter="\t")
    np.testing.assert_allclose(vectors, posterior.mean, rtol=1e-5)
    lines = (projector / "metadata.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["name", *images.names]
    sprite = iio.imread(projector / "sprite.png")
    assert sprite.shape == (3 * 8, 3 * 6)
    np.testing.assert_allclose(sprite[8:16, 6:12] / 255, images.pixels[4, ..., 0], atol=0.003)
    assert sprite[16:].max() == 0
    config = (projector / "projector_config.pbtxt").read_text()
    assert config.index("single_image_dim: 6") < config.index("single_image_dim: 8")


def test_sprite_keeps_within_what_tensorboard_takes(written, monkeypatch, tmp_path):
    _, images, posterior, elbo = written
    monkeypatch.setattr(latent_files, "_LARGEST_SPRITE", 16)
    (tmp_path / "small").mkdir()
    latent_files.write(tmp_path / "small", images, posterior, {"elbo": elbo})
    projector = tmp_path / "small" / "projector"
    assert iio.imread(projector / "sprite.png").shape == (16, 12)
    assert len((projector / "vectors.tsv").read_text().splitlines()) == 4
    assert len((projector / "metadata.tsv").read_text().splitlines()) == 5
