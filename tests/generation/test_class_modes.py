"""What `generate.py` makes with a conditional model, which here draws its label."""

import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, numpy_generator
from cvae_tf.data.given_images import Images
from cvae_tf.generation import generating, of_class
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.models.vae.posterior import Posterior

CLASS_NAMES = ("ant", "bee", "cat")
LABELS = np.array([2, 0, 1, 2])


class Drawer:
    """Images whose upper half is the first latent, and whose lower half is the label / 10."""

    latent_dim, image_shape = 2, (8, 8, 1)
    metadata = {}
    abilities = ("sample", "decode", "encode", "reconstruct", "score")
    main_score = Pixels().terms["elbo"]
    is_conditional, class_names = True, CLASS_NAMES

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

    def p_values(self, scores):
        return None

    def mean_scores(self, images, seed, num_samples=8, labels=None):
        return {"elbo": -10.0 * labels - images[:, 0, 0, 0]}


@pytest.fixture
def data_path(tmp_path):
    images = np.zeros((4, 8, 8, 1), np.uint8)
    images[:, 2:6, 2:6] = 200
    images[:, 0, 0, 0] = [10, 20, 30, 40]
    path = tmp_path / "images.npz"
    names = np.array(["cat", "bee", "ant"])  # in another order than the model's
    np.savez(path, images=images, labels=2 - LABELS, class_names=names)
    return str(path)


def _make(mode, output, **settings):
    chosen = GenerationSettings.create(mode, **settings)
    return generating.generate(Drawer(), mode, chosen, output).arrays["images"]


def _labels_in(images):
    return np.rint(10 * images[..., 7, 0, 0]).astype(int)


def test_images_of_a_class_are_samples_with_its_label(tmp_path):
    images = _make("class", tmp_path, label="cat", num=5, seed=3, spread=0.5)
    assert set(_labels_in(images)) == {2}
    latents = numpy_generator(3, Purpose.CLASS_SAMPLES).standard_normal((5, 2))
    np.testing.assert_allclose(images[:, 0, 0, 0], np.clip(0.5 * latents[:, 0], 0, 1), rtol=1e-6)


def test_samples_are_of_all_classes_in_turn_or_of_one(tmp_path):
    assert _labels_in(_make("samples", tmp_path, num=7)).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert set(_labels_in(_make("samples", tmp_path, num=7, label="bee"))) == {1}


def test_styles_are_a_row_for_each_latent_and_a_column_for_each_class(tmp_path):
    images = _make("styles", tmp_path, num=8, seed=1)
    assert images.shape == (2, 3, 8, 8, 1)
    np.testing.assert_array_equal(_labels_in(images), [[0, 1, 2], [0, 1, 2]])
    assert np.all(np.ptp(images[:, :, 0, 0, 0], axis=1) == 0)


def test_the_style_of_an_image_is_kept_in_every_class(tmp_path, data_path):
    images = _make("transfer", tmp_path, num=16, data_path=data_path)
    np.testing.assert_array_equal(_labels_in(images), [[0, 1, 2]] * 4)
    expected = np.array([10, 20, 30, 40]) / 255
    np.testing.assert_allclose(images[:, 0, 0, 0, 0], expected, atol=1e-6)


def test_images_are_seen_with_their_own_classes_by_name(tmp_path, data_path):
    images = _make("reconstruct", tmp_path, num=4, data_path=data_path)
    assert _labels_in(images).tolist() == LABELS.tolist()
    near = _make("neighbours", tmp_path, index=2, num=3, data_path=data_path)
    assert set(_labels_in(near)) == {LABELS[2]}
    worst = _make("anomalies", tmp_path, num=1, data_path=data_path)
    assert worst[0, 0, 0, 0] == pytest.approx(40 / 255)  # the higher of the two cats


def test_the_way_between_images_changes_its_class_halfway(tmp_path, data_path):
    ends = {"start": "0", "end": "1", "data_path": data_path}
    labels = _labels_in(_make("interpolate", tmp_path, **ends))
    assert labels.tolist() == [2] * 20 + [0] * 20
    assert set(_labels_in(_make("interpolate", tmp_path, label="bee", **ends))) == {1}


def test_the_manifold_is_that_of_a_label_or_small_ones_of_all(tmp_path):
    assert set(_labels_in(_make("manifold", tmp_path, label="bee"))) == {1}
    every = _labels_in(_make("manifold", tmp_path))
    assert every.tolist() == sorted(every.tolist()) and set(every) == {0, 1, 2}


def test_noisy_images_are_explained_by_images_of_all_classes(tmp_path, data_path):
    images = _make("denoise", tmp_path, num=4, data_path=data_path)
    assert images.shape == (4, 8, 8, 1)
    halves = images[:, 7, 0, 0]  # means of what classes draw there: 0, 0.1 and 0.2
    assert np.all((halves > 0) & (halves < 0.2))


def test_examples_are_found_however_accents_are_written():
    images = np.zeros((3, 8, 8, 1), np.float32)
    given = Images(images, np.array([0, 1, 1]), ["", "", ""], class_names=("e\u0301", "b"))
    for label, wanted in (("\u00e9", [True, False, False]), ("1", [False, True, True])):
        np.testing.assert_array_equal(of_class.labelled(given, label), wanted)


@pytest.mark.parametrize(
    ("mode", "settings", "message"),
    [
        ("class", {}, "--label is needed; choose from ant, bee, cat"),
        ("class", {"label": "dog"}, "--label=dog: unknown; choose from ant, bee, cat"),
        ("class", {"label": "ant", "data_path": "x.npz"}, "draws its classes without examples"),
        ("samples", {"label": "7"}, "--label=7: unknown"),
        ("interpolate", {"start": "0,1", "end": "1,0"}, "--label is needed"),
    ],
)
def test_what_no_label_says_is_refused(tmp_path, mode, settings, message):
    with pytest.raises(UserError, match=message):
        _make(mode, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_images_without_labels_are_refused(tmp_path):
    np.savez(tmp_path / "bare.npz", images=np.full((2, 8, 8), 9, np.uint8))
    with pytest.raises(UserError, match="a conditional one and needs labelled images"):
        _make("reconstruct", tmp_path, data_path=str(tmp_path / "bare.npz"))
