import math

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from cvae_tf import pictures


def _flat_images(levels, height=2, width=3, channels=1):
    """One image of each grey level."""
    levels = np.asarray(levels, np.float32)
    return np.tile(levels[:, None, None, None], (1, height, width, channels))


def test_mosaic_lays_images_row_by_row_with_white_between():
    image = pictures.mosaic(_flat_images([0.1, 0.2, 0.3, 0.4, 0.5]), columns=3, gap=1)[..., 0]
    assert image.shape == (2 * 3 - 1, 3 * 4 - 1)
    expected = np.ones((5, 11), np.float32)
    for number, level in enumerate([0.1, 0.2, 0.3, 0.4, 0.5]):
        top, left = 3 * (number // 3), 4 * (number % 3)
        expected[top : top + 2, left : left + 3] = level
    np.testing.assert_array_equal(image, expected)


def test_mosaic_keeps_images_upright_and_colours_apart():
    random = np.random.default_rng(0)
    images = random.uniform(size=(4, 5, 6, 3)).astype(np.float32)
    mosaic = pictures.mosaic(images, columns=2)
    np.testing.assert_array_equal(mosaic[7:12, 8:14], images[3])
    np.testing.assert_array_equal(mosaic[:5, 8:14], images[1])


def test_each_row_of_originals_stands_over_its_reconstructions():
    originals, reconstructions = _flat_images([1, 2, 3, 4]), _flat_images([10, 20, 30, 40])
    ordered = pictures.above_each_other(originals, reconstructions, columns=2)
    assert ordered[:, 0, 0, 0].tolist() == [1, 2, 10, 20, 3, 4, 30, 40]


def test_grid_divides_the_standard_gaussian_evenly():
    grid = pictures.normal_quantile_grid(5)
    assert grid.shape == (25, 2) and grid.dtype == np.float32
    shares = [[0.5 * (1 + math.erf(z / math.sqrt(2))) for z in point] for point in grid]
    expected = [(x, y) for y in (0.9, 0.7, 0.5, 0.3, 0.1) for x in (0.1, 0.3, 0.5, 0.7, 0.9)]
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def _size(path):
    return iio.imread(path).shape[:2]


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_epochs_are_of_one_size(tmp_path, channels):
    random = np.random.default_rng(0)
    sizes = set()
    for epoch, title in enumerate(["Epoch 0", "Epoch 1000: test ELBO -12345678.9 (a long name)"]):
        samples, originals, reconstructions = (
            random.uniform(size=(num, 28, 28, channels)).astype(np.float32) for num in (64, 32, 32)
        )
        path = tmp_path / f"{epoch}.png"
        pictures.draw_epoch(path, samples, originals, reconstructions, title)
        sizes.add(_size(path))
    assert len(sizes) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "1.png"]


def test_picture_of_an_epoch_shows_samples_left_and_pairs_right(tmp_path):
    path = tmp_path / "epoch.png"
    dark, middle, light = (np.full((32, 8, 8, 1), level, np.float32) for level in (0.2, 0.4, 0.8))
    pictures.draw_epoch(path, np.concatenate([dark, dark]), middle, light, "")
    pixels = iio.imread(path, mode="L")
    left, right = np.hsplit(pixels, [pixels.shape[1] // 2])
    assert _common_levels(left) == [51, 255]
    assert _common_levels(right) == [102, 204, 255]
    column = right[:, right.shape[1] // 40 + 20]
    assert column[np.isin(column, [102, 204])][0] == 102


def _common_levels(pixels):
    """Grey levels of more pixels than letters have."""
    levels, counts = np.unique(pixels, return_counts=True)
    return levels[counts > 5000].tolist()


def test_manifold_shows_every_image_in_its_place(tmp_path):
    levels = np.arange(9) / 10
    pictures.draw_manifold(tmp_path / "manifold.png", _flat_images(levels, 8, 8), "Title")
    pixels = iio.imread(tmp_path / "manifold.png", mode="L")[60:]
    height, width = pixels.shape
    centres = [(2 * i + 1) / 6 for i in range(3)]
    seen = [pixels[int(height * y), int(width * x)] / 255 for y in centres for x in centres]
    np.testing.assert_allclose(seen, levels, atol=0.005)


@pytest.mark.parametrize("dimensions", [1, 2, 5])
@pytest.mark.parametrize("labels", [None, np.arange(30) % 3, np.arange(30), np.array(["a"] * 30)])
def test_latents_are_drawn_in_any_dimension_with_any_labels(tmp_path, dimensions, labels):
    means = np.random.default_rng(0).normal(size=(30, dimensions)).astype(np.float32)
    pictures.draw_latents(tmp_path / "latents.png", means, labels, "Title")
    assert np.std(iio.imread(tmp_path / "latents.png")) > 1


@pytest.mark.parametrize("num", [1, 2])
def test_latents_of_few_images_are_drawn(tmp_path, num):
    means = np.ones((num, 5), np.float32)
    pictures.draw_latents(tmp_path / "latents.png", means[:, :2], None, "Title")
    assert _size(tmp_path / "latents.png")[0] > 100


def test_two_dimensions_are_drawn_as_they_are():
    means = np.random.default_rng(0).normal(size=(8, 2))
    points, names = pictures._two_dimensions(means)
    np.testing.assert_array_equal(points, means)
    assert names == ("$z_1$", "$z_2$")


def test_more_dimensions_are_drawn_by_their_principal_components():
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(5, 5)))[0]
    means = random.normal(size=(500, 5)) * [9, 4, 1, 1, 1] @ turn + 7
    points, names = pictures._two_dimensions(means)
    variances, directions = np.linalg.eigh(np.cov(means.T))
    for axis in range(2):
        expected = (means - means.mean(axis=0)) @ directions[:, -1 - axis]
        correlation = np.corrcoef(points[:, axis], expected)[0, 1]
        assert abs(correlation) == pytest.approx(1, abs=1e-6)
        share = variances[-1 - axis] / variances.sum()
        assert names[axis] == f"principal component {axis + 1} ({share:.0%} of the variance)"


@pytest.mark.parametrize("epochs", [1, 3])
def test_curves_are_drawn(tmp_path, epochs):
    names = ("train_elbo", "test_elbo", "test_log_likelihood", "test_kl")
    rows = [{"epoch": i + 1, **dict.fromkeys(names, -100.0 + i)} for i in range(epochs)]
    pictures.draw_curves(tmp_path / "curves.png", rows, "Title")
    assert np.std(iio.imread(tmp_path / "curves.png")) > 1


def _write_frames(directory, num):
    paths = [directory / f"{i}.png" for i in range(num)]
    for level, path in enumerate(paths):
        iio.imwrite(path, np.full((10, 12, 3), 20 * level + 10, np.uint8))
    return paths


@pytest.mark.parametrize("num", [1, 2, 11])
def test_animation_has_all_frames_in_order(tmp_path, num):
    pictures.animate(_write_frames(tmp_path, num), tmp_path / "a.gif")
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
    pictures.animate(paths, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        red, _, blue = np.asarray(gif.convert("RGB"))[5, 5]
    assert red > 150 and blue < 50


def test_long_animations_are_faster_but_not_too_fast(tmp_path):
    paths = _write_frames(tmp_path, 2)
    pictures.animate(paths * 50, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (100, 200)


def test_pictures_leave_no_figures_open(tmp_path):
    from matplotlib import pyplot

    pictures.draw_latents(tmp_path / "latents.png", np.ones((3, 2)), None, "Title")
    assert pyplot.get_fignums() == []
