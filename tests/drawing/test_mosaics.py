"""Mosaics, panels, captions, manifolds, animations: each image in its place, with its levels."""

import math

import numpy as np
import pytest
from PIL import Image, ImageSequence

from cvae_tf.drawing import canvas, mosaics


def _flat_images(levels, side=2):
    """One image of each grey level."""
    levels = np.asarray(levels, np.float32)
    return np.tile(levels[:, None, None, None], (1, side, side, 1))


def test_mosaics_lay_images_row_by_row_and_originals_over_reconstructions():
    images = np.random.default_rng(0).random((5, 2, 3, 3), np.float32)
    expected = np.full((5, 11, 3), 255)
    for number, image in enumerate(images):
        top, left = 3 * (number // 3), 4 * (number % 3)
        expected[top : top + 2, left : left + 3] = np.rint(255 * image)
    np.testing.assert_array_equal(mosaics.mosaic(images, columns=3, gap=1), expected)
    originals, reconstructions = _flat_images([1, 2, 3]), _flat_images([10, 20, 30])
    ordered = mosaics.stacked([originals, reconstructions], columns=2)
    assert ordered[:, 0, 0, 0].tolist() == [1, 2, 10, 20, 3, 1, 30, 1]  # filled up by white


@pytest.mark.parametrize("channels", [1, 3])
def test_saved_and_resized_images_have_their_levels_in_their_places(tmp_path, channels):
    path = tmp_path / "a.png"
    images = np.random.default_rng(0).random((4, 5, 7, channels), np.float32)
    expected = np.rint(images * 255)
    mosaics.save_image(path, images[0], enlarge=3)
    pixels = np.asarray(Image.open(path)).reshape(15, 21, channels)
    np.testing.assert_array_equal(pixels, expected[0].repeat(3, axis=0).repeat(3, axis=1))
    larger = mosaics.well_sized(images, columns=2, length=100, most=200)
    np.testing.assert_array_equal(larger, expected.repeat(7, axis=1).repeat(7, axis=2))
    smaller = mosaics.well_sized(_flat_images([0.2, 0.6], 400), 2, length=100, most=200)
    np.testing.assert_array_equal(smaller, 255 * _flat_images([0.2, 0.6], 100))
    levels = np.array([-0.5, 0, 0.5, 1, 1.5, np.nan, np.inf]).reshape(1, 7, 1)
    assert mosaics.to_pixels(levels).ravel().tolist() == [0, 0, 128, 255, 255, 0, 255]


def test_captions_stand_under_their_images(tmp_path, monkeypatch):
    path, places = tmp_path / "a.png", {}

    def keep(page, text, x, y, *_, **__):
        places[text] = x, y

    monkeypatch.setattr(canvas, "write", keep)
    mosaics.draw_captioned(path, _flat_images([0.2, 0.4], 28), ["51", "102"], title="Title")
    for level in (51, 102):
        rows, columns = np.nonzero(np.asarray(Image.open(path).convert("L")) == level)
        x, y = places[str(level)]
        assert x == pytest.approx(columns.mean(), abs=4) and 0 < y - rows.max() < 25


def test_every_image_of_a_manifold_is_shown_in_its_place(tmp_path):
    """Along both axes latents divide the standard Gaussian evenly."""
    path, seen = tmp_path / "a.png", []

    def decode(latents, labels):
        seen.append((latents, labels))
        images = np.zeros((len(latents), 8, 8, 3), np.float32)
        images[..., :2] = [[[[0.5 * (1 + math.erf(z / math.sqrt(2))) for z in latent]]]
                           for latent in latents]  # fmt: skip
        return images

    images = mosaics.draw_manifold(path, decode)
    quantiles = (np.arange(20) + 0.5) / 20
    expected = [(x, y) for y in quantiles[::-1] for x in quantiles]
    np.testing.assert_allclose(images[:, 0, 0, :2], expected, atol=1e-6)
    grid = np.asarray(Image.open(path).convert("RGB"))
    grid = grid[mosaics._TOP : -mosaics._MARGIN, mosaics._MARGIN : -mosaics._MARGIN]
    side = (len(grid) + 2) // 20
    shown = grid[side // 2 :: side, side // 2 :: side, :2].reshape(400, 2)
    np.testing.assert_allclose(shown / 255, expected, atol=0.003)
    mosaics.draw_manifold(path, decode, class_names=("cat", "dog"))
    np.testing.assert_array_equal(seen[1][1], np.repeat([0, 1], 64))


def test_pictures_are_joined_in_order_and_the_last_is_held(tmp_path):
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    for path, colour in zip(paths, ((90, 90, 90), (10, 60, 250)), strict=True):
        Image.new("RGB", (200, 160), colour).save(path)
    mosaics.animate(paths, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        frames = [(frame.info["duration"], frame.convert("RGB").getpixel((50, 50)))
                  for frame in ImageSequence.Iterator(gif)]  # fmt: skip
    assert frames == [(400, (90, 90, 90)), (3000, (10, 60, 250))] and gif.info["loop"] == 0
