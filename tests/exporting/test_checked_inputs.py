"""What is given to a model in use: taken in every sensible form, else refused in a line."""

import re

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.exporting.checked_inputs import (
    to_images,
    to_key,
    to_labels,
    to_latents,
    to_scores,
    to_whole,
)

GREY, COLOURS = (4, 5, 1), (4, 5, 3)
_LEVELS = np.arange(40).reshape(2, 4, 5, 1) * 6
_FLOATS = _LEVELS / 255


class _Frame:
    """As pandas gives its tables to NumPy."""

    def __array__(self, dtype=None, copy=None):
        return np.array([[0.5, -1.0]])


def _refusal(function, *arguments):
    """What is said of what does not fit: one line of a bearable length, without the values."""
    with pytest.raises(UserError) as refused:
        function(*arguments)
    text = str(refused.value)
    assert "\n" not in text and len(text) < 250 and "[[" not in text
    return text


@pytest.mark.parametrize(
    "given",
    [
        _FLOATS,
        _FLOATS[..., 0],
        _FLOATS.tolist(),
        tf.constant(_FLOATS),
        tf.constant(_FLOATS, tf.float32),
        *(_LEVELS.astype(kind) for kind in ("uint8", "int16", "int32", "int64", "uint16")),
        _LEVELS[..., 0].tolist(),
    ],
)
def test_images_of_every_sensible_form_are_taken(given):
    images = to_images(given, GREY)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, _FLOATS, rtol=1e-7)


def test_black_and_white_is_taken_as_it_is():
    white = _FLOATS > 0.5
    for given in (white, white.astype(np.float16), white.astype(ml_dtypes.bfloat16)):
        np.testing.assert_array_equal(to_images(given, GREY), white)
    np.testing.assert_array_equal(to_images(np.zeros((1, 4, 5, 1), np.int64), GREY), 0)
    # Of float64, but 1 as float32.
    assert to_images(np.full((1, 4, 5, 1), 1 + 1e-9), GREY).max() == 1


@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.int64, bool])
def test_no_images_are_no_images(kind):
    assert to_images(np.zeros((0, 4, 5, 3), kind), COLOURS).shape == (0, 4, 5, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (_FLOATS * 255, r"floats from 0 to 234; they must lie in \[0, 1\], as 8-bit .* by 255"),
        (_FLOATS * 2 - 1, r"floats from -1 to 0.835294; they must lie in \[0, 1\]"),
        (np.full((2, 4, 5, 1), np.nan), "NaN or infinite"),
        (np.where(_LEVELS == 0, np.inf, _FLOATS), "NaN or infinite"),
        (_LEVELS.astype(np.uint16) * 17, "uint16 with values from 0 to 3978; .* 0 to 255"),
        (_LEVELS - 1, "int64 with values from -1 to 233; .* 0 to 255"),
        (np.full((1, 4, 5, 1), 2**64 - 1), "uint64 with values from 18446744073709551615 to"),
        (_LEVELS // 200, "int64 with values 0 and 1 alone; white must be 255. Give bool or floats"),
        ((_LEVELS // 200).astype(np.uint8), "uint8 with values 0 and 1 alone"),
        (_FLOATS.astype(complex), "of the type complex128; give floats in"),
        (_FLOATS.astype(object), "of the type object"),
        (_FLOATS.astype(str), "of the type text"),
        (_FLOATS.astype("datetime64[s]"), "of the type datetime64"),
        (None, "of the type object"),
        ("7.png", "of the type text"),
        ([[1, 2], [3]], "a list that cannot be made an array"),
        (tf.keras.Input((4, 5, 1)), "a KerasTensor that cannot be made an array"),
        (_Frame(), r"shape \(1, 2\) do not fit this model; it takes \[N, 4, 5, 1\]\.$"),
        (_FLOATS[0], r"A single image is a batch of one: images\[np.newaxis\]"),
        (_FLOATS[0, ..., 0], r"A single image is a batch of one"),
        (np.moveaxis(_FLOATS, -1, 1), r"Channels come last here: np.moveaxis\(images, 1, -1\)"),
        (_FLOATS.reshape(2, -1), r"images.reshape\(-1, 4, 5, 1\) would"),
        (np.repeat(_FLOATS, 3, axis=-1), "The number of channels is wrong: 3"),
        (np.zeros((2, 8, 8, 1)), r"shape \(2, 8, 8, 1\) do not fit this model; .* 4, 5, 1\]\.$"),
        (0.5, r"shape \(\) do not fit"),
        ([], r"shape \(0,\) do not fit"),
    ],
)
def test_other_images_of_one_channel_are_refused(given, message):
    assert re.search(message, _refusal(to_images, given, GREY))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 5, 3), r"A single image is a batch of one"),
        ((3, 4, 5), r"np.moveaxis\(images, 0, -1\)\[np.newaxis\]"),
        ((2, 3, 4, 5), r"np.moveaxis\(images, 1, -1\)"),
        ((2, 4, 5), "The number of channels is wrong: 1"),
        ((2, 4, 5, 1), "The number of channels is wrong: 1"),
        ((2, 4, 5, 4), "The number of channels is wrong: 4"),
        ((2, 60), r"images.reshape\(-1, 4, 5, 3\) would"),
    ],
)
def test_other_images_of_colours_are_refused(shape, message):
    assert re.search(message, _refusal(to_images, np.zeros(shape), COLOURS))


