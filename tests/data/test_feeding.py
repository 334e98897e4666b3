from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from folder_helpers import save_all
from helpers import tiny_cvae, tiny_images, weights_of

from cvae_tf.data import batches
from cvae_tf.data.batches import BatchSource
from cvae_tf.data.loading import load_dataset
from cvae_tf.data.picture_store import MappedImages
from cvae_tf.training import trainer

ORDER = tf.constant(np.random.default_rng(3).permutation(23), tf.int32)
LABELS = np.arange(23)


@pytest.fixture
def images():
    """Each has its number in its first pixel."""
    images = tiny_images(23)
    images[:, 0, 0, 0] = LABELS
    return images


@pytest.fixture
def mapped(images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    return MappedImages(np.load(tmp_path / "images.npy", mmap_mode="r"), np.arange(23))


@pytest.fixture(params=[1, 300])
def parts(request, monkeypatch):
    """Parts from a file, and from memory, are small, or not so small."""
    monkeypatch.setattr(batches, "_PART_BYTES", request.param)
    monkeypatch.setattr(batches, "_STEPS_PER_CALL", 3)


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.usefixtures("parts")
def test_steps_take_the_same_from_a_file_as_from_memory(images, mapped, first):
    for source in (images, mapped):
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
def test_all_images_come_in_their_order_in_parts_of_whole_multiples(images, mapped):
    firsts, parts, labels = zip(*BatchSource(mapped, LABELS).parts(5), strict=True)
    sizes = [len(part) for part in parts]
    assert all(size % 5 == 0 for size in sizes[:-1])
    assert list(firsts) == [sum(sizes[:number]) for number in range(len(sizes))]
    np.testing.assert_array_equal(np.concatenate(parts), images)
    np.testing.assert_array_equal(np.concatenate(labels), LABELS)
    ((first, part, labels),) = BatchSource(images).parts(5)  # from memory, and without labels
    np.testing.assert_array_equal(part, images)
    assert first == 0 and not np.any(labels)


def test_few_parts_are_read_ahead(mapped, monkeypatch):
    """Else all images would be in memory after all."""
    monkeypatch.setattr(batches, "_PART_BYTES", 1)  # one step at a time
    watched = mock.MagicMock(shape=mapped.shape)
    watched.__getitem__.side_effect = mapped.__getitem__
    next(BatchSource(watched).training_parts(ORDER, 0, 5, 4))
    assert watched.__getitem__.call_count <= 1 + batches._READ_AT_ONCE + 1


def test_streamed_training_is_that_from_memory_to_the_last_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(batches, "_PART_BYTES", 2 * 4 * 6 * 6)  # two steps
    monkeypatch.setattr(trainer, "_EVALUATION_BATCH", 4)
    names = [f"{'train' if number < 22 else 'test'}/{number}.png" for number in range(34)]
    save_all(tmp_path / "pictures", names, height=6, width=6)
    found = []
    for cache_mb, kind in ((None, np.ndarray), (0, MappedImages)):
        dataset = load_dataset(data_path=tmp_path / "pictures", cache_mb=cache_mb)
        assert isinstance(dataset.train.images, kind)
        model = tiny_cvae()
        epochs = trainer.Trainer(model, dataset, 4).run_epochs(2)
        rows = [(epoch.train, epoch.test) for epoch in epochs]
        found.append((rows, [weight.tobytes() for weight in weights_of(model)]))
    assert found[0] == found[1]
