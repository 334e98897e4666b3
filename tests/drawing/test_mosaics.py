"""Mosaics, panels, captions, manifolds: each image in its place, with its levels, to be seen."""

import math

import imageio.v3 as iio
import numpy as np
import pytest
from drawing_helpers import flat_images, noise_images, size_of, watch_pages

from cvae_tf.drawing import manifold, mosaics
from cvae_tf.drawing.captioned import draw_captioned
from cvae_tf.drawing.panels import Panel, draw_panels


@pytest.fixture
def path(tmp_path):
    return tmp_path / "picture.png"


def test_a_mosaic_lays_images_row_by_row_with_white_between():
    images = noise_images(5, 2, 3, 3)
    found = mosaics.mosaic(images, columns=3, gap=1)
    expected = np.ones((5, 11, 3), np.float32)
    for number, image in enumerate(images):
        top, left = 3 * (number // 3), 4 * (number % 3)
        expected[top : top + 2, left : left + 3] = image
    np.testing.assert_array_equal(found, expected)


def test_each_row_of_originals_stands_over_its_reconstructions():
    originals, reconstructions = flat_images([1, 2, 3]), flat_images([10, 20, 30])
    ordered = mosaics.stacked([originals, reconstructions], columns=2)
    assert ordered[:, 0, 0, 0].tolist() == [1, 2, 10, 20, 3, 1, 30, 1]  # filled up by white


@pytest.mark.parametrize("channels", [1, 3])
def test_saved_and_resized_images_have_their_levels_in_their_places(path, channels):
    images = noise_images(4, 5, 7, channels)
    expected = np.rint(images * 255)
    mosaics.save_image(path, images[0], enlarge=3)
    pixels = iio.imread(path).reshape(15, 21, channels)
    np.testing.assert_array_equal(pixels, expected[0].repeat(3, axis=0).repeat(3, axis=1))
    larger = mosaics.well_sized(images, columns=2, length=100, most=200)
    assert larger.dtype == np.uint8
    np.testing.assert_array_equal(larger, expected.repeat(7, axis=1).repeat(7, axis=2))
    stripes = np.tile([0.0, 1.0], 200)[:, None] * np.ones((4, 300, 400, channels))
    smaller = mosaics.well_sized(stripes, 2, length=100, most=200)
    assert smaller.shape == (4, 75, 100, channels)
    assert np.abs(smaller[:, 5:-5, 5:-5] - 127.5).max() < 20  # one grey: smoothly
    levels = np.array([-0.5, 0, 0.5, 1, 1.5, np.nan, np.inf]).reshape(1, 7, 1)
    assert mosaics.to_pixels(levels).ravel().tolist() == [0, 0, 128, 255, 255, 0, 255]


@pytest.mark.parametrize(
    ("num", "height", "width", "sets", "columns"),
    [
        (64, 28, 28, 1, 8), (32, 28, 28, 2, 8), (64, 9, 255, 1, 2), (32, 255, 9, 2, 32),
        (3, 28, 28, 2, 3), (10, 28, 28, 1, 4), (20, 28, 28, 3, 7), (0, 28, 28, 1, 1),
    ],
)  # fmt: skip
def test_columns_follow_the_shape_of_the_images(num, height, width, sets, columns):
    assert mosaics.best_columns(num, height, width, sets) == columns


@pytest.mark.parametrize("shape", [(28, 28), (9, 255), (255, 9)])
def test_pictures_are_of_a_sensible_size_whatever_the_shape(path, monkeypatch, shape):
    images = np.zeros((16, *shape, 1), np.float32)
    mosaics.save_stacked(path, [images, images])
    height, width = size_of(path)
    assert 450 < max(height, width) < 1500 and 1 / 3 < height / width < 3
    mosaics.save_strip(path, images[:10])
    assert (size_of(path)[0] > 10 * shape[0]) == (shape == (9, 255))  # wide ones go down
    pages = watch_pages(monkeypatch, write=False)
    manifold.draw_manifold(path, lambda latents: np.zeros((len(latents), *shape, 1)))
    assert all(600 < side < 1600 for side in pages[-1].bbox.size)
    draw_captioned(path, images, ["-1234.5"] * 16, "Title " * 40)
    assert all(300 < side < 1700 for side in pages[-1].bbox.size)
    sizes = set()
    for title in ("", "Epoch 1000: test ELBO -12345678.9 (a long name)" * 5):
        draw_panels(path, [Panel(title, [images]), Panel("Pairs", [images] * 2)], title)
        sizes.add(tuple(pages[-1].bbox.size))
    ((width, height),) = sizes  # whatever is written
    assert 1 / 3 < height / width < 1


def test_panels_stand_side_by_side_under_their_titles(path, monkeypatch):
    pages, dark = watch_pages(monkeypatch), flat_images([0.2] * 32, 8, 8)
    middle, light = (flat_images([level] * 32, 8, 8) for level in (0.4, 0.8))
    draw_panels(path, [Panel("Left", [dark]), Panel("Pairs", [middle, light])], "Title")
    pixels, texts = iio.imread(path, mode="L"), pages[0].texts
    assert [text.get_text() for text in texts] == ["Title", "Left", "Pairs"]
    for text, level in zip(texts[1:], (51, 102), strict=True):
        columns = np.flatnonzero((pixels == level).sum(axis=0) > 100)
        middle = text.get_position()[0] * pixels.shape[1]
        assert middle == pytest.approx((columns.min() + columns.max()) / 2, abs=2)
    levels = pixels[:, columns.min() + 2]
    levels = levels[np.isin(levels, [102, 204])]
    rows = levels[np.flatnonzero(np.diff(levels, prepend=0))]
    assert len(rows) >= 4 and rows.tolist() == [102, 204] * (len(rows) // 2)


def test_captions_stand_under_their_images(path, monkeypatch):
    pages, levels, words = watch_pages(monkeypatch), [0.2, 0.4, 0.6], ["-1", "-22", "-333"]
    draw_captioned(path, flat_images(levels, 28, 28), words, title="Title")
    pixels = iio.imread(path, mode="L")
    assert [text.get_text() for text in pages[0].texts] == ["Title", *words]
    for level, caption in zip(levels, pages[0].texts[1:], strict=True):
        rows, columns = np.nonzero(pixels == round(level * 255))
        (left, right), bottom = np.percentile(columns, [1, 99]), np.percentile(rows, 99)
        x, y = caption.get_position() * np.array(pixels.shape[::-1])
        assert x == pytest.approx((left + right) / 2, abs=4)
        assert 0 < pixels.shape[0] - y - bottom < 25


def test_the_grid_of_a_manifold_divides_the_standard_gaussian_evenly():
    grid = manifold.normal_quantile_grid(5, 4)
    shares = [[0.5 * (1 + math.erf(z / math.sqrt(2))) for z in point] for point in grid]
    columns = (0.125, 0.375, 0.625, 0.875)
    expected = [(x, y) for y in (0.9, 0.7, 0.5, 0.3, 0.1) for x in columns]
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_every_image_of_a_manifold_is_shown_in_its_place(path):
    asked = []

    def decode(latents):
        """Images that are redder to the right, and greener to the top."""
        asked.append(latents)
        images = np.zeros((len(latents), 8, 8, 3), np.float32)
        images[..., :2] = 1 / (1 + np.exp(-latents[:, None, None]))
        return images

    manifold.draw_manifold(path, decode)
    np.testing.assert_array_equal(asked, [manifold.normal_quantile_grid(20, 20)])
    grid = iio.imread(path, mode="RGB")
    grid = grid[manifold._TOP : -manifold._MARGIN, manifold._MARGIN : -manifold._MARGIN]
    side = (len(grid) + 2) // 20
    seen = grid[side // 2 :: side, side // 2 :: side, :2].reshape(400, 2)
    np.testing.assert_allclose(seen / 255, 1 / (1 + np.exp(-asked[0])), atol=0.003)
