import imageio.v3 as iio
import numpy as np
import pytest
from drawing_helpers import size_of, watch_pages
from matplotlib.colors import to_rgb

from cvae_tf.drawing import latents
from cvae_tf.drawing.latents import draw_latents


def _means(num, dimensions=2):
    return np.random.default_rng(0).normal(size=(num, dimensions)).astype(np.float32)


def _colours(axes):
    """The colour of each point or of each histogram."""
    return np.array([tuple(colour[:3]) for colour in axes.collections[0].get_facecolors()])


def _words(page):
    legend = page.axes[0].get_legend()
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("dimensions", [1, 2, 5])
@pytest.mark.parametrize(
    "labels",
    [None, np.arange(30) % 3, np.arange(30), np.array(["a"] * 30), np.linspace(0, 1, 30)],
)
def test_latents_are_drawn_in_any_dimension_with_any_labels(tmp_path, dimensions, labels):
    draw_latents(tmp_path / "latents.png", _means(30, dimensions), labels, "Title")
    assert iio.imread(tmp_path / "latents.png").std() > 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("num", [0, 1, 2])
@pytest.mark.parametrize("value", [None, 1e6, np.nan])
def test_degenerate_means_are_no_error(tmp_path, dimensions, num, value):
    means = _means(num, dimensions)
    if value is not None:
        means[:] = value
    draw_latents(tmp_path / "latents.png", means, np.arange(num), "Title")
    height, width = size_of(tmp_path / "latents.png")
    assert 1 / 2 < height / width < 2


def test_images_without_finite_means_are_left_out_and_counted(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    means = _means(10)
    means[3, 1] = np.nan
    draw_latents(tmp_path / "latents.png", means, np.arange(10), "Title")
    axes = pages[0].axes[0]
    assert axes.get_title() == "Title\n1 of 10 are not finite and left out"
    np.testing.assert_allclose(axes.collections[0].get_offsets(), means[np.arange(10) != 3])
    assert _words(pages[0]) == [str(i) for i in range(10) if i != 3]


def test_points_stand_at_their_means_in_the_colours_of_the_legend(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    means, labels = _means(40), np.array(["dog", "cat"])[np.arange(40) % 2]
    draw_latents(tmp_path / "latents.png", means, labels, "Title")
    axes = pages[0].axes[0]
    np.testing.assert_allclose(axes.collections[0].get_offsets(), means)
    assert _words(pages[0]) == ["cat", "dog"]
    dots = [to_rgb(str(dot.get_color())) for dot in axes.get_legend().get_lines()]
    np.testing.assert_allclose(_colours(axes), np.array(dots)[(labels == "dog").astype(int)])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")


@pytest.mark.parametrize("num_classes", [2, 11, 20, 300])
def test_legend_of_texts_is_wholly_on_the_page(tmp_path, monkeypatch, num_classes):
    pages = watch_pages(monkeypatch)
    names = np.array([f"the name of class {i} is too long for a margin" for i in range(300)])
    labels = names[np.arange(600) % num_classes]
    draw_latents(tmp_path / "latents.png", _means(600), labels, "Title")
    assert len(_words(pages[0])) == min(num_classes, 20)
    height, width = size_of(tmp_path / "latents.png")
    pixels = iio.imread(tmp_path / "latents.png", mode="L")
    margin = np.concatenate([pixels[:, -10:].ravel(), pixels[:10].ravel(), pixels[-10:].ravel()])
    assert margin.min() == 255 and width > 800


def test_labels_have_names(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    draw_latents(tmp_path / "latents.png", _means(4), np.arange(4) % 2, "T", ("cat", "dog"))
    assert _words(pages[0]) == ["cat", "dog"]


@pytest.mark.parametrize("labels", [np.arange(50), np.linspace(-1, 1, 50)])
def test_many_numbers_get_a_colour_bar(tmp_path, monkeypatch, labels):
    pages = watch_pages(monkeypatch)
    draw_latents(tmp_path / "latents.png", _means(50), labels, "Title")
    axes, bar = pages[0].axes
    assert axes.get_legend() is None and bar.get_ylabel() == "Label"
    np.testing.assert_allclose(axes.collections[0].get_array(), labels)


def test_few_points_are_large(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    for num in (60, 10_000):
        draw_latents(tmp_path / "latents.png", _means(num), None, "Title")
    few, many = (page.axes[0].collections[0].get_sizes()[0] for page in pages)
    assert few >= 40 and 3 <= many <= 6


@pytest.mark.parametrize("axis", [0, 1])
def test_points_on_a_line_make_no_thin_strip(tmp_path, axis):
    means = np.zeros((100, 2))
    means[:, axis] = np.arange(100)
    draw_latents(tmp_path / "latents.png", means, None, "Title")
    height, width = size_of(tmp_path / "latents.png")
    assert 0.4 < height / width < 2.2


def test_all_points_lie_within_the_axes(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    means = _means(500) * [30, 1] + [1000, -3]
    draw_latents(tmp_path / "latents.png", means, None, "Title")
    axes = pages[0].axes[0]
    for values, (low, high) in zip(means.T, (axes.get_xlim(), axes.get_ylim()), strict=True):
        assert low < values.min() and values.max() < high


def test_one_dimension_is_drawn_by_a_histogram_of_each_class(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    values = np.concatenate([np.full(50, -2.0), np.full(30, 3.0), [0.0]])
    labels = np.array(["left"] * 50 + ["right"] * 30 + ["middle"])
    draw_latents(tmp_path / "latents.png", values[:, None], labels, "Title")
    axes = pages[0].axes[0]
    rows = dict(
        zip([text.get_text() for text in axes.get_yticklabels()], axes.patches, strict=True)
    )
    for name, place in (("left", -2), ("middle", 0), ("right", 3)):
        heights, edges, bottom = rows[name].get_data()
        (highest,) = np.flatnonzero(heights > bottom)
        assert edges[highest] <= place <= edges[highest + 1]
        assert heights[highest] - bottom == pytest.approx(0.9)
    assert axes.get_xlabel() == "$z_1$"


def test_one_dimension_without_labels_counts_images(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    draw_latents(tmp_path / "latents.png", _means(400, 1), None, "Title")
    counts = [patch.get_height() for patch in pages[0].axes[0].patches]
    assert sum(counts) == 400


def test_one_dimension_with_values_is_drawn_against_them(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    means, labels = _means(60, 1), np.linspace(0, 9, 60)
    draw_latents(tmp_path / "latents.png", means, labels, "Title")
    points = pages[0].axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(points, np.stack([means[:, 0], labels], axis=1))


def test_two_dimensions_are_drawn_as_they_are():
    means = np.random.default_rng(0).normal(size=(8, 2))
    points, names = latents._two_dimensions(means)
    np.testing.assert_array_equal(points, means)
    assert names == ("$z_1$", "$z_2$")


def test_more_dimensions_are_drawn_by_their_principal_components():
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(5, 5)))[0]
    means = random.normal(size=(500, 5)) * [9, 4, 1, 1, 1] @ turn + 7
    points, names = latents._two_dimensions(means)
    centred = means - means.mean(axis=0)
    _, spreads, directions = np.linalg.svd(centred)
    for axis in range(2):
        correlation = np.corrcoef(points[:, axis], centred @ directions[axis])[0, 1]
        assert abs(correlation) == pytest.approx(1, abs=1e-6)
        share = spreads[axis] ** 2 / np.sum(spreads**2)
        assert names[axis] == f"principal component {axis + 1} ({share:.0%} of the variance)"
