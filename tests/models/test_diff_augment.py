"""Changes of real and drawn images: what each does, that gradients pass, that keys decide."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.config import Config
from cvae_tf.models.gan import diff_augment
from cvae_tf.models.gan.settings_check import KINDS, complete, kinds_of

KEY = tf.constant([3, 4])
IMAGES = np.random.default_rng(0).uniform(0.1, 0.9, (150, 16, 24, 3)).astype(np.float32)


def _changed(kind):
    return diff_augment.augment(tf.constant(IMAGES), [kind], KEY).numpy()


def test_half_of_the_images_are_mirrored():
    changed = _changed("mirror")
    is_same = np.all(changed == IMAGES, axis=(1, 2, 3))
    np.testing.assert_array_equal(changed[~is_same], IMAGES[~is_same][:, :, ::-1])
    assert 50 < is_same.sum() < 100


def test_translation_shifts_each_image_by_an_eighth_at_most_and_lets_black_in():
    shifts = [(down, right) for down in range(-2, 3) for right in range(-3, 4)]
    padded, found = np.pad(IMAGES, ((0, 0), (2, 2), (3, 3), (0, 0))), []
    for number, moved in enumerate(_changed("translation")):
        fits = [
            (down, right)
            for down, right in shifts
            if np.allclose(
                moved, padded[number, 2 - down : 18 - down, 3 - right : 27 - right], atol=1e-5
            )
        ]
        assert len(fits) == 1
        found += fits
    assert len(set(found)) > 25  # of 35 there are
    assert {down for down, _ in found} == set(range(-2, 3))
    assert {right for _, right in found} == set(range(-3, 4))


def test_cutout_makes_one_rectangle_black():
    changed = _changed("cutout")
    is_black = np.all(changed == 0, axis=3)
    np.testing.assert_array_equal(changed[~is_black], IMAGES[~is_black])
    for black in is_black:
        rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
        assert black[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert len(rows) <= 8 and len(columns) <= 12
    assert is_black.mean() > 0.15


def test_colours_change_in_brightness_saturation_and_contrast():
    changed = _changed("colour")
    means = changed.mean(axis=(1, 2, 3)) - IMAGES.mean(axis=(1, 2, 3))
    assert np.abs(means).max() <= 0.25 + 1e-5 and means.std() > 0.1
    own, new = (np.ptp(images, axis=3).mean(axis=(1, 2)) for images in (IMAGES, changed))
    assert (new / own).max() < 3.01 and (new / own).std() > 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_pass_and_the_key_decides(kind):
    images = tf.constant(IMAGES[:8])
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
        ("auto", 3, 1000, ("mirror", "translation")),
        ("auto", 1, 19_999, ("translation",)),
        ("auto", 3, 20_000, ("mirror",)),
        ("auto", 1, 60_000, ()),
        ("cutout", 3, 1000, None),
    ],
)
def test_what_is_left_to_the_images_is_chosen_by_them(asked, channels, num_images, expected):
    config = Config.create("gan", diff_augment=asked)
    chosen, why = complete(config, (32, 32, channels), num_images)
    assert bool(why) == bool(chosen) == (expected is not None)
    if chosen:
        assert kinds_of(chosen["diff_augment"]) == expected and chosen["diff_augment"] in why
