import math

import imageio.v3 as iio
import numpy as np
import pytest
from drawing_helpers import watch_pages

from cvae_tf.drawing.curves import CurveGroup, draw_curves

GROUPS = [
    CurveGroup("Bounds", "nats", {"train_elbo": "--", "old_elbo": "-.", "test_elbo": "-"}),
    CurveGroup("Divergence", "nats per image", {"test_kl": ":"}),
]


def _rows(epochs):
    names = ("train_elbo", "test_elbo", "test_kl")
    return [
        {"epoch": i + 1, **{name: 10.0 * k + i for k, name in enumerate(names)}}
        for i in range(epochs)
    ]


def test_groups_have_their_curves_in_their_styles(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    draw_curves(tmp_path / "curves.png", _rows(3), GROUPS, "mnist $x^$")
    left, right = pages[0].axes
    assert (left.get_title(), left.get_ylabel()) == ("Bounds", "nats")
    assert (right.get_title(), right.get_ylabel()) == ("Divergence", "nats per image")
    lines = {line.get_label(): line for line in (*left.lines, *right.lines)}
    assert [line.get_linestyle() for line in lines.values()] == ["--", "-", ":"]
    assert list(lines) == ["train elbo", "test elbo", "test kl"]
    for k, line in enumerate(lines.values()):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), 10 * k + np.arange(3))
    assert len({line.get_color() for line in lines.values()}) == 3
    assert iio.imread(tmp_path / "curves.png").std() > 1


@pytest.mark.parametrize("epochs", [1, 2, 7, 333])
def test_ticks_are_whole_epochs(tmp_path, monkeypatch, epochs):
    pages = watch_pages(monkeypatch)
    draw_curves(tmp_path / "curves.png", _rows(epochs), GROUPS, "Title")
    for axes in pages[0].axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks and all(tick == round(tick) for tick in ticks)
        labels = [text.get_text() for text in axes.get_xticklabels() if text.get_text()]
        assert all(label.replace("−", "-").lstrip("-").isdecimal() for label in labels)
        assert low <= 1 and high >= epochs


def test_groups_without_a_column_are_left_out(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    rows = [{"epoch": 1, "test_elbo": -3.0}, {"epoch": 2, "test_elbo": math.nan}]
    draw_curves(tmp_path / "curves.png", rows, GROUPS, "Title")
    assert [axes.get_title() for axes in pages[0].axes] == ["Bounds"]
    assert pages[0].axes[0].get_legend() is None


def test_column_that_begins_later_is_drawn_from_there(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch)
    rows = [{"epoch": 1, "test_elbo": -3.0}, {"epoch": 2, "test_elbo": -2.0, "test_kl": 1.0}]
    draw_curves(tmp_path / "curves.png", rows, GROUPS, "Title")
    np.testing.assert_array_equal(pages[0].axes[1].lines[0].get_ydata(), [math.nan, 1.0])


@pytest.mark.parametrize("num", [1, 5])
def test_any_number_of_groups_is_drawn(tmp_path, monkeypatch, num):
    pages = watch_pages(monkeypatch)
    draw_curves(tmp_path / "curves.png", _rows(2), (GROUPS * 3)[:num], "Title " * 100)
    assert len(pages[0].axes) == num
    width = iio.imread(tmp_path / "curves.png").shape[1]
    assert width <= 1500
    assert pages[0].get_suptitle().endswith("…")


def test_no_epoch_at_all_is_no_error(tmp_path):
    draw_curves(tmp_path / "curves.png", [], GROUPS, "Title")
