from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from folder_helpers import save_all
from helpers import tiny_images, weights_of

from cvae_tf.config import Config
from cvae_tf.data import batches
from cvae_tf.data.batches import BatchSource
from cvae_tf.data.loading import load_dataset
from cvae_tf.data.picture_store import MappedImages
from cvae_tf.training import building, trainer
from cvae_tf.training.distribution import SINGLE

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


def test_few_parts_are_read_ahead(mapped, monkeypatch):
    """Else all images would be in memory after all."""
    monkeypatch.setattr(batches, "_PART_BYTES", 1)  # one step at a time
    watched = mock.MagicMock(shape=mapped.shape)
    watched.__getitem__.side_effect = mapped.__getitem__
    next(BatchSource(watched).training_parts(ORDER, 0, 5, 4))
    assert watched.__getitem__.call_count <= 1 + batches._READ_AT_ONCE + 1


def test_streamed_training_is_that_from_memory_to_the_last_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(batches, "_PART_BYTES", 2 * 4 * 8 * 8)  # two steps
    monkeypatch.setattr(trainer, "_EVALUATION_BATCH", 4)
    places = [f"{'train' if number < 22 else 'test'}/{number % 3}" for number in range(34)]
    save_all(tmp_path / "pictures", [f"{place}/{i}.png" for i, place in enumerate(places)])
    config, found = Config.create(network="mlp", hidden="8", conditional=True, batch_size=4), []
    for cache_mb, kind in ((None, np.ndarray), (0, MappedImages)):
        dataset = load_dataset(data_path=tmp_path / "pictures", cache_mb=cache_mb)
        assert isinstance(dataset.train.images, kind)
        own = building.build_trainer(config, dataset, SINGLE)
        rows = [(epoch.train, epoch.test) for epoch in own.run_epochs(2)]
        found.append((rows, [weight.tobytes() for weight in weights_of(own.model)]))
    assert found[0] == found[1]
