import numpy as np
import pytest

from cvae_tf.data.greyness import look_at
from cvae_tf.data.shown_images import choose_shown


def test_greyness_is_that_of_the_whole_set(digits):
    for levels, greyness in (([0, 255], 0), ([128], 1), ([0, 128], 0.5)):
        images = np.repeat(np.uint8(levels), 2000 * 64).reshape(-1, 8, 8, 1)
        assert look_at(images).greyness == pytest.approx(greyness, abs=0.01)
    assert look_at(digits.train.images).are_black_and_white


@pytest.mark.parametrize("labels", [None, np.arange(50) % 7, np.zeros(50), np.arange(50)])
def test_as_many_are_shown_as_there_are_and_none_twice(labels):
    for count in (0, 1, 49, 64):
        chosen = choose_shown(labels, 50, count)
        assert len(chosen) == len(set(chosen.tolist())) == min(50, count)
        assert all(0 <= index < 50 for index in chosen)
        np.testing.assert_array_equal(chosen, choose_shown(labels, 50, count))


def test_shown_images_are_of_all_classes_in_turn_and_from_the_whole_set():
    np.testing.assert_array_equal(choose_shown(None, 1000, 4), [0, 250, 500, 750])
    labels = np.repeat(np.arange(10), 100)
    shown = labels[choose_shown(labels, 1000, 32)]
    np.testing.assert_array_equal(shown[:30], np.tile(np.arange(10), 3))
    assert len(set(shown[30:])) == 2
    few = np.array(["b"] * 40 + ["a"] * 2 + ["c"] * 40)  # their places go to others
    names, counts = np.unique(few[choose_shown(few, 82, 22)], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {"a": 2, "b": 10, "c": 10}
