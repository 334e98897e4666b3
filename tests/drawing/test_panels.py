import imageio.v3 as iio
import numpy as np
import pytest
from drawing_helpers import flat_images, noise_images, size_of, watch_pages

from cvae_tf.drawing.panels import Panel, draw_panels


def _epoch(samples, originals, reconstructions):
    return [Panel("Samples", [samples]), Panel("Pairs", [originals, reconstructions])]


def _common_levels(pixels):
    """Grey levels of more pixels than letters have."""
    levels, counts = np.unique(pixels, return_counts=True)
    return levels[counts > 5000].tolist()


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_epochs_are_of_one_size(tmp_path, channels):
    sizes = set()
    for epoch, title in enumerate(["", "Epoch 1000: test ELBO -12345678.9 (a long name)" * 5]):
        panels = [
            Panel(title, [noise_images(64, 28, 28, channels, epoch)]),
            Panel("Pairs", [noise_images(32, 28, 28, channels, epoch)] * 2),
        ]
        draw_panels(tmp_path / f"{epoch}.png", panels, title)
        sizes.add(size_of(tmp_path / f"{epoch}.png"))
    assert len(sizes) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "1.png"]


def test_panels_stand_side_by_side_and_rows_of_sets_over_each_other(tmp_path):
    path = tmp_path / "epoch.png"
    dark, middle, light = (np.full((32, 8, 8, 1), level, np.float32) for level in (0.2, 0.4, 0.8))
    draw_panels(path, _epoch(np.concatenate([dark, dark]), middle, light), "")
    pixels = iio.imread(path, mode="L")
    left, right = np.hsplit(pixels, [pixels.shape[1] // 2])
    assert _common_levels(left) == [51, 255]
    assert _common_levels(right) == [102, 204, 255]
    column = right[:, right.shape[1] // 40 + 20]
    assert column[np.isin(column, [102, 204])][0] == 102


def _runs(is_true):
    """The lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_true.astype(int), [0]])))
    return edges[1::2] - edges[::2]


@pytest.mark.parametrize("side", [8, 28, 37, 64, 100, 256])
def test_all_images_and_all_gaps_are_of_one_size(tmp_path, side):
    path = tmp_path / "epoch.png"
    draw_panels(path, [Panel("", [np.zeros((64, side, side, 1), np.float32)])], "")
    pixels = iio.imread(path, mode="L")
    first = np.argwhere(pixels == 0)[0]
    for line in (pixels[first[0]], pixels[:, first[1]]):
        images, gaps = _runs(line == 0), _runs(line == 255)[1:-1]
        assert len(images) == 8 and len(set(images)) == 1 and set(gaps) == {4}
        assert images[0] % side == 0 or side > 96
    assert 360 < len(pixels) < 1000


def test_large_images_are_made_smaller_smoothly(tmp_path):
    path = tmp_path / "epoch.png"
    stripes = np.tile([0.0, 1.0], 128)[:, None, None] * np.ones((64, 256, 256, 1), np.float32)
    draw_panels(path, [Panel("", [stripes])], "")
    pixels = iio.imread(path, mode="L")
    assert ((pixels > 100) & (pixels < 160)).mean() > 0.5  # one grey: no pattern of stripes


@pytest.mark.parametrize(("height", "width"), [(9, 255), (255, 9), (64, 200), (28, 28)])
def test_little_of_the_page_is_white_whatever_the_shape(tmp_path, height, width):
    path = tmp_path / "epoch.png"
    black = np.zeros((64, height, width, 1), np.float32)
    draw_panels(path, _epoch(black, black[:32], black[:32]), "")
    pixels = iio.imread(path, mode="L")
    assert (pixels == 0).mean() > 0.45
    assert 1 / 3 < pixels.shape[0] / pixels.shape[1] < 1


@pytest.mark.parametrize("num", [1, 3, 31])
def test_few_images_are_shown_each_once(tmp_path, num):
    path = tmp_path / "epoch.png"
    panels = _epoch(np.ones((64, 28, 28, 1)), *[np.full((num, 28, 28, 1), g) for g in (0.2, 0.8)])
    draw_panels(path, panels, "")
    pixels = iio.imread(path, mode="L")[75:]  # without the titles
    counts = [(pixels == level).sum() for level in (51, 204)]
    assert counts[0] == pytest.approx(counts[1], rel=0.01)
    rows, columns = np.nonzero(pixels == 51)
    first = pixels[rows[0], columns[0] :]
    side = np.flatnonzero(first != 51)[0]
    assert counts[0] == pytest.approx(num * side**2, rel=0.01)


@pytest.mark.parametrize("num", [1, 2, 3, 4])
def test_one_to_four_panels_stand_under_their_titles(tmp_path, monkeypatch, num):
    pages = watch_pages(monkeypatch)
    panels = [Panel(f"Panel {i}", [flat_images([i / 4] * 9, 28, 28)]) for i in range(num)]
    draw_panels(tmp_path / "panels.png", panels, "Title")
    pixels = iio.imread(tmp_path / "panels.png", mode="L")
    title, *titles = pages[0].texts
    assert title.get_text() == "Title"
    for i, text in enumerate(titles):
        columns = np.flatnonzero((pixels == round(i / 4 * 255)).sum(axis=0) > 100)
        middle = text.get_position()[0] * pixels.shape[1]
        assert middle == pytest.approx((columns.min() + columns.max()) / 2, abs=2)
        assert text.get_text() == f"Panel {i}"
