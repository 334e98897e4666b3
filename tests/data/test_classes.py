import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.classes import are_classes, name_classes

NAMES = np.array(["cat", "dog"])


def test_numbers_without_names_stay_as_they_are():
    labels = [np.array([3, 1], np.uint8), None, np.array([0.5, np.nan]), np.array([True])]
    found, names = name_classes(labels, None, "a.npz")
    assert names is None
    assert all(own is given for own, given in zip(found, labels, strict=True))


def test_names_without_labels_are_none():
    assert name_classes([None, None], NAMES, "a.npz") == ([None, None], None)


def test_texts_are_sorted_over_all_parts():
    parts = [np.array(["\u00e9t\u00e9", "b"]), None, np.array([b"a", b"b"]), np.array(["c c"])]
    found, names = name_classes(parts, None, "a.npz")
    assert names == ("a", "b", "c c", "\u00e9t\u00e9")
    assert found.pop(1) is None
    assert [part.tolist() for part in found] == [[3, 1], [0, 1], [2]]
    assert {part.dtype for part in found} == {np.dtype(np.int64)}


@pytest.mark.parametrize("names", [NAMES, NAMES.astype(bytes)])
def test_labels_with_names_are_their_numbers(names):
    found, known = name_classes([np.array([1, 0], np.int8), None], names, "a.npz")
    assert known == ("cat", "dog") and found[0].tolist() == [1, 0] and found[1] is None
    assert found[0].dtype == np.int64 and type(known[0]) is str


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2], "has labels from 0 to 2; with 2 class_names .* whole numbers from 0 to 1"),
        ([-1, 1], "has labels from -1 to 1"),
        ([0.5, 1.0], "has labels of float64; with 2 class_names"),
        (["cat", "dog"], "has labels of <U3"),
        ([True, False], "has labels of bool"),
        (np.array([2**64 - 1], np.uint64), "has labels from 18446744073709551615"),
    ],
)
def test_labels_that_are_no_numbers_of_names_are_refused_in_a_line(labels, message):
    with pytest.raises(UserError, match=f"a.npz: {message}") as error:
        name_classes([None, np.asarray(labels)], NAMES, "a.npz")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (np.array([["a", "b"]]), r"is <U1 of shape \(1, 2\); it must be texts, one for each class"),
        (np.array("a"), r"is <U1 of shape \(\)"),
        (np.array([], str), r"is <U1 of shape \(0,\)"),
        (np.arange(3), "is int64 of shape"),
        (np.array(["a", "b", "a"]), "has 'a' more than once"),
        (np.array([2**31 - 1, 65], np.uint32).view("<U1"), "has texts that cannot be read"),
    ],
)
def test_names_that_are_none_are_refused(names, message):
    with pytest.raises(UserError, match=f"a.npz: class_names:? ?{message}"):
        name_classes([np.zeros(2, np.int64)], names, "a.npz")


def test_accents_that_are_written_apart_make_no_other_class():
    parts = [np.array(["e\u0301", "f"]), np.array(["\u00e9".encode(), "e\u0301".encode()])]
    found, names = name_classes(parts, None, "a.npz")
    assert names == ("f", "\u00e9") and [part.tolist() for part in found] == [[1, 0], [1, 1]]
    _, names = name_classes([np.array([0, 1])], np.array(["e\u0301", "f"]), "a.npz")
    assert names == ("\u00e9", "f")
    with pytest.raises(UserError, match="has '\u00e9' more than once"):
        name_classes([np.array([0, 1])], np.array(["e\u0301", "\u00e9"]), "a.npz")


def test_classes_are_told_from_values():
    for labels in (np.arange(1000), np.array([True, False]), np.zeros(3, np.uint8)):
        assert are_classes(labels)
    for labels in (np.arange(1001), np.array([0.5, 1]), None):
        assert not are_classes(labels)


def test_every_name_can_be_written():
    halves = np.array([0xD800, 65], np.uint32).view("<U1")
    _, names = name_classes([halves], None, "a.npz")
    assert [name.encode() for name in names] == [b"?", b"A"]
