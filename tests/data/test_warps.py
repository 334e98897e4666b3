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


def test_a_shift_is_in_pixels_and_a_quarter_turn_that_of_numpy():
    images = _images(1, 7, 8, channels=2)
    shifted = warps.warp(images, _transform((1, 0, 2), (0, 1, 3)), (7, 8))[0]
    np.testing.assert_allclose(shifted[:4, :6], images[0, 3:, 2:], atol=1e-6)
    assert np.all(shifted[4:] == 0) and np.all(shifted[:, 6:] == 0)
    turned = warps.warp(images, _transform((0, -1, 0), (1, 0, 0)), (8, 7))[0]
    np.testing.assert_allclose(turned, np.rot90(images[0]), atol=1e-5)


def test_each_image_has_its_own_transform():
    images = _images(2, 6, 6)
    both = np.concatenate([_transform((1, 0, 0), (0, 1, 0)), _transform((-1, 0, 0), (0, -1, 0))])
    result = warps.warp(images, both, (6, 6)).numpy()
    np.testing.assert_allclose(result[0], images[0], atol=1e-6)
    np.testing.assert_allclose(result[1], images[1, ::-1, ::-1], atol=1e-6)


def test_no_spread_is_the_plain_enlargement_about_the_centre_with_black_around():
    maps = _drawn(WarpRange(), count=5, from_size=(80, 40), to_size=(20, 20))
    np.testing.assert_allclose(maps, np.tile([[2, 0, 0], [0, 4, 0]], (5, 1, 1)), atol=1e-6)
    transforms = warps.random_transforms(1, [0, 0], WarpRange(), (8, 8), (8, 8))
    result = warps.warp(np.ones((1, 8, 8, 1), np.float32), transforms, (12, 12))[0, :, :, 0]
    np.testing.assert_allclose(result, np.pad(np.ones((8, 8)), 2), atol=1e-6)
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[0, 3:5, 3:5] = 1
    transforms = warps.random_transforms(1, [0, 0], WarpRange(), (8, 8), (20, 20))
    result = warps.warp(image, transforms, (28, 28))[0, :, :, 0].numpy()
    np.testing.assert_allclose(result, result[::-1], atol=1e-5)
    np.testing.assert_allclose(result, result.T, atol=1e-5)
    assert result.sum() == pytest.approx(4 * (20 / 8) ** 2, rel=0.05)


def test_each_kind_of_warp_has_the_given_spread():
    linear = _drawn(WarpRange(degrees=10))[:, :, :2]
    identities = np.tile(np.eye(2), (20_000, 1, 1))
    np.testing.assert_allclose(linear @ linear.swapaxes(1, 2), identities, atol=1e-5)
    degrees = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert degrees.std() == pytest.approx(10, rel=0.03) and abs(degrees.mean()) < 0.3
    shifts = _drawn(WarpRange(shift=0.7), from_size=(80, 80), to_size=(20, 20))[:, :, 2]
    np.testing.assert_allclose(shifts.std(axis=0), [2.8, 2.8], rtol=0.03)  # pixels of the result
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.03
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
