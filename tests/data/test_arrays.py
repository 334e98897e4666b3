import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.arrays import to_labels, to_uint8

LEVELS = np.arange(256).reshape(1, 16, 16)


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "i4", "i8", "u8"])
def test_whole_numbers_are_grey_levels(dtype):
    images = to_uint8(LEVELS.astype(dtype), "images")
    assert images.dtype == np.uint8 and images.shape == (1, 16, 16, 1)
    np.testing.assert_array_equal(images.ravel(), np.arange(256))


@pytest.mark.parametrize(
    ("change", "message"),
    [(-1, "photos has values from -1 to 254"), (1, "photos has values from 1 to 256; they must")],
)
def test_numbers_that_are_no_grey_levels_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        to_uint8(LEVELS + change, "photos")


def test_true_is_white():
    images = to_uint8(np.array([[[True, False], [False, False]]]), "images")
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[0, ..., 0], [[255, 0], [0, 0]])


@pytest.mark.parametrize("value", [True, False])
def test_bool_of_one_value_is_taken(value):
    assert np.all(to_uint8(np.full((1, 2, 2), value), "images") == 255 * value)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_0_and_1_could_be_black_and_white_or_two_dark_levels(dtype):
    with pytest.raises(UserError, match=f"is {np.dtype(dtype)} with values 0 and 1 only"):
        to_uint8((LEVELS % 2).astype(dtype), "images")


def test_uint8_images_are_not_copied():
    images = LEVELS.astype(np.uint8)
    assert np.shares_memory(to_uint8(images, "images"), images)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("values", [[3, 1, 4, 1], ["a", "b", "c", "d"], [0.5, 1, 2, 3]])
def test_labels_are_one_for_each_image(shape, values):
    labels = to_labels(np.array(values).reshape(shape), 4, "labels")
    assert labels.tolist() == values


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"])
def test_whole_floats_become_whole_numbers(dtype):
    labels = to_labels(np.array([7.0, -2.0, 0.0], dtype), 3, "labels")
    assert [str(label) for label in labels] == ["7", "-2", "0"]


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, -np.inf, 1e300])
def test_other_floats_stay_what_they_are(value):
    labels = to_labels(np.array([7.0, value]), 2, "labels")
    np.testing.assert_array_equal(labels, [7.0, value])


def test_there_may_be_no_labels():
    assert to_labels(None, 3, "labels") is None


@pytest.mark.parametrize("shape", [(), (3,), (5,), (4, 2), (1, 4), (4, 1, 1)])
def test_other_shapes_of_labels_are_refused(shape):
    with pytest.raises(UserError, match="y has the shape .* one label for each of the 4 images"):
        to_labels(np.zeros(shape), 4, "y")


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((5, 3, 32, 32), "channels come first ([N, C, H, W]): np.moveaxis(x, 1, -1)."),
        ((5, 1, 28, 28), "np.moveaxis(x, 1, -1)."),
        ((5, 4, 64, 48), "np.moveaxis(x, 1, -1)."),
        ((32, 32, 3, 500), "images come last ([H, W, C, N]): np.moveaxis(x, -1, 0)."),
        ((500, 784), "rows seem to be images: x.reshape(-1, 28, 28)."),
        ((500, 3072), "x.reshape(-1, height, width)."),
    ],
)
def test_arrays_in_another_order_are_told_how_to_mend_it(shape, remedy):
    with pytest.raises(UserError) as error:
        to_uint8(np.zeros(shape, np.uint8), "photos")
    assert str(error.value).endswith(remedy)


@pytest.mark.parametrize("shape", [(5, 3, 9, 3), (5, 3, 9, 1), (2, 9, 8, 7)])
def test_arrays_in_the_right_order_are_taken(shape):
    assert to_uint8(np.zeros(shape, np.uint8), "photos").shape == shape


@pytest.mark.parametrize(
    ("low", "high", "dtype", "remedy"),
    [
        (0, 255, "f4", "x / 255,"),
        (3, 3987, "f8", "x / 4095,"),
        (0, 1e6, "f8", "x / 1e+06,"),
        (-0.97, 0.95, "f4", "(x + 1) / 2."),
        (-2.5, 3, "f4", "(x + 2.5) / 5.5."),
        (-0.002, 1.003, "f4", "np.clip(x, 0, 1)."),
        (0, 1023, "u2", "x / 1023,"),
        (7, 65000, "u2", "x / 65535,"),
        (-1024, 3071, "i2", "(x + 1024) / 4095."),
        (0, 1, "u1", "white must be 255: x * 255."),
    ],
)
def test_other_ranges_are_told_how_to_mend_them(low, high, dtype, remedy):
    images = np.linspace(low, high, 256).reshape(1, 16, 16).astype(dtype)
    with pytest.raises(UserError) as error:
        to_uint8(images, "photos")
    assert remedy in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_is_said_of_a_range_without_an_end(value):
    with pytest.raises(UserError, match=r"must lie in \[0, 1\], without NaN\.$"):
        to_uint8(np.array([[[0.5, value]]]), "photos")