def test_latents_are_taken_as_finite_numbers():
    expected = [[1, 2], [3, 4]]
    for given in (expected, np.array(expected, float), tf.constant(expected)):
        latents = to_latents(given, 2)
        assert latents.dtype == np.float32
        np.testing.assert_array_equal(latents, expected)
    assert to_latents(_Frame(), 2).shape == (1, 2)
    assert to_latents(np.zeros((0, 2)), 2).shape == (0, 2)
    assert r"latents[np.newaxis]" in _refusal(to_latents, [1.0, 2.0], 2)
    assert "it takes [N, 2]." in _refusal(to_latents, np.zeros((3, 3)), 2)
    for given in ([[np.nan, 0]], [[1e300, 0]], [[0, -np.inf]]):
        assert "must be finite" in _refusal(to_latents, given, 2)
    for given in ([[True, False]], [["a", "b"]], np.zeros((1, 2), complex), None, [[1], [2, 3]]):
        assert "give floats" in _refusal(to_latents, given, 2)


def test_scores_may_be_infinite_but_are_one_for_each_image():
    given = [-np.inf, 0.5, np.nan]
    np.testing.assert_array_equal(to_scores(given), np.array(given, np.float32))
    assert to_scores([]).shape == (0,)
    for given in (np.zeros((3, 1)), 1.5, np.zeros((1, 1, 1))):
        assert "must be one for each image, [N]" in _refusal(to_scores, given)
    for given in ({"elbo": [1.0]}, ["a"], None):
        assert "mean_scores(images)['elbo']" in _refusal(to_scores, given)


def test_labels_are_numbers_of_classes():
    for given in ([0, 2, 1], np.array([0, 2, 1], np.uint8), tf.constant([0, 2, 1], tf.int64)):
        labels = to_labels(given, 3, 3)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, [0, 2, 1])
    np.testing.assert_array_equal(to_labels(np.int64(2), 3, 3), [2, 2, 2])
    assert to_labels([], 0, 3).shape == (0,)
    wrong = (
        [-1, 0, 1], [0, 1, 3], [0, 1], [[0, 1, 2]], [0.0, 1.0, 2.0], [0.5, 1, 2], ["a"] * 3, 3, 1.0,
        [True, False, True], "cat", [[0], [1, 2]], [], np.array([2**40] * 3),
    )  # fmt: skip
    for given in wrong:
        assert "numbers of classes from 0 to 2" in _refusal(to_labels, given, 3, 3)


@pytest.mark.parametrize("given", [7, np.int8(7), np.uint64(7), np.array(7), tf.constant(7)])
def test_whole_numbers_of_every_type_are_taken(given):
    number = to_whole(given, "num", 0, 9)
    assert number == 7 and type(number) is int


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (-1, "num=-1"), (10, "num=10"), (2.5, "num=2.5"), (2.0, "num=2.0"), (True, "num=True"),
        (np.True_, "num: is a bool"), (np.nan, "num=nan"), ("3", "num: is a str"),
        (None, "num: is a NoneType"), ([3], "num: is a list"), (1j, "num: is a complex"),
        (np.zeros(3), "num: is a ndarray"), (np.float32(3), "num: is a float32"),
        (tf.constant(2.0), "num: is a EagerTensor"),
    ],
)  # fmt: skip
def test_what_is_no_such_whole_number_is_refused(given, said):
    text = _refusal(to_whole, given, "num", 0, 9)
    assert text == f"{said}; must be a whole number from 0 to 9."


def test_keys_are_two_whole_numbers():
    np.testing.assert_array_equal(to_key(tf.constant([3, -4])), [3, -4])
    for given in (3, [1, 2, 3], [1.5, 2], [2**31, 0], None):
        assert "two whole numbers" in _refusal(to_key, given)
