"""The picture of latents: points, colours and words; which labels are classes, which values."""

import numpy as np
import pytest
from drawing_helpers import size_of, watch_pages
from matplotlib.colors import to_rgb

from cvae_tf.drawing import latents
from cvae_tf.drawing.labels import are_values, as_classes


def test_many_numbers_are_values_and_all_else_is_classes():
    texts = np.array([f"{i}" for i in range(99)])
    few = (np.arange(20), np.array([0.5, 1.5, np.nan] * 30), texts, np.array([], int))
    assert not any(map(are_values, few))
    for many in (np.arange(21), np.linspace(0, 1, 100)):
        assert are_values(many) and not are_values(many, label_names=["cat"])


def test_classes_are_sorted_named_and_told_apart_by_colours():
    classes = as_classes(np.array([10, 2, 2, 7]))
    assert classes.names == ["2", "7", "10"] and classes.indices.tolist() == [2, 0, 0, 1]
    for labels, label_names, names in (
        (np.array([0.25, 3.0]), None, ["0.25", "3"]),
        (np.array([b"caf\xe9", "dog", 3], object), None, ["3", "caf\ufffd", "dog"]),
        (np.array([1, 0, 5, -1]), ["cat", "a $x^$ dog"], ["-1", "cat", r"a \$x^\$ dog", "5"]),
        (np.array(["x" * 99]), None, ["x" * 39 + "…"]),
    ):
        assert as_classes(labels, label_names).names == names
    labels = np.concatenate([np.arange(100), np.repeat(np.arange(50, 90), 3), [7] * 9])
    classes = as_classes(labels, [f"name {i}" for i in range(100)])  # the commonest are kept
    assert classes.names == ["name 7", *(f"name {i}" for i in range(50, 68)), "and 81 more"]
    assert classes.indices[[0, 7, 50, 67, 68]].tolist() == [19, 0, 1, 18, 19]
    colours = np.array([to_rgb(colour) for colour in classes.colours])
    distances = np.linalg.norm(colours[:, None] - colours, axis=-1) + np.eye(20)
    assert distances.min() > 0.15


def _means(num, dimensions=2):
    return np.random.default_rng(0).normal(size=(num, dimensions)).astype(np.float32)


@pytest.fixture
def draw(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch, write=False)

    def call(means, labels=None, names=None):
        latents.draw_latents(tmp_path / "latents.png", means, labels, "Title", names)
        return pages[-1].axes

    return call


def _words(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_points_stand_at_their_means_in_the_colours_of_the_legend(draw):
    means, labels = _means(40), np.array(["dog", "cat"])[np.arange(40) % 2]
    means[3, 1] = np.nan
    (axes,) = draw(means, labels)
    assert axes.get_title() == "Title\n1 of 40 are not finite and left out"
    shown = np.arange(40) != 3
    np.testing.assert_allclose(axes.collections[0].get_offsets(), means[shown])
    assert _words(axes) == ["cat", "dog"]
    dots = [to_rgb(str(dot.get_color())) for dot in axes.get_legend().get_lines()]
    colours = axes.collections[0].get_facecolors()[:, :3]
    np.testing.assert_allclose(colours, np.array(dots)[(labels == "dog").astype(int)][shown])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    assert _words(draw(_means(4), np.arange(4) % 2, ("wolf", "hen"))[0]) == ["wolf", "hen"]
    axes, bar = draw(_means(50), np.linspace(-1, 1, 50))  # values on a scale
    assert axes.get_legend() is None and bar.get_ylabel() == "Label"
    np.testing.assert_allclose(axes.collections[0].get_array(), np.linspace(-1, 1, 50))


def test_all_points_lie_within_axes_that_are_no_thin_strip(draw):
    for means in (_means(500) * [30, 1] + [1000, -3], np.arange(60)[:, None] * [1, 0]):
        (axes,) = draw(means)
        lengths = []
        for values, (low, high) in zip(means.T, (axes.get_xlim(), axes.get_ylim()), strict=True):
            assert low < values.min() and values.max() < high
            lengths.append(high - low)
        assert 0.4 < lengths[1] / lengths[0] < 1


def test_one_dimension_is_a_histogram_of_each_class_or_values_against_it(draw):
    values = np.concatenate([np.full(50, -2.0), np.full(30, 3.0), [0.0]])[:, None]
    labels = np.array(["left"] * 50 + ["right"] * 30 + ["middle"])
    (axes,) = draw(values, labels)
    names = [text.get_text() for text in axes.get_yticklabels()]
    rows = dict(zip(names, axes.patches, strict=True))
    for name, place in (("left", -2), ("middle", 0), ("right", 3)):
        heights, edges, bottom = rows[name].get_data()
        (highest,) = np.flatnonzero(heights > bottom)
        assert edges[highest] <= place <= edges[highest + 1]
        assert heights[highest] - bottom == pytest.approx(0.9)
    assert axes.get_xlabel() == "$z_1$"
    assert sum(patch.get_height() for patch in draw(values)[0].patches) == 81
    numbers = np.linspace(0, 9, 81)
    points = draw(values, numbers)[0].collections[0].get_offsets()
    np.testing.assert_allclose(points, np.column_stack([values, numbers]))


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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("num", "dimensions", "value"), [(0, 1, 0), (0, 3, 0), (2, 3, 1e6)])
def test_degenerate_means_are_no_error(tmp_path, num, dimensions, value):
    means = np.full((num, dimensions), value)
    latents.draw_latents(tmp_path / "latents.png", means, np.arange(num), "Title")
    assert size_of(tmp_path / "latents.png") > (300, 300)
