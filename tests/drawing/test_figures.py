import math

import imageio.v3 as iio
import numpy as np
import pytest

from cvae_tf.drawing import figures


def _flat_images(levels, height=2, width=3, channels=1):
    """One image of each grey level."""
    levels = np.asarray(levels, np.float32)
    return np.tile(levels[:, None, None, None], (1, height, width, channels))


def test_grid_divides_the_standard_gaussian_evenly():
    grid = figures.normal_quantile_grid(5)
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
        figures.draw_epoch(path, samples, originals, reconstructions, title)
        sizes.add(_size(path))
    assert len(sizes) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "1.png"]


def test_picture_of_an_epoch_shows_samples_left_and_pairs_right(tmp_path):
    path = tmp_path / "epoch.png"
    dark, middle, light = (np.full((32, 8, 8, 1), level, np.float32) for level in (0.2, 0.4, 0.8))
    figures.draw_epoch(path, np.concatenate([dark, dark]), middle, light, "")
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
    figures.draw_manifold(tmp_path / "manifold.png", _flat_images(levels, 8, 8), "Title")
    pixels = iio.imread(tmp_path / "manifold.png", mode="L")[60:]
    height, width = pixels.shape
    centres = [(2 * i + 1) / 6 for i in range(3)]
    seen = [pixels[int(height * y), int(width * x)] / 255 for y in centres for x in centres]
    np.testing.assert_allclose(seen, levels, atol=0.005)


@pytest.mark.parametrize("dimensions", [1, 2, 5])
@pytest.mark.parametrize("labels", [None, np.arange(30) % 3, np.arange(30), np.array(["a"] * 30)])
def test_latents_are_drawn_in_any_dimension_with_any_labels(tmp_path, dimensions, labels):
    means = np.random.default_rng(0).normal(size=(30, dimensions)).astype(np.float32)
    figures.draw_latents(tmp_path / "latents.png", means, labels, "Title")
    assert np.std(iio.imread(tmp_path / "latents.png")) > 1


@pytest.mark.parametrize("num", [1, 2])
def test_latents_of_few_images_are_drawn(tmp_path, num):
    means = np.ones((num, 5), np.float32)
    figures.draw_latents(tmp_path / "latents.png", means[:, :2], None, "Title")
    assert _size(tmp_path / "latents.png")[0] > 100


def test_two_dimensions_are_drawn_as_they_are():
    means = np.random.default_rng(0).normal(size=(8, 2))
    points, names = figures._two_dimensions(means)
    np.testing.assert_array_equal(points, means)
    assert names == ("$z_1$", "$z_2$")


def test_more_dimensions_are_drawn_by_their_principal_components():
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(5, 5)))[0]
    means = random.normal(size=(500, 5)) * [9, 4, 1, 1, 1] @ turn + 7
    points, names = figures._two_dimensions(means)
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
    figures.draw_curves(tmp_path / "curves.png", rows, "Title")
    assert np.std(iio.imread(tmp_path / "curves.png")) > 1


def test_pictures_leave_no_figures_open(tmp_path):
    from matplotlib import pyplot

    figures.draw_latents(tmp_path / "latents.png", np.ones((3, 2)), None, "Title")
    assert pyplot.get_fignums() == []


def test_captions_stand_under_their_images(tmp_path):
    path = tmp_path / "captioned.png"
    images = _flat_images([0.2, 0.4, 0.6], 8, 8)
    figures.draw_captioned(path, images, ["-1", "-22", "-333"], columns=2, title="Title")
    pixels = iio.imread(path, mode="L")
    assert _common_levels(pixels) == [51, 102, 153, 255]
    rows = [np.flatnonzero((pixels == level).any(axis=1)) for level in (51, 153)]
    between = pixels[rows[0].max() + 2 : rows[1].min() - 2]
    assert between.min() < 100  # letters
