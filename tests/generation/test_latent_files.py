"""Latents as files: arrays, a table, and what the projector of TensorBoard reads."""

import csv

import imageio.v3 as iio
import numpy as np
import pytest

from cvae_tf.data.given_images import Images
from cvae_tf.generation import latent_files
from cvae_tf.models.vae.posterior import Posterior

LABELS, NAMES = np.array([3, 1, 3, 1, 0]), ("0", "cat", "2", "sea horse")


@pytest.mark.parametrize(
    ("labels", "names", "shown"),
    [(None, None, None), (LABELS, NAMES, ["sea horse", "cat", "sea horse", "cat", "0"])],
)
def test_files_have_what_is_known_of_each_image(tmp_path, monkeypatch, labels, names, shown):
    random = np.random.default_rng(0)
    pixels, elbo = random.random((5, 8, 6, 1)).astype(np.float32), random.random(5)
    posterior, files = (
        Posterior(*random.normal(size=(2, 5, 3))),
        [f"{name}.png" for name in "abcde"],
    )
    images = Images(pixels, labels, files, class_names=names)
    monkeypatch.setattr(latent_files, "_LARGEST_SPRITE", 16)  # 2 x 2 images
    latent_files.write(tmp_path, images, posterior, {"elbo": elbo})
    with np.load(tmp_path / "latents.npz") as arrays:
        for name, expected in (*posterior._asdict().items(), ("elbo", elbo)):
            np.testing.assert_array_equal(arrays[name], expected)
        assert (arrays["label"].astype(str).tolist() if "label" in arrays else None) == shown
    with (tmp_path / "latents.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == files
    assert [row.get("label") for row in rows] == (shown or [None] * 5)
    columns = ["elbo_nats", *(f"{part}_{i}" for part in ("mean", "logvar") for i in (1, 2, 3))]
    found = [[float(row[column]) for column in columns] for row in rows]
    np.testing.assert_allclose(found, np.column_stack([elbo, *posterior]), rtol=1e-6)
    projector = tmp_path / "projector"
    vectors = np.loadtxt(projector / "vectors.tsv", delimiter="\t")
    np.testing.assert_allclose(vectors, posterior.mean[:4], rtol=1e-5)
    lines = (projector / "metadata.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["name", *files[:4]]
    sprite = iio.imread(projector / "sprite.png") / 255
    np.testing.assert_allclose(sprite[8:, :6], pixels[2, ..., 0], atol=0.003)
    config = (projector / "projector_config.pbtxt").read_text()
    assert config.index("single_image_dim: 6") < config.index("single_image_dim: 8")
