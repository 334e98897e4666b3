"""Changes of real and drawn images: what each does, that gradients pass, that keys decide."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.config import Config
from cvae_tf.data.inspection import look_at
from cvae_tf.models.gan import losses
from cvae_tf.models.gan.losses import KINDS, kinds_of
from cvae_tf.models.gan.model import GAN, Recipe

KEY = tf.constant([3, 4])
IMAGES = np.random.default_rng(0).uniform(0.1, 0.9, (150, 16, 24, 3)).astype(np.float32)


def _changed(kind):
    return losses.augment(tf.constant(IMAGES), [kind], KEY).numpy()


def test_half_of_the_images_are_mirrored():
    changed = _changed("mirror")
    is_same = np.all(changed == IMAGES, axis=(1, 2, 3))
    np.testing.assert_array_equal(changed[~is_same], IMAGES[~is_same][:, :, ::-1])
    assert 50 < is_same.sum() < 100


def test_translation_shifts_each_image_by_an_eighth_at_most_and_lets_black_in():
    padded, found = np.pad(IMAGES, ((0, 0), (2, 2), (3, 3), (0, 0))), set()
    for moved, wide in zip(_changed("translation"), padded, strict=True):
        fits = [
            (row, column)
            for row, column in np.ndindex(5, 7)
            if np.allclose(moved, wide[row : row + 16, column : column + 24], atol=1e-5)
        ]
        assert len(fits) == 1
        found.update(fits)
    assert len(found) > 25  # of 35 there are


def test_cutout_makes_one_rectangle_black():
    changed = _changed("cutout")
    is_black = np.all(changed == 0, axis=3)
    np.testing.assert_array_equal(changed[~is_black], IMAGES[~is_black])
    for black in is_black:
        rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
        assert black[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert len(rows) <= 8 and len(columns) <= 12


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_pass_and_the_key_decides(kind):
    images = tf.constant(IMAGES[:8])
    with tf.GradientTape() as tape:
        tape.watch(images)
        changed = losses.augment(images, [kind], KEY)
        total = tf.reduce_sum(changed)
    assert np.abs(tape.gradient(total, images)).max() > 0
    np.testing.assert_array_equal(changed, losses.augment(images, [kind], KEY))
    assert np.any(changed != losses.augment(images, [kind], tf.constant([3, 5])))


def test_the_discriminator_sees_real_and_drawn_images_changed_and_not_alike():
    images = tf.constant(IMAGES[:8])
    model = SimpleNamespace(
        seed=1,
        steps=tf.constant(3),
        recipe=Recipe(augment=("translation", "cutout")),
        logits=lambda images, labels, training: images,
    )
    real, drawn = GAN._judged(model, images, images, None, training=True)
    for one, other in ((real, images), (drawn, images), (real, drawn)):
        assert np.any(one != other, axis=(1, 2, 3)).sum() >= 6
    assert all(np.all(seen == images) for seen in GAN._judged(model, images, images, None, False))


def test_what_is_left_to_the_images_is_chosen_by_them():
    images = look_at(np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), np.uint8))
    chosen = Config.create(images, preset="gan", diff_augment="auto").diff_augment
    assert kinds_of(chosen) == ("mirror", "translation")
    many_grey = images._replace(shape=(16, 16, 1), num=60_000)
    assert Config.create(many_grey, preset="gan").diff_augment == "none"
