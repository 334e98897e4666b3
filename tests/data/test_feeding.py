import numpy as np
import pytest
import tensorflow as tf
from conftest import tiny_images

from cvae_tf.core.errors import LostImagesError
from cvae_tf.data import feeding
from cvae_tf.data.disk_images import DiskImages
from cvae_tf.data.feeding import Feed


@pytest.fixture
def images():
    return tiny_images(23)


@pytest.fixture
def on_disk(images, tmp_path):
    (tmp_path / "images").write_bytes(images.tobytes())
    return DiskImages(tmp_path / "images", images.shape)


ORDER = tf.constant(np.random.default_rng(3).permutation(23), tf.int32)


def _batches(feed, first, last):
    """The batches of steps from `first` to `last`, by the numbers of the steps."""
    taken = {}
    for part in feed.training_parts(ORDER, first, last, 4):
        for step in range(part.first, part.last):
            rows = part.order[4 * step : 4 * step + 4]
            taken[part.begins + step] = tf.gather(part.images, rows).numpy()
    return taken


@pytest.mark.parametrize("part_bytes", [1, 300, 10**6])
@pytest.mark.parametrize(("first", "last"), [(0, 5), (2, 5), (1, 2), (5, 5)])
def test_steps_take_the_same_images_from_disk_as_from_memory(
    images, on_disk, first, last, part_bytes, monkeypatch
):
    monkeypatch.setattr(feeding, "_PART_BYTES", part_bytes)
    monkeypatch.setattr(feeding, "_STEPS_PER_CALL", 3)
    expected = {step: images[ORDER[4 * step : 4 * step + 4]] for step in range(first, last)}
    for source in (images, on_disk):
        found = _batches(Feed(source), first, last)
        assert sorted(found) == sorted(expected)
        for step, batch in expected.items():
            np.testing.assert_array_equal(found[step], batch)


@pytest.mark.parametrize("part_bytes", [1, 400, 10**6])
def test_all_images_come_in_their_order_in_parts_of_whole_multiples(
    images, on_disk, part_bytes, monkeypatch
):
    monkeypatch.setattr(feeding, "_PART_BYTES", part_bytes)
    parts = list(Feed(on_disk).parts(5))
    sizes = [len(part) for _, part, _ in parts]
    assert all(size % 5 == 0 for size in sizes[:-1])
    assert [first for first, _, _ in parts] == [sum(sizes[:i]) for i in range(len(parts))]
    np.testing.assert_array_equal(np.concatenate([part for _, part, _ in parts]), images)


def test_images_in_memory_are_one_part_that_is_not_copied(images):
    ((first, part, labels),) = Feed(images).parts(5)
    assert first == 0 and len(labels) == 0
    np.testing.assert_array_equal(part, images)


@pytest.mark.parametrize("first", [0, 2])
def test_labels_stay_with_their_images(images, on_disk, first, monkeypatch):
    """Each image is marked by its label, from memory and from the disk."""
    monkeypatch.setattr(feeding, "_PART_BYTES", 300)
    labels = np.arange(23)
    images[:, 0, 0, 0] = labels
    for source in (images, Marked(on_disk)):
        feed = Feed(source, labels)
        for part in feed.training_parts(ORDER, first, 5, 4):
            np.testing.assert_array_equal(part.images[:, 0, 0, 0], part.labels)
        parts = list(feed.parts(5))
        for _, part, own in parts:
            np.testing.assert_array_equal(part[:, 0, 0, 0], own)
        np.testing.assert_array_equal(np.concatenate([own for _, _, own in parts]), labels)


class Marked:
    """Images on the disk, each with its number in its first pixel."""

    def __init__(self, on_disk):
        self.shape, self._images = on_disk.shape, on_disk

    def __getitem__(self, index):
        images = self._images[index]
        images[:, 0, 0, 0] = np.arange(23)[index]
        return images


def test_few_parts_are_read_ahead(on_disk, monkeypatch):
    """Else all images would be in memory after all."""
    monkeypatch.setattr(feeding, "_PART_BYTES", 1)
    read = []

    class Watched:
        shape = on_disk.shape

        def __getitem__(self, index):
            read.append(index)
            return on_disk[index]

    parts = Feed(Watched()).training_parts(ORDER, 0, 5, 4)
    next(parts)
    assert len(read) <= 1 + feeding._READ_AT_ONCE + 1


def test_images_that_cannot_be_read_any_more_are_named(on_disk):
    class Broken:
        shape = on_disk.shape

        def __getitem__(self, index):
            raise LostImagesError("cat.png: cannot be read any more.")

    with pytest.raises(LostImagesError, match=r"^cat.png: cannot be read any more\.$"):
        list(Feed(Broken()).training_parts(ORDER, 0, 5, 4))
