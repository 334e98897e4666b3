"""What `generate.py` makes with a conditional model, which here draws its label."""

import numpy as np
import pytest
from generation_helpers import Drawer, make

from cvae_tf.core.randomness import Purpose, derived_key, numpy_generator
from cvae_tf.drawing.image_pages import normal_quantile_grid
from cvae_tf.generation.modes import MODES

LABELS = np.array([2, 0, 1, 2])
GREY = np.array([10, 20, 30, 40]) / 255


@pytest.fixture
def made(tmp_path):
    """Makes images in a mode, of four images that have classes in another order than the model."""
    images = np.zeros((4, 8, 8, 1), np.uint8)
    images[:, 2:6, 2:6] = 200
    images[:, 0, 0, 0] = 255 * GREY
    path = str(tmp_path / "images.npz")
    np.savez(path, images=images, labels=2 - LABELS, class_names=["cat", "bee", "ant"])

    def call(mode, given=False, **settings):
        settings |= {"data_path": path} if given else {}
        return make(Drawer(), mode, tmp_path, **settings).arrays["images"]

    return call


def test_every_mode_works_with_a_trained_model(conditional, tmp_path):
    more = {"class": {"label": "3"}, "samples": {"individual": True}, "reconstruct": {"refine": 1}}
    given = {"num": 4, "seed": 2, "start": "0", "end": "1"}
    for mode, (_, looked_at, *_) in MODES.items():
        if mode != "manifold":  # it has three latents
            own = {name: value for name, value in given.items() if name in looked_at}
            found = make(conditional, mode, tmp_path / mode, **own, **more.get(mode, {}))
            assert all(path.exists() for path in found.files)
            assert all(isinstance(each, np.ndarray) for each in found.arrays.values())


def _labels_in(images):
    return np.rint(10 * images[..., 7, 0, 0]).astype(int)


def _uppers_in(images):
    return images[..., 0, 0, 0]


def test_modes_show_a_class_or_all_in_turn(made):
    images = made("class", label="cat", num=5, seed=3, spread=0.5)
    assert set(_labels_in(images)) == {2}
    latents = numpy_generator(3, Purpose.CLASS_SAMPLES).standard_normal((5, 2))
    np.testing.assert_allclose(_uppers_in(images), np.clip(0.5 * latents[:, 0], 0, 1), rtol=1e-6)
    for mode in ("samples", "manifold"):
        assert set(_labels_in(made(mode, label="bee"))) == {1}
    assert _labels_in(made("samples", num=7)).tolist() == [0, 1, 2, 0, 1, 2, 0]
    manifolds = made("manifold")
    np.testing.assert_array_equal(_labels_in(manifolds), np.repeat([0, 1, 2], 64))
    grid = normal_quantile_grid(8, 8)[:, 0].clip(0, 1)
    np.testing.assert_allclose(_uppers_in(manifolds), np.tile(grid, 3))


def test_tables_have_a_row_for_each_latent_and_a_column_for_each_class(made, monkeypatch):
    styles, of_images = made("styles", num=8, seed=1), made("transfer", given=True, num=16)
    monkeypatch.setattr(Drawer, "abilities", (*Drawer.abilities, "sample_latents"))  # a mixture
    of_mixture = made("styles", num=8, seed=1)
    latents = numpy_generator(1, Purpose.STYLES).standard_normal((2, 2))
    of_seed = Drawer().sample_latents(2, derived_key(1, Purpose.STYLES)).numpy()
    for found, uppers in ((styles, latents[:, 0]), (of_mixture, of_seed[:, 0]), (of_images, GREY)):
        np.testing.assert_array_equal(_labels_in(found), [[0, 1, 2]] * len(uppers))
        expected = uppers.clip(0, 1)[:, None].repeat(3, axis=1)
        np.testing.assert_allclose(_uppers_in(found), expected, rtol=1e-5)


def test_images_are_seen_with_their_own_classes_by_name(made):
    assert _labels_in(made("reconstruct", given=True, num=4)).tolist() == LABELS.tolist()
    assert set(_labels_in(made("neighbours", given=True, index=2, num=3))) == {LABELS[2]}
    worst = made("anomalies", given=True, num=1)
    assert _uppers_in(worst)[0] == pytest.approx(GREY[3])  # the higher of the two cats
    lowers = made("denoise", given=True, num=4)[:, 7, 0, 0]
    assert np.all((lowers > 0) & (lowers < 0.2))  # means over all classes: of 0, 0.1 and 0.2
    ends = {"given": True, "start": "0", "end": "1"}
    assert _labels_in(made("interpolate", **ends)).tolist() == [2] * 20 + [0] * 20
    assert set(_labels_in(made("interpolate", label="bee", **ends))) == {1}
