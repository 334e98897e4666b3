import math

import imageio.v3 as iio
import numpy as np
import pytest
from drawing_helpers import size_of, watch_pages

from cvae_tf.drawing import manifold
from cvae_tf.drawing.manifold import draw_manifold, normal_quantile_grid


def test_grid_divides_the_standard_gaussian_evenly():
    grid = normal_quantile_grid(5, 4)
    assert grid.shape == (20, 2) and grid.dtype == np.float32
    shares = [[0.5 * (1 + math.erf(z / math.sqrt(2))) for z in point] for point in grid]
    columns = (0.125, 0.375, 0.625, 0.875)
    expected = [(x, y) for y in (0.9, 0.7, 0.5, 0.3, 0.1) for x in columns]
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def _decoder(height, width, asked):
    """Makes images whose red is higher to the right, and whose green is higher to the top."""

    def decode(latents):
        asked.append(latents)
        images = np.zeros((len(latents), height, width, 3), np.float32)
        images[..., :2] = 1 / (1 + np.exp(-latents[:, None, None]))
        return images

    return decode


def test_every_image_is_shown_in_its_place(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    asked = []
    draw_manifold(tmp_path / "manifold.png", _decoder(8, 8, asked))
    assert len(asked) == 1 and asked[0].dtype == np.float32
    np.testing.assert_array_equal(asked[0], normal_quantile_grid(20, 20))
    pixels = iio.imread(tmp_path / "manifold.png", mode="RGB")
    grid = pixels[manifold._TOP : -manifold._MARGIN, manifold._MARGIN : -manifold._MARGIN]
    side = (len(grid) + 2) // 20
    seen = grid[side // 2 :: side, side // 2 :: side, :2].reshape(400, 2)
    np.testing.assert_allclose(seen / 255, 1 / (1 + np.exp(-asked[0])), atol=0.003)
    assert pages[0].texts[0].get_text() == "Decoded latents at the quantiles of the prior"


@pytest.mark.parametrize(
    ("height", "width"), [(28, 28), (8, 8), (128, 128), (9, 255), (255, 9), (30, 50)]
)
def test_page_is_of_a_sensible_size_and_shape(tmp_path, height, width):
    asked = []
    draw_manifold(tmp_path / "manifold.png", _decoder(height, width, asked))
    size = size_of(tmp_path / "manifold.png")
    assert all(600 < side < 1600 for side in size)
    assert len(asked[-1]) > 350
    shown = {tuple(np.unique(asked[-1][:, axis])) for axis in (0, 1)}
    assert all(len(quantiles) >= 3 for quantiles in shown)
