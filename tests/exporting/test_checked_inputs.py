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


def _refuses(message, function, *arguments):
    """Whether it says so in one line of a bearable length, without the values."""
    with pytest.raises(UserError) as refused:
        function(*arguments)
    text = str(refused.value)
    assert "\n" not in text and len(text) < 250 and "[[" not in text
    return re.search(message, text)


def test_images_of_every_sensible_form_are_taken():
    for given in (
        _FLOATS, _FLOATS[..., 0], _FLOATS.tolist(), tf.constant(_FLOATS),
        tf.constant(_FLOATS, tf.float32), _LEVELS[..., 0].tolist(),
        *(_LEVELS.astype(kind) for kind in ("uint8", "int16", "int32", "int64", "uint16")),
    ):  # fmt: skip
        images = to_images(given, GREY)
        assert images.dtype == np.float32
        np.testing.assert_allclose(images, _FLOATS, rtol=1e-7)
    white = _FLOATS > 0.5
    for given in (white, white.astype(np.float16), white.astype(ml_dtypes.bfloat16)):
        np.testing.assert_array_equal(to_images(given, GREY), white)
    np.testing.assert_array_equal(to_images(np.zeros((1, 4, 5, 1), np.int64), GREY), 0)
    # Of float64, but 1 as float32.
    assert to_images(np.full((1, 4, 5, 1), 1 + 1e-9), GREY).max() == 1
    for kind in (np.float32, np.uint8, np.int64, bool):
        assert to_images(np.zeros((0, 4, 5, 3), kind), COLOURS).shape == (0, 4, 5, 3)


_OTHERS = [
    (_FLOATS * 255, r"floats from 0 to 234; they must lie in \[0, 1\], as 8-bit .* by 255"),
    (_FLOATS * 2 - 1, r"floats from -1 to 0.835294; they must lie in \[0, 1\]"),
    (np.full((2, 4, 5, 1), np.nan), "NaN or infinite"),
    (_LEVELS.astype(np.uint16) * 17, "uint16 with values from 0 to 3978; .* 0 to 255"),
    (_LEVELS - 1, "int64 with values from -1 to 233; .* 0 to 255"),
    (_LEVELS // 200, "int64 with values 0 and 1 alone; white must be 255. Give bool or floats"),
    (_FLOATS.astype(complex), "of the type complex128; give floats in"),
    (None, "of the type object"),
    ("7.png", "of the type text"),
    ([[1, 2], [3]], "a list that cannot be made an array"),
    (tf.keras.Input((4, 5, 1)), "a KerasTensor that cannot be made an array"),
    (_Frame(), r"shape \(1, 2\) do not fit this model; it takes \[N, 4, 5, 1\]\.$"),
    (_FLOATS[0], r"A single image is a batch of one: images\[np.newaxis\]"),
    (np.moveaxis(_FLOATS, -1, 1), r"Channels come last here: np.moveaxis\(images, 1, -1\)"),
    (_FLOATS.reshape(2, -1), r"images.reshape\(-1, 4, 5, 1\) would"),
    (np.repeat(_FLOATS, 3, axis=-1), "The number of channels is wrong: 3"),
    ([], r"shape \(0,\) do not fit"),
]


def test_other_images_are_refused():
    for given, message in _OTHERS:
        assert _refuses(message, to_images, given, GREY), message
    for shape, message in (
        ((4, 5, 3), r"A single image is a batch of one"),
        ((3, 4, 5), r"np.moveaxis\(images, 0, -1\)\[np.newaxis\]"),
        ((2, 4, 5), "The number of channels is wrong: 1"),
    ):
        assert _refuses(message, to_images, np.zeros(shape), COLOURS), message


def test_latents_and_scores_are_taken_as_numbers():
    expected = [[1, 2], [3, 4]]
    for given in (expected, np.array(expected, float), tf.constant(expected)):
        latents = to_latents(given, 2)
        assert latents.dtype == np.float32
        np.testing.assert_array_equal(latents, expected)
    assert to_latents(_Frame(), 2).shape == (1, 2)
    assert to_latents(np.zeros((0, 2)), 2).shape == (0, 2)
    assert _refuses(r"latents\[np.newaxis\]", to_latents, [1.0, 2.0], 2)
    assert _refuses(r"it takes \[N, 2\]\.", to_latents, np.zeros((3, 3)), 2)
    for given in ([[np.nan, 0]], [[1e300, 0]], [[0, -np.inf]]):
        assert _refuses("must be finite", to_latents, given, 2)
    for given in ([[True, False]], [["a", "b"]], np.zeros((1, 2), complex), None, [[1], [2, 3]]):
        assert _refuses("give floats", to_latents, given, 2)
    given = [-np.inf, 0.5, np.nan]  # scores may be infinite, but are one for each image
    np.testing.assert_array_equal(to_scores(given), np.array(given, np.float32))
    assert _refuses(r"must be one for each image, \[N\]", to_scores, np.zeros((3, 1)))
    for given in ({"elbo": [1.0]}, ["a"], None):
        assert _refuses(r"mean_scores\(images\)\['elbo'\]", to_scores, given)


def test_labels_are_numbers_of_classes():
    for given in ([0, 2, 1], np.array([0, 2, 1], np.uint8), tf.constant([0, 2, 1], tf.int64)):
        labels = to_labels(given, 3, 3)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, [0, 2, 1])
    np.testing.assert_array_equal(to_labels(np.int64(2), 3, 3), [2, 2, 2])
    assert to_labels([], 0, 3).shape == (0,)
    wrong = (
        [-1, 0, 1], [0, 1, 3], [0, 1], [[0, 1, 2]], [0.0, 1.0, 2.0], ["a"] * 3, 3, 1.0,
        [True, False, True], "cat", [[0], [1, 2]], [], np.array([2**40] * 3),
    )  # fmt: skip
    for given in wrong:
        assert _refuses("numbers of classes from 0 to 2", to_labels, given, 3, 3)


def test_whole_numbers_of_every_type_are_taken_and_nothing_else():
    for given in (7, np.int8(7), np.uint64(7), np.array(7), tf.constant(7)):
        number = to_whole(given, "num", 0, 9)
        assert number == 7 and type(number) is int
    for given, said in (
        (-1, "num=-1"), (10, "num=10"), (2.0, "num=2.0"), (True, "num=True"),
        (np.True_, "num: is a bool"), (np.nan, "num=nan"), ("3", "num: is a str"),
        (None, "num: is a NoneType"), ([3], "num: is a list"), (np.zeros(3), "num: is a ndarray"),
        (np.float32(3), "num: is a float32"), (tf.constant(2.0), "num: is a EagerTensor"),
    ):  # fmt: skip
        message = f"^{said}; must be a whole number from 0 to 9.$"
        assert _refuses(message, to_whole, given, "num", 0, 9), given
    np.testing.assert_array_equal(to_key(tf.constant([3, -4])), [3, -4])
    for given in (3, [1, 2, 3], [1.5, 2], [2**31, 0], None):
        assert _refuses("two whole numbers", to_key, given)
