"""Labels: numbers or texts, the names of classes, and what a conditional model makes of them."""

import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, Split, with_classes
from cvae_tf.data.given_images import Images, class_numbers
from cvae_tf.data.labels import class_number, read_labels

APART, COMPOSED = "e\u0301", "\u00e9"
NAMES = np.array(["cat", "dog"])
ABC = ("ant", "bee", "cat")
IMAGES = np.zeros((5, 8, 8, 1), np.uint8)


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, 2], NAMES, " labels go from 0 to 2 .int64.; with 2 class_names .* from 0 to 1"),
        ([-1, 1], NAMES, " labels go from -1 to 1"),
        ([0.5, 1.0], NAMES, " labels go from 0.5 to 1.0 .float64.; with 2 class_names"),
        ([0], [["a", "b"]], r" class_names is <U1 of shape \(1, 2\); it must be texts, one for"),
        ([0], np.arange(3), " class_names is int64 of shape"),
        ([0], [APART, "b", COMPOSED], " class_names has names more than once"),
    ],
)
def test_labels_and_names_that_are_none_are_refused_in_a_line(labels, names, message):
    with pytest.raises(UserError, match=f"^a.npz:{message}[^\n]*$"):
        given = {"y_train": (None, 3), "y_test": (np.asarray(labels), len(labels))}
        read_labels(given, np.asarray(names), "a.npz: ")


def _dataset(train, test, names=None):
    train, test = (None if labels is None else np.array(labels) for labels in (train, test))
    return Dataset("toy", "", Split(IMAGES[:3], train), Split(IMAGES[3:], test), class_names=names)


def test_labels_become_numbers_of_sorted_classes():
    for train, test, numbers, names in (
        ([7, 3, 7], [3, 7], ([1, 0, 1], [0, 1]), ("3", "7")),
        ([-1, 10, 2], [10, 10], ([0, 2, 1], [2, 2]), ("-1", "2", "10")),
    ):
        found = with_classes(_dataset(train, test))
        assert found.class_names == names and found.train.labels.dtype == np.int64
        assert (found.train.labels.tolist(), found.test.labels.tolist()) == numbers
        assert with_classes(found).train.labels is found.train.labels


@pytest.mark.parametrize(
    ("train", "test", "names", "message"),
    [
        (None, None, None, "the training images .toy. have no labels; give y_train"),
        ([1, 2, 3], None, None, "the test images .toy. have no labels"),
        ([7, 7, 7], [7, 7], None, r"all images are of one class .7.; it takes two or more"),
        ([0, 2, 0], [1, 2], ABC, "no training image is of the class bee"),
        ([0, 1, 2], [1, 2], tuple(map(str, range(1001))), "1001 different labels .0, 1, ....; the"),
        ([1, 2, 1], [2, 5], None, "a test image has the label 5, which no training image has"),
        ([0.5, 0.25, 1.5], [0.5, 0.5], None, "3 different labels .0.25, 0.5, ....; these"),
    ],
)
def test_what_are_no_classes_is_refused_in_a_line(train, test, names, message):
    with pytest.raises(UserError, match=f"^--conditional: .*{message}[^\n]*$"):
        with_classes(_dataset(train, test, names))


def _given(labels, names=None):
    return Images(IMAGES, np.array(labels), [""] * 5, "toys", names)


def test_images_are_known_by_the_names_or_numbers_of_their_classes():
    for labels, own, known, numbers in (
        ([0, 1, 0, 1, 1], ("cat", "ant"), ABC, [2, 0, 2, 0, 0]),
        ([3, 7, 7, 3, 3], None, ("3", "7"), [0, 1, 1, 0, 0]),
        ([2, 0, 1, 1, 0], None, ABC, [2, 0, 1, 1, 0]),
        ([0, 1, 0, 0, 1], (APART, "a"), ("a", COMPOSED), [1, 0, 1, 1, 0]),
    ):
        np.testing.assert_array_equal(class_numbers(_given(labels, own), known), numbers)


def test_labels_that_a_model_does_not_know_are_named():
    images = _given([3, 4, 7, 3, 3])
    with pytest.raises(UserError, match="toys: has the label 4, which the model does not know; it"):
        class_numbers(images, ("3", "7"))
    with pytest.raises(UserError, match="needs labelled images"):
        class_numbers(images._replace(labels=None), ("3", "7"))
    assert class_number("7", ("3", "7")) == 1 and class_number("2", ("3", "7")) is None
