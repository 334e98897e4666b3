import math

import numpy as np
import pytest
from drawing_helpers import watch_pages

from cvae_tf.drawing.curves import CurveGroup, draw_curves

GROUPS = [
    CurveGroup("Bounds", "nats", {"train_elbo": "--", "old_elbo": "-.", "test_elbo": "-"}),
    CurveGroup("Divergence", "nats per image", {"test_kl": ":"}),
]


def _rows(epochs):
    columns = {"train_elbo": 0.0, "test_elbo": 10.0, "test_kl": 20.0}
    return [
        {"epoch": i + 1, **{name: first + i for name, first in columns.items()}}
        for i in range(epochs)
    ]


@pytest.fixture
def draw(tmp_path, monkeypatch):
    pages = watch_pages(monkeypatch, write=False)

    def call(rows, groups=GROUPS, title="Title"):
        draw_curves(tmp_path / "curves.png", rows, groups, title)
        return pages[-1]

    return call


def test_groups_have_their_curves_in_their_styles(draw):
    left, right = draw(_rows(3), title="mnist $x^$").axes
    assert (left.get_title(), left.get_ylabel()) == ("Bounds", "nats")
    assert (right.get_title(), right.get_ylabel()) == ("Divergence", "nats per image")
    lines = [*left.lines, *right.lines]
    assert [line.get_label() for line in lines] == ["train elbo", "test elbo", "test kl"]
    assert [line.get_linestyle() for line in lines] == ["--", "-", ":"]
    for k, line in enumerate(lines):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), 10 * k + np.arange(3))
    assert len({line.get_color() for line in lines}) == 3


def test_any_rows_and_any_groups_are_drawn_as_far_as_there_are_values(draw):
    rows = [{"epoch": 1, "test_elbo": -3.0}, {"epoch": 2, "test_elbo": math.nan}]
    (axes,) = draw(rows).axes
    assert axes.get_title() == "Bounds" and axes.get_legend() is None
    right = draw([rows[0], rows[1] | {"test_kl": 1.0}]).axes[1]
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [math.nan, 1.0])
    assert len(draw([]).axes) == 1  # no epoch at all
    page = draw(_rows(2), (GROUPS * 3)[:5], "Title " * 100)
    assert len(page.axes) == 5 and page.get_suptitle().endswith("…")
    low, high = page.axes[0].get_xlim()
    ticks = [tick for tick in page.axes[0].get_xticks() if low <= tick <= high]
    assert ticks and all(tick == round(tick) for tick in ticks)  # whole epochs
