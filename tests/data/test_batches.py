import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.data import batches


@pytest.mark.parametrize(
    ("num", "size", "taken", "steps"), [(10, 10, 10, 1), (10, 3, 3, 3), (10, 128, 10, 1)]
)
def test_steps_are_the_full_batches_and_a_small_set_is_one(num, size, taken, steps):
    assert batches.effective_batch_size(num, size) == taken
    assert batches.steps_per_epoch(num, size) == steps


def test_order_is_a_permutation_for_each_seed_and_epoch():
    orders = {
        (seed, epoch): batches.epoch_order(1000, seed, epoch).numpy()
        for seed in (0, 1)
        for epoch in (1, 2)
    }
    for order in orders.values():
        assert order.dtype == np.int32 and np.mean(order == np.arange(1000)) < 0.02
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert len({order.tobytes() for order in orders.values()}) == 4
    np.testing.assert_array_equal(orders[1, 2], batches.epoch_order(1000, 1, 2))


def test_a_step_takes_the_images_of_its_place_in_the_order():
    order = tf.constant([5, 0, 7, 200, 1, 6, 3])
    for step, wanted in enumerate(([5, 0, 7], [200, 1, 6])):
        np.testing.assert_array_equal(batches.batch_indices(order, tf.constant(step), 3), wanted)


def test_grey_levels_run_from_0_to_1():
    grey = batches.grey_levels(np.arange(256, dtype=np.uint8)).numpy()
    assert grey.dtype == np.float32 and (grey[0], grey[255]) == (0.0, 1.0)
    np.testing.assert_allclose(grey, np.arange(256) / 255, atol=1e-7)


def test_about_half_of_the_images_are_mirrored_left_to_right():
    images = np.random.default_rng(0).uniform(size=(400, 3, 5, 2)).astype(np.float32)
    found = batches.mirror(images, 1, tf.constant(7)).numpy()
    is_mirrored = np.all(found == images[:, :, ::-1], axis=(1, 2, 3))
    is_kept = np.all(found == images, axis=(1, 2, 3))
    assert np.all(is_mirrored != is_kept)
    assert 160 < is_mirrored.sum() < 240


def _upright_bars(num):
    bars = np.zeros((num, 12, 12, 1), np.float32)
    bars[:, 2:10, 4:7] = 1
    return bars


@pytest.mark.parametrize(
    "change", [batches.mirror, lambda images, *where: batches.augment(images, 1.0, *where)]
)
def test_changes_are_a_pure_function_of_seed_and_step(change):
    images = _upright_bars(40)
    found = {
        (seed, step): change(images, seed, tf.constant(step)).numpy()
        for seed in (0, 1)
        for step in (0, 1)
    }
    assert len({changed.tobytes() for changed in found.values()}) == 4
    np.testing.assert_array_equal(found[1, 0], change(images, 1, tf.constant(0)))


def test_augmentation_warps_each_image_its_own_way_by_its_strength():
    images = _upright_bars(200)
    none, weak, strong = (
        np.asarray(batches.augment(images, strength, 0, tf.constant(0)))
        for strength in (0.0, 0.2, 1.0)
    )
    np.testing.assert_array_equal(none, images)
    assert len({image.tobytes() for image in strong}) == 200
    distances = [np.abs(warped - images).mean() for warped in (weak, strong)]
    assert 0 < 2 * distances[0] < distances[1] < 0.1
    np.testing.assert_allclose(strong.mean(axis=0)[2:10, 4:7].mean(), 0.85, atol=0.15)
