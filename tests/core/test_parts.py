"""Parts of many images: together all of them, each once, fewer at a time if they are large."""

import numpy as np
import pytest

from cvae_tf.core.parts import slices


@pytest.mark.parametrize("num", [0, 1, 256, 257, 1000])
@pytest.mark.parametrize("shape", [(32, 32, 3), (256, 256), (2000, 3000, 1)])
def test_parts_are_all_images_in_their_order(num, shape):
    numbers = np.arange(num)
    parts = [numbers[own] for own in slices(num, shape)]
    np.testing.assert_array_equal(np.concatenate([numbers[:0], *parts]), numbers)
    assert all(own.stop <= num for own in slices(num, shape))


@pytest.mark.parametrize(("shape", "expected"), [((32, 32), 256), ((256, 256), 4), ((9000, 9), 3)])
def test_a_part_has_a_bounded_number_of_pixels(shape, expected):
    assert next(slices(10_000, shape)) == slice(0, expected)
    assert next(slices(10_000, (4000, 4000))) == slice(0, 1)
