import numpy as np
import pytest
from matplotlib.colors import to_rgb

from cvae_tf.drawing.labels import MOST_CLASSES, are_values, as_classes


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.arange(21), True),
        (np.arange(20), False),
        (np.linspace(0, 1, 100), True),
        (np.array([0.5, 1.5, np.nan] * 30), False),
        (np.array(["a", "b"]), False),
        (np.array([f"{i}" for i in range(99)]), False),
        (np.array([True, False]), False),
        (np.array([], int), False),
    ],
)
def test_many_numbers_are_values_and_all_else_is_classes(labels, expected):
    assert are_values(labels) == expected
    assert not are_values(labels, label_names=["cat"])


def test_classes_are_sorted_and_named():
    classes = as_classes(np.array([10, 2, 2, 7]))
    assert classes.names == ["2", "7", "10"]
    np.testing.assert_array_equal(classes.indices, [2, 0, 0, 1])
    assert as_classes(np.array([0.25, 3.0])).names == ["0.25", "3"]
    assert as_classes(np.array([b"caf\xe9", "dog", 3], dtype=object)).names == [
        "3",
        "caf\ufffd",
        "dog",
    ]


def test_names_of_labels_are_used_as_far_as_there_are_any():
    classes = as_classes(np.array([1, 0, 5, -1], np.int64), ["cat", "a $x^$ dog"])
    assert classes.names == ["-1", "cat", r"a \$x^\$ dog", "5"]


def test_long_names_get_an_ellipsis():
    (name,) = as_classes(np.array(["x" * 99])).names
    assert len(name) == 40 and name.endswith("…")


def test_of_too_many_classes_the_commonest_are_kept():
    labels = np.concatenate([np.arange(100), np.repeat(np.arange(50, 90), 3), [7] * 9])
    classes = as_classes(labels, [f"name {i}" for i in range(100)])
    assert len(classes.names) == MOST_CLASSES == len(classes.colours)
    assert classes.names == ["name 7", *(f"name {i}" for i in range(50, 68)), "and 81 more"]
    np.testing.assert_array_equal(classes.indices[[0, 7, 50, 67, 68]], [19, 0, 1, 18, 19])


def test_colours_differ():
    colours = np.array([to_rgb(colour) for colour in as_classes(np.arange(20)).colours])
    distances = np.linalg.norm(colours[:, None] - colours, axis=-1) + np.eye(20)
    assert distances.min() > 0.15
