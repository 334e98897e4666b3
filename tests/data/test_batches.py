import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.data import batches


def _numbered_images(num):
    """Image i holds the eight binary digits of i."""
    bits = (np.arange(num)[:, None] >> np.arange(8)) & 1
    return tf.constant(bits.reshape(num, 2, 4, 1) * 255, tf.uint8)


def _numbers_of(images):
    return np.asarray(images).reshape(len(images), 8) @ (1 << np.arange(8))


@pytest.mark.parametrize(("num", "size", "steps"), [(10, 10, 1), (10, 3, 3), (10, 1, 10)])
def test_steps_are_the_full_batches(num, size, steps):
    assert batches.steps_per_epoch(num, size) == steps


@pytest.mark.parametrize(("num", "size", "taken"), [(10, 3, 3), (10, 10, 10), (10, 128, 10)])
def test_a_batch_has_no_more_images_than_there_are(num, size, taken):
    assert batches.effective_batch_size(num, size) == taken


def test_a_small_set_is_one_batch():
    assert batches.steps_per_epoch(10, 128) == 1
    size = batches.effective_batch_size(10, 128)
    order = batches.epoch_order(10, 0, 1)
    indices = batches.batch_indices(order, tf.constant(0), size)
    np.testing.assert_array_equal(np.sort(indices), np.arange(10))


def test_order_is_a_permutation():
    order = batches.epoch_order(1000, seed=3, epoch=2).numpy()
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert np.mean(order == np.arange(1000)) < 0.02


def test_order_is_a_pure_function_of_seed_and_epoch():
    orders = {
        (seed, epoch): tuple(batches.epoch_order(50, seed, epoch).numpy())
        for seed in (0, 1, 2)
        for epoch in (1, 2, 3)
    }
    assert len(set(orders.values())) == 9
    assert orders[1, 2] == tuple(batches.epoch_order(50, 1, 2).numpy())


def test_a_step_takes_the_images_of_its_place_in_the_order():
    order = tf.constant([5, 0, 7, 200, 1, 6, 3])
    indices = batches.batch_indices(order, tf.constant(1), batch_size=3)
    assert indices.shape == (3,)
    np.testing.assert_array_equal(indices, [200, 1, 6])


def test_an_epoch_shows_each_image_once():
    order = batches.epoch_order(60, 0, 1)
    steps = [batches.batch_indices(order, tf.constant(i), 10) for i in range(6)]
    np.testing.assert_array_equal(np.sort(np.concatenate(steps)), np.arange(60))


def test_about_half_of_the_images_are_mirrored_left_to_right():
    images = np.random.default_rng(0).uniform(size=(400, 3, 5, 2)).astype(np.float32)
    found = batches.mirror(images, 1, tf.constant(7)).numpy()
    is_mirrored = np.all(found == images[:, :, ::-1], axis=(1, 2, 3))
    is_kept = np.all(found == images, axis=(1, 2, 3))
    assert np.all(is_mirrored != is_kept)
    assert 160 < is_mirrored.sum() < 240


def test_which_images_are_mirrored_follows_from_seed_and_step():
    images = np.random.default_rng(0).uniform(size=(40, 3, 5, 1)).astype(np.float32)
    found = {
        (seed, step): batches.mirror(images, seed, tf.constant(step)).numpy()
        for seed, step in ((1, 7), (1, 8), (2, 7))
    }
    np.testing.assert_array_equal(found[1, 7], batches.mirror(images, 1, tf.constant(7)))
    assert np.any(found[1, 7] != found[1, 8]) and np.any(found[1, 7] != found[2, 7])


def test_grey_levels_run_from_0_to_1():
    grey = batches.grey_levels(np.arange(256, dtype=np.uint8)).numpy()
    assert grey.dtype == np.float32
    np.testing.assert_allclose(grey, np.linspace(0, 1, 256), atol=1e-7)
    assert (grey[0], grey[255]) == (0.0, 1.0)


def _upright_bars(num):
    bar = np.zeros((12, 12, 1), np.float32)
    bar[2:10, 5:7] = 1
    return tf.constant(np.tile(bar, (num, 1, 1, 1)))


def test_augmentation_of_strength_0_changes_nothing():
    images = _upright_bars(3)
    np.testing.assert_array_equal(batches.augment(images, 0.0, 1, tf.constant(0)), images)


def test_augmentation_is_a_pure_function_of_seed_and_step():
    images = _upright_bars(4)
    results = {
        (seed, step): batches.augment(images, 1.0, seed, tf.constant(step, tf.int64)).numpy()
        for seed in (0, 1)
        for step in (0, 1)
    }
    again = batches.augment(images, 1.0, 1, tf.constant(1, tf.int64))
    np.testing.assert_array_equal(again, results[1, 1])
    assert len({result.tobytes() for result in results.values()}) == 4


def test_augmentation_warps_each_image_its_own_way_by_its_strength():
    images = _upright_bars(200)
    weak, strong = (
        batches.augment(images, strength, 0, tf.constant(0)).numpy() for strength in (0.2, 1.0)
    )
    assert len({image.tobytes() for image in strong}) == 200
    distances = [np.abs(warped - images).mean() for warped in (weak, strong)]
    assert 0 < 2 * distances[0] < distances[1] < 0.1
    np.testing.assert_allclose(strong.mean(axis=0)[2:10, 5:7].mean(), 0.8, atol=0.15)
