"""Which images, labels and noise come together in a trainer."""

import numpy as np
import tensorflow as tf
from conftest import tiny_cvae, tiny_images

from cvae_tf.data import feeding
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.training import trainer
from cvae_tf.training.trainer import Trainer


class Streamed:
    """Images that are read by slices, as from the disk."""

    def __init__(self, images):
        self.shape, self._images = images.shape, images

    def __len__(self):
        return len(self._images)

    def __getitem__(self, index):
        return self._images[index]


def test_test_images_are_measured_alike_from_memory_and_from_the_disk(monkeypatch):
    """Also those of later batches and parts, whose noise is that of their numbers."""
    monkeypatch.setattr(trainer, "_EVALUATION_BATCH", 4)
    monkeypatch.setattr(feeding, "_PART_BYTES", 1)  # parts of one batch
    images = tiny_images(22)
    in_memory, from_disk = (
        Trainer(tiny_cvae(), Dataset("toy", "Invented.", test, test), 4).evaluate()
        for test in (Split(images, None), Split(Streamed(images), None))
    )
    assert from_disk == in_memory


def test_each_training_image_comes_with_its_own_label(monkeypatch):
    images, labels = tiny_images(12), np.arange(12)
    images[:, 0, 0, 0] = labels
    split = Split(images, labels)
    model = tiny_cvae()
    model.num_classes = 12
    own = Trainer(model, Dataset("toy", "Invented.", split, split), 4)
    seen = tf.Variable(0)

    def look_at(images, labels):
        tf.debugging.assert_equal(tf.cast(images[:, 0, 0, 0], tf.int32), labels)
        seen.assign_add(tf.size(labels))
        return {"elbo": tf.constant(0.0)}

    monkeypatch.setattr(own, "_take_step", look_at)
    own._train_epoch(1, 0, lambda *_: None)
    assert seen.numpy() == 12
