from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from cvae_tf.models.gan.model import GAN
from cvae_tf.models.gan.recipe import Recipe


def test_the_discriminator_sees_real_and_drawn_images_changed_and_not_alike():
    images = tf.constant(np.random.default_rng(0).random((8, 12, 12, 1)), tf.float32)
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
