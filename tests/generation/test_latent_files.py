"""Latents as files: arrays, a table, and what the projector of TensorBoard reads."""

import csv

import imageio.v3 as iio
import numpy as np
import pytest

from cvae_tf.data.given_images import Images
from cvae_tf.generation import latent_files
from cvae_tf.models.vae.posterior import Posterior

PIXELS = np.random.default_rng(0).random((5, 8, 6, 1)).astype(np.float32)
POSTERIOR = Posterior(*np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32))
ELBO = np.random.default_rng(2).normal(size=5).astype(np.float32)
LABELS, NAMES = np.array([3, 1, 4, 1, 5]), ("0", "cat", "2", "sea horse", "dog\nand bone", "f")
SHOWN = ["sea horse", "cat", "dog\nand bone", "cat", "f"]


def _images(labels, names=None):
    return Images(PIXELS, labels, [f"{name}.png" for name in "abcde"], class_names=names)


@pytest.mark.parametrize(
    ("labels", "names", "shown"),
    [(None, None, None), (LABELS, None, list("31415")), (LABELS, NAMES, SHOWN)],
    ids=["unlabelled", "numbers", "names"],
)
def test_arrays_and_table_have_what_is_known_of_each_image(tmp_path, labels, names, shown):
    latent_files.write(tmp_path, _images(labels, names), POSTERIOR, {"elbo": ELBO})
    with np.load(tmp_path / "latents.npz") as arrays:
        for name, expected in (("mean", POSTERIOR.mean), ("logvar", POSTERIOR.logvar)):
            np.testing.assert_array_equal(arrays[name], expected)
        np.testing.assert_array_equal(arrays["elbo"], ELBO)
        found = arrays["label"].astype(str).tolist() if "label" in arrays else None
        assert found == shown
    with (tmp_path / "latents.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [f"{name}.png" for name in "abcde"]
    assert [row.get("label") for row in rows] == (shown or [None] * 5)
    columns = ["elbo_nats", *(f"{part}_{i}" for part in ("mean", "logvar") for i in (1, 2, 3))]
    found = [[float(row[column]) for column in columns] for row in rows]
    np.testing.assert_allclose(found, np.column_stack([ELBO, *POSTERIOR]), rtol=1e-6)


def test_projector_has_vectors_names_and_pictures_within_its_limit(tmp_path, monkeypatch):
    latent_files.write(tmp_path, _images(LABELS), POSTERIOR, {"elbo": ELBO})
    projector = tmp_path / "projector"
    vectors = np.loadtxt(projector / "vectors.tsv", delimiter="\t")
    np.testing.assert_allclose(vectors, POSTERIOR.mean, rtol=1e-5)
    lines = (projector / "metadata.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in lines[:2]] == [["name", "label"], ["a.png", "3"]]
    sprite = iio.imread(projector / "sprite.png")
    assert sprite.shape == (3 * 8, 3 * 6) and sprite[16:].max() == 0
    np.testing.assert_allclose(sprite[8:16, 6:12] / 255, PIXELS[4, ..., 0], atol=0.003)
    config = (projector / "projector_config.pbtxt").read_text()
    assert config.index("single_image_dim: 6") < config.index("single_image_dim: 8")
    monkeypatch.setattr(latent_files, "_LARGEST_SPRITE", 16)
    latent_files.write(tmp_path, _images(LABELS), POSTERIOR, {"elbo": ELBO})
    assert iio.imread(projector / "sprite.png").shape == (16, 12)
    lengths = [len((projector / f"{name}.tsv").read_text().splitlines())
               for name in ("vectors", "metadata")]  # fmt: skip
    assert lengths == [4, 5]
