import numpy as np
import pytest

from cvae_tf.data import warps
from cvae_tf.data.warps import WarpRange


def _images(num, height, width, channels=1):
    size = (num, height, width, channels)
    return np.random.default_rng(0).uniform(size=size).astype(np.float32)


def _transform(*rows):
    (a, b, c), (d, e, f) = rows
    return np.array([[a, b, c, d, e, f, 0, 0]], np.float32)


def _drawn(spread, count=20_000, seed=(0, 1), from_size=(10, 10), to_size=(10, 10)):
    transforms = warps.random_transforms(count, list(seed), spread, from_size, to_size)
    return np.asarray(transforms)[:, :6].reshape(count, 2, 3)


@pytest.mark.parametrize("size", [(6, 6), (5, 9)])
def test_identity_leaves_images_as_they_are(size):
    images = _images(3, *size, channels=2)
    transforms = warps.random_transforms(3, [0, 0], WarpRange(), size, size)
    np.testing.assert_allclose(warps.warp(images, transforms, size), images, atol=1e-6)


def test_a_shift_moves_by_that_many_pixels():
    images = _images(1, 8, 8)
    right = warps.warp(images, _transform((1, 0, 2), (0, 1, 3)), (8, 8))[0]
    np.testing.assert_allclose(right[:5, :6], images[0, 3:, 2:], atol=1e-6)
    assert np.all(right[5:] == 0) and np.all(right[:, 6:] == 0)


@pytest.mark.parametrize("size", [7, 8])
def test_a_quarter_turn_is_that_of_numpy(size):
    images = _images(1, size, size)
    turned = warps.warp(images, _transform((0, -1, 0), (1, 0, 0)), (size, size))[0]
    np.testing.assert_allclose(turned, np.rot90(images[0], 1), atol=1e-5)


def test_each_image_has_its_own_transform():
    images = _images(2, 6, 6)
    both = np.concatenate([_transform((1, 0, 0), (0, 1, 0)), _transform((-1, 0, 0), (0, -1, 0))])
    result = warps.warp(images, both, (6, 6)).numpy()
    np.testing.assert_allclose(result[0], images[0], atol=1e-6)
    np.testing.assert_allclose(result[1], images[1, ::-1, ::-1], atol=1e-6)


def test_enlargement_keeps_the_centre_in_the_centre():
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[0, 3:5, 3:5] = 1
    transforms = warps.random_transforms(1, [0, 0], WarpRange(), (8, 8), (20, 20))
    result = warps.warp(image, transforms, (28, 28))[0, :, :, 0].numpy()
    np.testing.assert_allclose(result, result[::-1], atol=1e-5)
    np.testing.assert_allclose(result, result.T, atol=1e-5)
    assert result.sum() == pytest.approx(4 * (20 / 8) ** 2, rel=0.05)


def test_larger_result_is_black_around():
    transforms = warps.random_transforms(1, [0, 0], WarpRange(), (8, 8), (8, 8))
    result = warps.warp(np.ones((1, 8, 8, 1), np.float32), transforms, (12, 12))[0, :, :, 0].numpy()
    np.testing.assert_allclose(result, np.pad(np.ones((8, 8)), 2), atol=1e-6)


def test_no_spread_is_the_plain_enlargement():
    maps = _drawn(WarpRange(), count=5, from_size=(80, 40), to_size=(20, 20))
    np.testing.assert_allclose(maps, np.tile([[2, 0, 0], [0, 4, 0]], (5, 1, 1)), atol=1e-6)


def test_turning_alone_is_a_rotation_of_the_given_spread():
    linear = _drawn(WarpRange(degrees=10))[:, :, :2]
    np.testing.assert_allclose(linear @ linear.swapaxes(1, 2), np.tile(np.eye(2), (20_000, 1, 1)),
                               atol=1e-5)  # fmt: skip
    degrees = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert degrees.std() == pytest.approx(10, rel=0.03)
    assert abs(degrees.mean()) < 0.3


def test_shift_is_in_pixels_of_the_result():
    shifts = _drawn(WarpRange(shift=0.7), from_size=(80, 80), to_size=(20, 20))[:, :, 2]
    np.testing.assert_allclose(shifts.std(axis=0), [2.8, 2.8], rtol=0.03)
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.03


def test_scale_and_shear_have_the_given_spread():
    scales = _drawn(WarpRange(scale=0.1))
    np.testing.assert_allclose(scales[:, [0, 1], [0, 1]].std(axis=0), [0.1, 0.1], rtol=0.03)
    assert np.all(scales[:, [0, 1], [1, 0]] == 0)
    shears = _drawn(WarpRange(shear=0.2))
    assert shears[:, 0, 1].std() == pytest.approx(0.2, rel=0.03)
    assert np.all(shears[:, 0, 0] == 1) and np.all(shears[:, 1, :2] == [0, 1])


def test_warps_are_a_pure_function_of_the_seed():
    spread = WarpRange(6, 0.1, 0.1, 1)
    first, again, other = (_drawn(spread, 10, seed) for seed in ((3, 1), (3, 1), (3, 2)))
    np.testing.assert_array_equal(first, again)
    assert np.all(np.abs(first - other).max(axis=(1, 2)) > 1e-3)
