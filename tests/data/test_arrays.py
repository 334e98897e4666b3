import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import to_uint8
from cvae_tf.data.labels import read_labels

LEVELS = np.arange(256).reshape(1, 16, 16)


def _zeros(*shape):
    return np.zeros(shape, np.uint8)


def _ramp(low, high, dtype):
    return np.linspace(low, high, 256).reshape(1, 16, 16).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i8"])
def test_whole_numbers_are_grey_levels(dtype):
    levels = LEVELS.astype(dtype)
    images = to_uint8(levels, "images")
    assert images.dtype == np.uint8 and images.shape == (1, 16, 16, 1)
    np.testing.assert_array_equal(images.ravel(), np.arange(256))
    assert np.shares_memory(images, levels) == (dtype == "u1")


@pytest.mark.parametrize("shape", [(5, 3, 9, 3), (2, 9, 8, 7)])
def test_true_is_white_in_any_shape_that_is_in_order(shape):
    drawn = np.arange(np.prod(shape)).reshape(shape) % 2 > 0
    for bits in (drawn, np.ones(shape, bool), np.zeros(shape, bool)):
        np.testing.assert_array_equal(to_uint8(bits, "images"), np.where(bits, 255, 0))


REFUSED = [
    (_zeros(5, 3, 32, 32), "the shape (5, 3, 32, 32); it must be [N, H, W] or [N, H, W, C]"),
    (_zeros(500, 784), "x.reshape(-1, height, width) makes images of rows"),
    (_zeros(0, 8, 8), "the shape (0, 8, 8); it must be"),
    (LEVELS - 1, "int64 with values from -1 to 254; it must be whole numbers from 0"),
    (LEVELS + 1, "int64 with values from 1 to 256; it must be whole numbers from 0"),
    (_ramp(0, 255, "f4"), "such as x / 255;"),
    (_ramp(-0.97, 0.95, "f4"), "(x + 1) / 2"),
    (LEVELS % 2, "int64 with values from 0 to 1;"),
    (np.array([[[0.5, np.nan]]]), "values from nan to nan; it must be whole"),
]


@pytest.mark.parametrize(("images", "reason"), REFUSED, ids=str)
def test_other_orders_and_ranges_are_refused_with_what_to_do(images, reason):
    with pytest.raises(UserError) as error:
        to_uint8(images, "photos")
    assert reason in str(error.value) and str(error.value).startswith("photos ")


def test_labels_are_one_for_each_image_and_whole_floats_whole_numbers():
    for values, wanted in (
        (["a", "b", "c"], ["a", "b", "c"]),
        (np.array([7.0, -2.0, 0.0], ">f8"), ["7", "-2", "0"]),
        ([7.0, np.nan, np.inf], ["7.0", "nan", "inf"]),
    ):
        for shape in ((3,), (3, 1)):
            given = {"y": (np.array(values).reshape(shape), 3)}
            (labels,), names = read_labels(given, None, "a.npz")
            assert [str(names[label] if names else label) for label in labels] == wanted
    assert read_labels({"y": (None, 3)}, None, "a.npz") == ([None], None)
    for shape in ((), (5,), (4, 2), (1, 4)):
        with pytest.raises(UserError, match="a.npz: y has the shape .* label for each of the 4"):
            read_labels({"y": (np.zeros(shape), 4)}, None, "a.npz")
