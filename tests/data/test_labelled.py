import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.given_images import Images
from cvae_tf.data.labelled import (
    class_number,
    class_numbers,
    fingerprint_of_labels,
    with_classes,
)

IMAGES = np.zeros((5, 8, 8, 1), np.uint8)


def _dataset(train, test, class_names=None):
    train, test = (None if labels is None else np.array(labels) for labels in (train, test))
    splits = Split(IMAGES[:3], train), Split(IMAGES[3:], test)
    return Dataset("toy", "Invented.", *splits, class_names=class_names)


@pytest.mark.parametrize(
    ("train", "test", "numbers", "names"),
    [
        ([7, 3, 7], [3, 7], ([1, 0, 1], [0, 1]), ("3", "7")),
        ([-1, 10, 2], [10, 10], ([0, 2, 1], [2, 2]), ("-1", "2", "10")),
        ([True, False, True], [False, False], ([1, 0, 1], [0, 0]), ("False", "True")),
    ],
)
def test_labels_become_numbers_of_sorted_classes(train, test, numbers, names):
    found = with_classes(_dataset(train, test))
    assert found.class_names == names
    for split, expected in zip((found.train, found.test), numbers, strict=True):
        assert split.labels.dtype == np.int64
        np.testing.assert_array_equal(split.labels, expected)


def test_classes_with_names_stay_as_they_are():
    dataset = _dataset([0, 2, 1], [2, 2], ("ant", "bee", "cat"))
    assert with_classes(dataset) is dataset


def test_one_class_with_a_name_is_refused():
    with pytest.raises(UserError, match="all images are of one class .cat.") as caught:
        with_classes(_dataset([0, 0, 0], [0, 0], ("cat",)))
    assert "\n" not in str(caught.value)


def test_classes_that_no_training_image_shows_are_refused():
    with pytest.raises(UserError, match="no training image is of the class bee"):
        with_classes(_dataset([0, 2, 0], [1, 2], ("ant", "bee", "cat")))


def test_labels_are_known_again_by_their_fingerprint():
    found = [
        fingerprint_of_labels(with_classes(_dataset(train, test, names)))
        for train, test, names in (
            ([0, 1, 0], [1, 1], ("a", "b")),
            ([0, 1, 0], [1, 1], ("a", "b")),
            ([0, 1, 0], [1, 0], ("a", "b")),
            ([0, 1, 0], [1, 1], ("a", "c")),
        )
    ]
    assert found[0] == found[1] and len(set(found)) == 3


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (None, None, "the training images .toy. have no labels; give y_train"),
        ([1, 2, 3], None, "the test images .toy. have no labels"),
        ([7, 7, 7], [7, 7], r"all images are of one class .7.; it takes two or more"),
        ([1, 2, 1], [2, 5], "a test image has the label 5, which no training image has"),
        ([0.5, 0.25, 1.5], [0.5, 0.5], r"numbers with fractions .0.25, ....; these are values"),
    ],
)
def test_what_are_no_classes_is_refused(train, test, message):
    with pytest.raises(UserError, match=message):
        with_classes(_dataset(train, test))


def test_images_are_known_by_the_names_of_their_classes():
    labels, names = np.array([0, 1, 0, 1, 1]), ("cat", "ant")
    images = Images(IMAGES, labels, [""] * 5, "toys", names)
    np.testing.assert_array_equal(class_numbers(images, ("ant", "bee", "cat")), [2, 0, 2, 0, 0])
    digits = Images(IMAGES, np.array([3, 7, 7, 3, 3]), [""] * 5)
    np.testing.assert_array_equal(class_numbers(digits, ("3", "7")), [0, 1, 1, 0, 0])


def test_labels_may_be_the_numbers_of_classes_that_have_names():
    images = Images(IMAGES, np.array([2, 0, 1, 1, 0]), [""] * 5)
    np.testing.assert_array_equal(class_numbers(images, ("ant", "bee", "cat")), [2, 0, 1, 1, 0])


def test_labels_that_a_model_does_not_know_are_named():
    images = Images(IMAGES, np.array([3, 4, 7, 3, 3]), [""] * 5, "toys")
    with pytest.raises(UserError, match="toys: has the label 4, which the model does not know; it"):
        class_numbers(images, ("3", "7"))
    with pytest.raises(UserError, match="needs labelled images"):
        class_numbers(images._replace(labels=None), ("3", "7"))


def test_names_are_the_same_however_their_accents_are_written():
    apart, composed = "e\u0301te\u0301", "\u00e9t\u00e9"
    for known, given in ((apart, composed), (composed, apart), (apart, apart)):
        assert class_number(given, ("a", known)) == 1
        images = Images(IMAGES, np.array([0, 1, 0, 0, 1]), [""] * 5, "toys", (given, "a"))
        np.testing.assert_array_equal(class_numbers(images, ("a", known)), [1, 0, 1, 1, 0])
    assert class_number(apart, (composed, apart)) == 1  # of a run that knew both
