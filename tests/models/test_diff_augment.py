"""Changes of real and drawn images: what each does, that gradients pass, that keys decide."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.config import Config
from cvae_tf.models.gan import diff_augment
from cvae_tf.models.gan.settings_check import KINDS, complete, kinds_of

KEY = tf.constant([3, 4])


def _images(num=200, shape=(16, 24, 3)):
    return tf.constant(np.random.default_rng(0).uniform(0.1, 0.9, (num, *shape)), tf.float32)


def _changed(kind, key=KEY):
    return diff_augment.augment(_images(), [kind], key).numpy()


def test_half_of_the_images_are_mirrored():
    images, changed = _images().numpy(), _changed("mirror")
    is_same = np.all(changed == images, axis=(1, 2, 3))
    np.testing.assert_array_equal(changed[~is_same], images[~is_same][:, :, ::-1])
    assert 70 < is_same.sum() < 130


def test_translation_shifts_each_image_by_an_eighth_at_most_and_lets_black_in():
    images, changed = _images().numpy(), _changed("translation")
    found = set()
    for image, moved in zip(images, changed, strict=True):
        fits = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if np.allclose(moved, _shifted(image, down, right), atol=1e-5)
        ]
        assert len(fits) == 1
        found.add(fits[0])
    assert len(found) > 25  # of 35 there are
    assert {down for down, _ in found} == set(range(-2, 3))
    assert {right for _, right in found} == set(range(-3, 4))


def _shifted(image, down, right):
    result = np.zeros_like(image)
    height, width, _ = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                result[row, column] = image[row - down, column - right]
    return result


def test_cutout_makes_one_rectangle_black():
    images, changed = _images().numpy(), _changed("cutout")
    is_black = np.all(changed == 0, axis=3)
    np.testing.assert_array_equal(changed[~is_black], images[~is_black])
    for black in is_black:
        rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
        assert black[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert len(rows) <= 8 and len(columns) <= 12
    assert is_black.mean() > 0.15


def test_colours_change_in_brightness_saturation_and_contrast():
    images, changed = _images().numpy(), _changed("colour")
    means = changed.mean(axis=(1, 2, 3)) - images.mean(axis=(1, 2, 3))
    assert np.abs(means).max() <= 0.25 + 1e-5 and means.std() > 0.1
    saturation = np.ptp(changed, axis=3).mean(axis=(1, 2)) / np.ptp(images, axis=3).mean(
        axis=(1, 2)
    )
    assert saturation.max() < 3.01 and saturation.std() > 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_pass_and_the_key_decides(kind):
    images = _images(8)
    with tf.GradientTape() as tape:
        tape.watch(images)
        changed = diff_augment.augment(images, [kind], KEY)
        total = tf.reduce_sum(changed)
    assert np.abs(tape.gradient(total, images)).max() > 0
    np.testing.assert_array_equal(changed, diff_augment.augment(images, [kind], KEY))
    assert np.any(changed != diff_augment.augment(images, [kind], tf.constant([3, 5])))


@pytest.mark.parametrize(
    ("asked", "channels", "num_images", "expected"),
    [
        ("auto", 3, 1000, {"diff_augment": "mirror,translation"}),
        ("auto", 1, 19_999, {"diff_augment": "translation"}),
        ("auto", 3, 20_000, {"diff_augment": "mirror"}),
        ("auto", 1, 60_000, {"diff_augment": "none"}),
        ("cutout", 3, 1000, {}),
    ],
)
def test_what_is_left_to_the_images_is_chosen_by_them(asked, channels, num_images, expected):
    config = Config.create("gan", diff_augment=asked)
    chosen, why = complete(config, (32, 32, channels), num_images)
    assert chosen == expected
    assert bool(why) == bool(expected) and all(value in why for value in expected.values())


def test_kinds_are_applied_one_by_one():
    assert kinds_of("cutout,mirror") == ("cutout", "mirror") and kinds_of("none") == ()
    images = _images(4)
    np.testing.assert_array_equal(diff_augment.augment(images, (), KEY), images)
