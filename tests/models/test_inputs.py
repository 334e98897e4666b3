"""What is given to a model in use: taken in every sensible form, else refused in a line."""

import re

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.models.inputs import to_images, to_labels, to_latents, to_whole

GREY = 4, 5, 1
_LEVELS = np.arange(40).reshape(2, 4, 5, 1) * 6
_FLOATS = _LEVELS / 255


def _refuses(message, function, *arguments):
    """Whether it says so in one line of a bearable length, without the values."""
    with pytest.raises(UserError) as refused:
        function(*arguments)
    text = str(refused.value)
    assert "\n" not in text and len(text) < 250 and "[[" not in text
    return re.search(message, text)


def test_images_of_every_sensible_form_are_taken():
    for given in (
        _FLOATS, _FLOATS[..., 0].tolist(), tf.constant(_FLOATS, tf.float32),
        _LEVELS.astype(np.uint8), _LEVELS.astype(np.int64), _LEVELS.astype(np.uint16),
    ):  # fmt: skip
        images = to_images(given, GREY)
        assert images.dtype == np.float32
        np.testing.assert_allclose(images, _FLOATS, rtol=1e-7)
    np.testing.assert_array_equal(to_images(_FLOATS > 0.5, GREY), _FLOATS > 0.5)
    assert to_images(np.zeros((0, 4, 5, 1), np.uint8), GREY).shape == (0, 4, 5, 1)


_OTHERS = [
    (_FLOATS * 255, r"float64 with values from 0 to 234; give floats in \[0, 1\], whole .* 255"),
    (np.full((2, 4, 5, 1), np.nan), "from nan to nan; give floats"),
    (_LEVELS.astype(np.uint16) * 17, "uint16 with values from 0 to 3978; .* 0 to 255"),
    (_LEVELS - 1, "int64 with values from -1 to 233; .* 0 to 255"),
    (_LEVELS // 200, "int64 with values 0 and 1 alone; white must be 255. Give bool or floats"),
    (_FLOATS.astype(complex), "of the type complex128; give floats in"),
    (
        _FLOATS[0],
        r"shape \(4, 5, 1\) do not fit this model; it takes \[N, 4, 5, 1\]; channels are last",
    ),
    ([[1, 2], [3]], "a list that cannot be made an array"),
]


def test_other_images_are_refused():
    for given, message in _OTHERS:
        assert _refuses(message, to_images, given, GREY), message


def test_latents_labels_and_numbers_of_every_type_are_taken():
    for given in ([[1, 2], [3, 4]], tf.constant([[1, 2], [3, 4]])):
        latents = to_latents(given, 2)
        assert latents.dtype == np.float32
        np.testing.assert_array_equal(latents, [[1, 2], [3, 4]])
    for given in ([0, 2, 1], np.array([0, 2, 1], np.uint8)):
        labels = to_labels(given, 3, 3)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, [0, 2, 1])
    np.testing.assert_array_equal(to_labels(np.int64(2), 3, 3), [2, 2, 2])
    for given in (7, np.uint64(7), tf.constant(7)):
        number = to_whole(given, "num", 0, 9)
        assert number == 7 and type(number) is int


def test_other_latents_labels_and_numbers_are_refused():
    for given, message in (
        (np.zeros((3, 3)), r"it takes \[N, 2\]\."),
        ([[np.nan, 0]], "must be finite"), ([[1e300, 0]], "must be finite"),
        ([[True, False]], "give floats"), ([[1], [2, 3]], "give floats"),
    ):  # fmt: skip
        assert _refuses(message, to_latents, given, 2), message
    for given in ([-1, 0, 1], [0, 1, 3], [0, 1], [0.0, 1.0, 2.0], 3, [True, False, True], "cat"):
        assert _refuses("numbers of classes from 0 to 2", to_labels, given, 3, 3)
    for given, said in (
        (-1, "num=-1"), (10, "num=10"), (2.0, "num=2.0"), (True, "num=True"),
        ("3", "num: is a str"), (np.zeros(3), "num: is a ndarray"),
    ):  # fmt: skip
        message = f"^{said}; must be a whole number from 0 to 9.$"
        assert _refuses(message, to_whole, given, "num", 0, 9), given
