import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.data import batches
from cvae_tf.data.batches import WarpRange
from cvae_tf.data.inspection import choose_shown


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
