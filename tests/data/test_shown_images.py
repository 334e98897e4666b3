import numpy as np
import pytest

from cvae_tf.data.shown_images import choose_shown


@pytest.mark.parametrize("labels", [None, np.arange(50) % 7, np.zeros(50), np.arange(50)])
@pytest.mark.parametrize("count", [0, 1, 7, 32, 49, 50, 64])
def test_as_many_as_there_are_and_none_twice(labels, count):
    chosen = choose_shown(labels, 50, count)
    assert chosen.dtype == np.int64
    assert len(chosen) == len(set(chosen.tolist())) == min(50, count)
    assert all(0 <= index < 50 for index in chosen)


def test_a_sorted_set_shows_all_classes_in_turn():
    labels = np.repeat(np.arange(10), 100)
    shown = labels[choose_shown(labels, 1000, 32)]
    np.testing.assert_array_equal(shown[:30], np.tile(np.arange(10), 3))
    assert len(set(shown[30:])) == 2


def test_images_come_from_the_whole_set():
    np.testing.assert_array_equal(choose_shown(None, 1000, 4), [0, 250, 500, 750])
    one_class = choose_shown(np.zeros(1000), 1000, 4)
    np.testing.assert_array_equal(one_class, [0, 250, 500, 750])


def test_small_classes_leave_their_places_to_others():
    labels = np.array(["b"] * 40 + ["a"] * 2 + ["c"] * 40)
    names, counts = np.unique(labels[choose_shown(labels, 82, 22)], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {"a": 2, "b": 10, "c": 10}


def test_of_many_classes_some_of_the_whole_range_are_shown():
    labels = np.arange(1000)[::-1]
    assert sorted(labels[choose_shown(labels, 1000, 4)].tolist()) == [0, 250, 500, 750]


def test_the_choice_is_the_same_every_time():
    labels = np.random.default_rng(0).integers(0, 5, 300)
    first, again = (choose_shown(labels.copy(), 300, 32) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_labels_that_are_no_numbers_are_classes_too():
    labels = np.array([np.nan, 1.0, np.nan, 2.0])
    assert sorted(choose_shown(labels, 4, 4).tolist()) == [0, 1, 2, 3]
