import imageio.v3 as iio
import numpy as np
import pytest
from drawing_helpers import flat_images, noise_images, size_of

from cvae_tf.drawing import mosaics


def test_mosaic_lays_images_row_by_row_with_white_between():
    image = mosaics.mosaic(flat_images([0.1, 0.2, 0.3, 0.4, 0.5]), columns=3, gap=1)[..., 0]
    assert image.shape == (2 * 3 - 1, 3 * 4 - 1)
    expected = np.ones((5, 11), np.float32)
    for number, level in enumerate([0.1, 0.2, 0.3, 0.4, 0.5]):
        top, left = 3 * (number // 3), 4 * (number % 3)
        expected[top : top + 2, left : left + 3] = level
    np.testing.assert_array_equal(image, expected)


def test_mosaic_keeps_images_upright_and_colours_apart():
    random = np.random.default_rng(0)
    images = random.uniform(size=(4, 5, 6, 3)).astype(np.float32)
    mosaic = mosaics.mosaic(images, columns=2)
    np.testing.assert_array_equal(mosaic[7:12, 8:14], images[3])
    np.testing.assert_array_equal(mosaic[:5, 8:14], images[1])


def test_each_row_of_originals_stands_over_its_reconstructions():
    originals, reconstructions = flat_images([1, 2, 3, 4]), flat_images([10, 20, 30, 40])
    ordered = mosaics.stacked([originals, reconstructions], columns=2)
    assert ordered[:, 0, 0, 0].tolist() == [1, 2, 10, 20, 3, 4, 30, 40]


def test_white_images_fill_the_last_rows():
    ordered = mosaics.stacked([flat_images([0.1, 0.2, 0.3])] * 3, columns=2)
    expected = [0.1, 0.2] * 3 + [0.3, 1] * 3
    np.testing.assert_allclose(ordered[:, 0, 0, 0], expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_saved_image_has_its_levels_in_its_places(tmp_path, channels):
    image = np.random.default_rng(0).uniform(size=(4, 5, channels))
    mosaics.save_image(tmp_path / "a.png", image, enlarge=3)
    pixels = iio.imread(tmp_path / "a.png").reshape(12, 15, channels)
    for row, column in ((0, 0), (2, 2), (3, 5), (11, 14)):
        expected = np.rint(image[row // 3, column // 3] * 255)
        np.testing.assert_array_equal(pixels[row, column], expected)


def test_values_that_are_no_levels_do_no_harm():
    levels = np.array([-0.5, 0, 0.5, 1, 1.5, np.nan, np.inf]).reshape(1, 7, 1)
    pixels = mosaics.to_pixels(levels).ravel()
    np.testing.assert_array_equal(pixels, [0, 0, 128, 255, 255, 0, 255])


@pytest.mark.parametrize("columns", [None, 2])
def test_mosaic_is_saved_large_enough_to_be_looked_at(tmp_path, columns):
    mosaics.save_mosaic(tmp_path / "a.png", flat_images([0, 1, 0, 1], 28, 28), columns)
    assert size_of(tmp_path / "a.png") == (870, 870)


@pytest.mark.parametrize(
    ("num", "height", "width", "sets", "columns"),
    [
        (64, 28, 28, 1, 8), (32, 28, 28, 2, 8), (64, 9, 255, 1, 2), (64, 255, 9, 1, 32),
        (32, 255, 9, 2, 32), (3, 28, 28, 2, 3), (1, 28, 28, 2, 1), (1, 9, 255, 1, 1),
        (10, 28, 28, 1, 4), (20, 28, 28, 3, 7), (0, 28, 28, 1, 1),
    ],
)  # fmt: skip
def test_columns_follow_the_shape_of_the_images(num, height, width, sets, columns):
    assert mosaics.best_columns(num, height, width, sets) == columns


@pytest.mark.parametrize("shape", [(28, 28), (9, 255), (255, 9), (100, 30)])
@pytest.mark.parametrize("num", [5, 16, 64])
def test_saved_mosaics_are_neither_tiny_nor_strips(tmp_path, shape, num):
    images = noise_images(num, *shape)
    mosaics.save_mosaic(tmp_path / "a.png", images)
    mosaics.save_stacked(tmp_path / "b.png", [images, images])
    for name in ("a.png", "b.png"):
        height, width = size_of(tmp_path / name)
        assert 450 < max(height, width) < 1500
        assert num < 16 or 1 / 3 < height / width < 3


def test_rows_of_saved_sets_stand_over_each_other(tmp_path):
    sets = [flat_images([level] * 4, 8, 8) for level in (0.2, 0.4, 0.6)]
    mosaics.save_stacked(tmp_path / "a.png", sets)
    column = iio.imread(tmp_path / "a.png")[:, 5]
    order = [level for level in column[np.flatnonzero(np.diff(column, prepend=0))] if level < 255]
    assert order == [51, 102, 153] * (len(order) // 3)


@pytest.mark.parametrize(
    ("shape", "ratio"), [((28, 28), 10), ((255, 9), 108 / 255), ((9, 255), 255 / 108)]
)
def test_strips_of_wide_images_go_down(tmp_path, shape, ratio):
    mosaics.save_strip(tmp_path / "a.png", noise_images(10, *shape))
    height, width = size_of(tmp_path / "a.png")
    assert width / height == pytest.approx(ratio, rel=0.07)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_brought_to_a_good_size(channels):
    images = noise_images(4, 5, 7, channels)
    pixels = mosaics.well_sized(images, columns=2, length=100, most=200)
    assert pixels.shape == (4, 35, 49, channels) and pixels.dtype == np.uint8
    expected = np.rint(images * 255)
    np.testing.assert_array_equal(pixels[:, 3::7, 3::7], expected)
    smaller = mosaics.well_sized(np.full((4, 300, 400, channels), 0.5), 2, length=100, most=200)
    assert smaller.shape == (4, 75, 100, channels) and (smaller == 128).all()
