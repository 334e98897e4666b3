"""Precision and recall by nearest neighbours, against a slow way and on sets known beforehand."""

import numpy as np
import pytest

from cvae_tf.distances import precision_recall as module
from cvae_tf.distances.precision_recall import precision_recall


def _slowly(real, drawn, neighbours):
    def share(points, others):
        radii = []
        for other in others:
            radii.append(np.sort(np.linalg.norm(others - other, axis=1))[neighbours])
        near = [
            any(
                np.linalg.norm(point - other) <= radius
                for other, radius in zip(others, radii, strict=True)
            )
            for point in points
        ]
        return np.mean(near)

    return share(drawn, real), share(real, drawn)


def test_it_is_what_the_paper_says(monkeypatch):
    random = np.random.default_rng(0)
    real, drawn = random.standard_normal((60, 4)), 0.7 * random.standard_normal((45, 4)) + 1.2
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    found = precision_recall(real, drawn, neighbours=3)
    assert found == pytest.approx(_slowly(real, drawn, 3))
    assert 0 < found.recall < found.precision < 1


def test_drawn_images_of_one_kind_have_precision_but_no_recall():
    random = np.random.default_rng(1)
    real = random.standard_normal((300, 2))
    found = precision_recall(real, np.tile(real[:1], (100, 1)) + 1e-4)
    assert found.precision == 1 and found.recall < 0.05


def test_what_is_far_away_has_neither():
    random = np.random.default_rng(2)
    real = random.standard_normal((50, 2))
    assert precision_recall(real, real + 100) == (0, 0)
    assert precision_recall(real, real) == (1, 1)


def test_two_images_are_enough():
    assert precision_recall(np.eye(2), np.eye(2)) == (1, 1)
