"""Images become batches: in which order, warped how, from memory as from a file."""

from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from folder_helpers import save_all
from helpers import tiny_images, weights_of

from cvae_tf.config import Config
from cvae_tf.data import batches
from cvae_tf.data.batches import BatchSource, WarpRange
from cvae_tf.data.inspection import choose_shown
from cvae_tf.data.loading import load_dataset
from cvae_tf.data.picture_store import MappedImages
from cvae_tf.training import building, trainer
from cvae_tf.training.distribution import SINGLE


@pytest.mark.parametrize(
    ("num", "size", "taken", "steps"), [(12, 3, 3, 4), (10, 3, 3, 3), (10, 128, 10, 1)]
)
def test_steps_are_the_full_batches_and_a_small_set_is_one(num, size, taken, steps):
    assert batches.effective_batch_size(num, size) == taken
    assert batches.steps_per_epoch(num, size) == steps


def _of_seeds_and_numbers(draw):
    """What is drawn, by seed and by number of the step or epoch; none is like another."""
    found = {(seed, number): np.asarray(draw(seed, number)) for seed in (0, 1) for number in (1, 2)}
    assert len({each.tobytes() for each in found.values()}) == 4
    np.testing.assert_array_equal(found[1, 2], draw(1, 2))
    return found.values()


def test_order_is_a_permutation_for_each_seed_and_epoch():
    for order in _of_seeds_and_numbers(lambda *given: batches.epoch_order(1000, *given)):
        assert order.dtype == np.int32 and np.mean(order == np.arange(1000)) < 0.02
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))


def test_a_step_takes_the_images_of_its_place_in_the_order_from_0_to_1():
    order = tf.constant([5, 0, 7, 200, 1, 6, 3])
    for step, wanted in enumerate(([5, 0, 7], [200, 1, 6])):
        np.testing.assert_array_equal(batches.batch_indices(order, tf.constant(step), 3), wanted)
    grey = batches.to_unit_floats(np.arange(256, dtype=np.uint8))
    np.testing.assert_allclose(grey, np.arange(256) / 255, atol=1e-7)


def test_shown_images_are_of_all_classes_in_turn_and_from_the_whole_set():
    np.testing.assert_array_equal(choose_shown(None, 1000, 4), [0, 250, 500, 750])
    for labels in (None, np.zeros(50), np.arange(50) % 7):
        assert sorted(choose_shown(labels, 50, 64).tolist()) == list(range(50))
    labels = np.repeat(np.arange(10), 100)
    shown = labels[choose_shown(labels, 1000, 32)]
    np.testing.assert_array_equal(shown[:30], np.tile(np.arange(10), 3))
    assert len(set(shown[30:])) == 2
    few = np.array(["b"] * 40 + ["a"] * 2 + ["c"] * 40)  # their places go to others
    assert "".join(sorted(few[choose_shown(few, 82, 22)])) == "aa" + 10 * "b" + 10 * "c"


def test_about_half_of_the_images_are_mirrored_left_to_right_by_seed_and_step():
    images = _images(400, 3, 5, 2)
    for found in _of_seeds_and_numbers(lambda *given: batches.mirror(images, *given)):
        is_mirrored = np.all(found == images[:, :, ::-1], axis=(1, 2, 3))
        is_kept = np.all(found == images, axis=(1, 2, 3))
        assert np.all(is_mirrored != is_kept)
        assert 160 < is_mirrored.sum() < 240


def test_each_image_is_warped_its_own_way_by_strength_and_seed_and_step():
    bars = np.zeros((200, 12, 12, 1), np.float32)
    bars[:, 2:10, 4:7] = 1
    _of_seeds_and_numbers(lambda *given: batches.augment(bars, 1.0, *given))
    none, weak, strong = (batches.augment(bars, strength, 0, 0) for strength in (0, 0.2, 1.0))
    np.testing.assert_array_equal(none, bars)
    assert len(np.unique(strong, axis=0)) == 200
    distances = [np.abs(warped - bars).mean() for warped in (weak, strong)]
    assert 0 < 2 * distances[0] < distances[1] < 0.1
    on_white = batches.augment(1 - bars, 1.0, 0, 0, outside=1.0)
    np.testing.assert_allclose(on_white, 1 - strong, atol=1e-6)


def _images(*shape):
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def _warped(images, size, *transforms):
    """Warps each image by two rows of three numbers of its own."""
    rows = [[*first, *second, 0, 0] for first, second in transforms]
    return batches.warp(images, np.array(rows, np.float32), size).numpy()


def test_each_image_is_shifted_by_pixels_or_turned_as_by_numpy():
    images = _images(2, 7, 7, 2)
    shift, turn = [(1, 0, 2), (0, 1, 3)], [(0, -1, 0), (1, 0, 0)]
    shifted, turned = _warped(images, (7, 7), shift, turn)
    np.testing.assert_allclose(shifted[:4, :5], images[0, 3:, 2:], atol=1e-6)
    assert np.all(shifted[4:] == 0) and np.all(shifted[:, 5:] == 0)
    np.testing.assert_allclose(turned, np.rot90(images[1]), atol=1e-5)


def test_each_kind_of_warp_has_the_given_spread():
    def drawn(from_size=(10, 10), to_size=(10, 10), **spread):
        maps = batches.random_transforms(20_000, [0, 1], WarpRange(**spread), from_size, to_size)
        return np.asarray(maps)[:, :6].reshape(-1, 2, 3)

    plain = drawn(from_size=(80, 40), to_size=(20, 20))
    np.testing.assert_allclose(plain[:5], np.tile([[2, 0, 0], [0, 4, 0]], (5, 1, 1)), atol=1e-6)
    linear = drawn(degrees=10)[:, :, :2]
    identities = np.tile(np.eye(2), (20_000, 1, 1))
    np.testing.assert_allclose(linear @ linear.swapaxes(1, 2), identities, atol=1e-5)
    degrees = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert degrees.std() == pytest.approx(10, rel=0.03) and abs(degrees.mean()) < 0.3
    shifts = drawn(from_size=(80, 80), to_size=(20, 20), shift=0.7)[:, :, 2]
    np.testing.assert_allclose(shifts.std(axis=0), [2.8, 2.8], rtol=0.03)  # pixels of the result
    skewed = drawn(scale=0.1, shear=0.2)
    np.testing.assert_allclose(skewed[:, [0, 1], [0, 1]].std(axis=0), [0.1, 0.1], rtol=0.03)
    assert skewed[:, 0, 1].std() == pytest.approx(0.2, rel=0.03)


def test_parts_of_many_images_are_all_of_them_once_and_bounded_in_pixels():
    for shape, at_once in (((32, 32, 3), 256), ((4000, 4000), 1)):
        for num in (0, at_once + 1, 1000):
            parts = list(batches.batch_slices(num, shape))
            assert [i for part in parts for i in range(num)[part]] == list(range(num))
            assert all(part.stop - part.start == at_once for part in parts[:-1])


# All at once from memory, or part by part from a file.

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
    assert [len(part) for _, part, _ in BatchSource(mapped).parts(5)] == [5, 5, 5, 5, 3]


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
