"""What `generate.py` makes with a conditional model, which here draws its label."""

import numpy as np
import pytest
from generation_helpers import HalvesModel, make

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key, numpy_generator
from cvae_tf.drawing.manifold import normal_quantile_grid
from cvae_tf.models.vae.posterior import Posterior

LABELS = np.array([2, 0, 1, 2])


class Drawer(HalvesModel):
    """Images whose upper half is the first latent, and whose lower half is the label / 10."""

    is_conditional, class_names = True, ("ant", "bee", "cat")

    def decode(self, latents, labels):
        images = np.zeros((len(latents), 8, 8, 1), np.float32)
        images[:, :4] = np.clip(np.asarray(latents, np.float32)[:, :1, None, None], 0, 1)
        images[:, 4:] = np.asarray(labels, np.float32)[:, None, None, None] / 10
        return images

    def labels_in_turn(self, num):
        return np.arange(num) % 3

    def sample(self, num, seed, labels=None):
        latents = np.random.default_rng(seed).uniform(size=(num, 2))
        return self.decode(latents, self.labels_in_turn(num) if labels is None else labels)

    def encode(self, images, labels):
        assert len(labels) == len(images)
        mean = np.stack([images[:, 0, 0, 0], np.asarray(labels, np.float32)], axis=1)
        return Posterior(mean, np.full_like(mean, -100.0))

    def reconstruct(self, images, labels):
        return self.decode(self.encode(images, labels).mean, labels)

    def mean_scores(self, images, seed, num_samples=8, labels=None):
        return {"elbo": -10.0 * labels - images[:, 0, 0, 0]}


@pytest.fixture
def data_path(tmp_path):
    images = np.zeros((4, 8, 8, 1), np.uint8)
    images[:, 2:6, 2:6] = 200
    images[:, 0, 0, 0] = [10, 20, 30, 40]
    names = ["cat", "bee", "ant"]  # in another order than the model's
    np.savez(tmp_path / "images.npz", images=images, labels=2 - LABELS, class_names=names)
    return str(tmp_path / "images.npz")


def _images(mode, output, **settings):
    return make(Drawer(), mode, output, **settings).arrays["images"]


def _labels_in(images):
    return np.rint(10 * images[..., 7, 0, 0]).astype(int)


def _uppers_in(images):
    return images[..., 0, 0, 0]


def test_images_of_a_class_are_samples_with_its_label(tmp_path):
    images = _images("class", tmp_path, label="cat", num=5, seed=3, spread=0.5)
    assert set(_labels_in(images)) == {2}
    latents = numpy_generator(3, Purpose.CLASS_SAMPLES).standard_normal((5, 2))
    np.testing.assert_allclose(_uppers_in(images), np.clip(0.5 * latents[:, 0], 0, 1), rtol=1e-6)


def test_modes_show_all_classes_in_turn_or_one(tmp_path):
    assert _labels_in(_images("samples", tmp_path, num=7)).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert set(_labels_in(_images("samples", tmp_path, num=7, label="bee"))) == {1}
    own, every = (_images("manifold", tmp_path, **more) for more in ({"label": "bee"}, {}))
    assert set(_labels_in(own)) == {1}
    np.testing.assert_array_equal(_labels_in(every), np.repeat([0, 1, 2], 64))
    grid = normal_quantile_grid(8, 8)[:, 0].clip(0, 1)
    np.testing.assert_allclose(_uppers_in(every), np.tile(grid, 3))
    made = make(Drawer(), "plane", tmp_path)
    assert set(_labels_in(made.arrays["images"])) == {0} and "class ant" in made.notes[0]
    assert set(_labels_in(_images("plane", tmp_path, label="cat"))) == {2}


def test_tables_have_a_row_for_each_latent_and_a_column_for_each_class(
    tmp_path, data_path, monkeypatch
):
    styles = _images("styles", tmp_path, num=8, seed=1)
    of_images = _images("transfer", tmp_path, num=16, data_path=data_path)
    monkeypatch.setattr(Drawer, "abilities", (*Drawer.abilities, "sample_latents"))  # a mixture
    of_mixture = _images("styles", tmp_path, num=8, seed=1)
    latents = numpy_generator(1, Purpose.STYLES).standard_normal((2, 2))
    of_seed = Drawer().sample_latents(2, derived_key(1, Purpose.STYLES)).numpy()
    grey = np.array([10, 20, 30, 40]) / 255  # of the images that are drawn in other classes
    for found, uppers in ((styles, latents[:, 0]), (of_mixture, of_seed[:, 0]), (of_images, grey)):
        np.testing.assert_array_equal(_labels_in(found), [[0, 1, 2]] * len(uppers))
        expected = uppers.clip(0, 1)[:, None].repeat(3, axis=1)
        np.testing.assert_allclose(_uppers_in(found), expected, rtol=1e-5)


def test_images_are_seen_with_their_own_classes_by_name(tmp_path, data_path):
    images = _images("reconstruct", tmp_path, num=4, data_path=data_path)
    assert _labels_in(images).tolist() == LABELS.tolist()
    near = _images("neighbours", tmp_path, index=2, num=3, data_path=data_path)
    assert set(_labels_in(near)) == {LABELS[2]}
    worst = _images("anomalies", tmp_path, num=1, data_path=data_path)
    assert _uppers_in(worst)[0] == pytest.approx(40 / 255)  # the higher of the two cats
    lowers = _images("denoise", tmp_path, num=4, data_path=data_path)[:, 7, 0, 0]
    assert np.all((lowers > 0) & (lowers < 0.2))  # means over all classes: of 0, 0.1 and 0.2


def test_the_way_between_images_changes_its_class_halfway(tmp_path, data_path):
    ends = {"start": "0", "end": "1", "data_path": data_path}
    labels = _labels_in(_images("interpolate", tmp_path, **ends))
    assert labels.tolist() == [2] * 20 + [0] * 20
    assert set(_labels_in(_images("interpolate", tmp_path, label="bee", **ends))) == {1}


@pytest.mark.parametrize(
    ("mode", "settings", "message"),
    [
        ("class", {}, "--label is needed; choose from ant, bee, cat"),
        ("class", {"label": "dog"}, "--label=dog: unknown; choose from ant, bee, cat"),
        ("class", {"label": "ant", "data_path": "x.npz"}, "draws its classes without examples"),
        ("samples", {"label": "7"}, "--label=7: unknown"),
        ("interpolate", {"start": "0,1", "end": "1,0"}, "--label is needed"),
        ("reconstruct", {"data_path": "bare.npz"}, "conditional one and needs labelled images"),
    ],
)
def test_what_no_label_says_is_refused(tmp_path, monkeypatch, mode, settings, message):
    monkeypatch.chdir(tmp_path)
    np.savez("bare.npz", images=np.full((2, 8, 8), 9, np.uint8))
    with pytest.raises(UserError, match=message):
        _images(mode, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()
