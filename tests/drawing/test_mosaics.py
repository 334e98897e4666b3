import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from cvae_tf.drawing import mosaics


def _flat_images(levels, height=2, width=3, channels=1):
    """One image of each grey level."""
    levels = np.asarray(levels, np.float32)
    return np.tile(levels[:, None, None, None], (1, height, width, channels))


def test_mosaic_lays_images_row_by_row_with_white_between():
    image = mosaics.mosaic(_flat_images([0.1, 0.2, 0.3, 0.4, 0.5]), columns=3, gap=1)[..., 0]
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
    originals, reconstructions = _flat_images([1, 2, 3, 4]), _flat_images([10, 20, 30, 40])
    ordered = mosaics.stacked([originals, reconstructions], columns=2)
    assert ordered[:, 0, 0, 0].tolist() == [1, 2, 10, 20, 3, 4, 30, 40]


def test_white_images_fill_the_last_rows():
    ordered = mosaics.stacked([_flat_images([0.1, 0.2, 0.3])] * 3, columns=2)
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


def test_mosaic_is_saved_large_enough_to_be_looked_at(tmp_path):
    mosaics.save_mosaic(tmp_path / "a.png", _flat_images([0, 1, 0, 1], 28, 28), columns=2)
    assert 800 <= iio.imread(tmp_path / "a.png").shape[1] <= 1000


def test_animation_of_images_goes_there_and_back(tmp_path):
    mosaics.save_animation(tmp_path / "a.gif", _flat_images([0, 0.4, 1], 8, 8))
    with Image.open(tmp_path / "a.gif") as gif:
        levels = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            levels.append(int(np.median(np.asarray(gif.convert("L")))))
        assert gif.info["loop"] == 0
    assert levels == [0, 102, 255, 102]


def _write_frames(directory, num):
    paths = [directory / f"{i}.png" for i in range(num)]
    for level, path in enumerate(paths):
        iio.imwrite(path, np.full((10, 12, 3), 20 * level + 10, np.uint8))
    return paths


@pytest.mark.parametrize("num", [1, 2, 11])
def test_animation_has_all_frames_in_order(tmp_path, num):
    mosaics.animate(_write_frames(tmp_path, num), tmp_path / "a.gif")
    levels, durations = [], []
    with Image.open(tmp_path / "a.gif") as gif:
        assert num == 1 or gif.info["loop"] == 0
        for frame in range(gif.n_frames):
            gif.seek(frame)
            durations.append(gif.info["duration"])
            levels.append(int(np.median(np.asarray(gif.convert("L")))))
    assert levels == [20 * level + 10 for level in range(num)]
    assert durations == [400] * (num - 1) + [3000]


def test_animation_of_coloured_pictures_is_coloured(tmp_path):
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    for path, colour in zip(paths, ((200, 0, 0), (0, 0, 200)), strict=True):
        iio.imwrite(path, np.full((10, 12, 3), colour, np.uint8))
    mosaics.animate(paths, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        red, _, blue = np.asarray(gif.convert("RGB"))[5, 5]
    assert red > 150 and blue < 50


def test_long_animations_are_faster_but_not_too_fast(tmp_path):
    paths = _write_frames(tmp_path, 2)
    mosaics.animate(paths * 50, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (100, 200)
