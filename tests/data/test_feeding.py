from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_images

from cvae_tf.core.errors import LostImagesError
from cvae_tf.data import batches
from cvae_tf.data.batches import BatchSource
from cvae_tf.data.picture_store import DiskImages

ORDER = tf.constant(np.random.default_rng(3).permutation(23), tf.int32)
LABELS = np.arange(23)


@pytest.fixture
def images():
    """Each has its number in its first pixel."""
    images = tiny_images(23)
    images[:, 0, 0, 0] = LABELS
    return images


@pytest.fixture
def on_disk(images, tmp_path):
    images.tofile(tmp_path / "images")
    return DiskImages(tmp_path / "images", images.shape)


@pytest.fixture(params=[1, 300])
def parts(request, monkeypatch):
    """Parts from the disk, and from memory, are small, or not so small."""
    monkeypatch.setattr(batches, "_PART_BYTES", request.param)
    monkeypatch.setattr(batches, "_STEPS_PER_CALL", 3)


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.usefixtures("parts")
def test_steps_take_the_same_from_disk_as_from_memory(images, on_disk, first):
    for source in (images, on_disk):
        taken = []
        for part in BatchSource(source, LABELS).training_parts(ORDER, first, 5, 4):
            for step in range(part.first, part.last):
                taken.append(part.begins + step)
                rows = part.order[4 * step : 4 * step + 4]
                wanted = ORDER[4 * taken[-1] : 4 * taken[-1] + 4]
                np.testing.assert_array_equal(tf.gather(part.images, rows), images[wanted])
                np.testing.assert_array_equal(tf.gather(part.labels, rows), LABELS[wanted])
        assert taken == list(range(first, 5))


@pytest.mark.usefixtures("parts")
def test_all_images_come_in_their_order_in_parts_of_whole_multiples(images, on_disk):
    firsts, parts, labels = zip(*BatchSource(on_disk, LABELS).parts(5), strict=True)
    sizes = [len(part) for part in parts]
    assert all(size % 5 == 0 for size in sizes[:-1])
    assert list(firsts) == [sum(sizes[:number]) for number in range(len(sizes))]
    np.testing.assert_array_equal(np.concatenate(parts), images)
    np.testing.assert_array_equal(np.concatenate(labels), LABELS)
    ((first, part, labels),) = BatchSource(images).parts(5)  # from memory, and without labels
    np.testing.assert_array_equal(part, images)
    assert first == 0 and len(labels) == 0


def test_few_parts_are_read_ahead_and_images_that_were_lost_are_named(on_disk, monkeypatch):
    """Else all images would be in memory after all."""
    monkeypatch.setattr(batches, "_PART_BYTES", 1)  # one step at a time
    watched, lost = mock.MagicMock(shape=on_disk.shape), mock.MagicMock(shape=on_disk.shape)
    watched.__getitem__.side_effect = on_disk.__getitem__
    next(BatchSource(watched).training_parts(ORDER, 0, 5, 4))
    assert watched.__getitem__.call_count <= 1 + batches._READ_AT_ONCE + 1
    lost.__getitem__.side_effect = LostImagesError("cat.png: cannot be read any more.")
    with pytest.raises(LostImagesError, match=r"^cat.png: cannot be read any more\.$"):
        list(BatchSource(lost).training_parts(ORDER, 0, 5, 4))
