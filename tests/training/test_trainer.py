import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tiny_cvae, tiny_images, weights_of

from cvae_tf.core.randomness import Purpose, derived_key, normal_of_images
from cvae_tf.data import feeding
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.models.vae.objectives import Objective
from cvae_tf.training import trainer
from cvae_tf.training.trainer import Trainer


def _unequal_images():
    """Twenty images of which the last four, a smaller batch, are unlike the others."""
    images = tiny_images(20)
    images[16:] = 255
    return images


def _terms_of_parts(model, images, size):
    pixels = (images > 127).astype(np.float32)
    key = derived_key(model.seed, Purpose.EVALUATION_NOISE)
    noise = normal_of_images(key, 0, len(images), model.latent_dim)
    terms, _ = model.terms_with_noise(pixels, model.encode(pixels), noise)
    both = np.stack([terms.log_likelihood, terms.kl])
    return np.split(both, range(size, len(images), size), axis=1)


def _evaluation(model, images):
    """What a trainer measures of test images."""
    split = Split(images, None)
    return Trainer(model, Dataset("toy", "Invented.", split, split), 4).evaluate()


def test_evaluation_weighs_images_equally_with_a_smaller_last_batch(monkeypatch):
    monkeypatch.setattr(trainer, "_EVALUATION_BATCH", 8)
    model, images = tiny_cvae(seed=5), _unequal_images()
    model.decoder.layers[-1].bias.assign([1.0])
    parts = _terms_of_parts(model, images, 8)
    expected = np.concatenate(parts, axis=1).mean(axis=1)
    of_batches = np.mean([part.mean(axis=1) for part in parts], axis=0)
    assert np.abs(expected - of_batches).max() > 0.1
    found = _evaluation(model, images)
    assert [found["log_likelihood"], found["kl"]] == pytest.approx(expected, rel=1e-5)


def test_evaluation_sees_every_image_of_more_than_one_batch(tiny_model):
    images = np.concatenate([tiny_images(1000), np.full((3, 6, 6, 1), 255, np.uint8)])
    expected = np.concatenate(
        _terms_of_parts(tiny_model, images, trainer._EVALUATION_BATCH), axis=1
    ).mean(axis=1)
    found = _evaluation(tiny_model, images)
    assert [found["log_likelihood"], found["kl"]] == pytest.approx(expected, rel=1e-5)


def test_evaluation_elbo_is_log_likelihood_minus_kl(tiny_model, toy_dataset):
    found = Trainer(tiny_model, toy_dataset, 8).evaluate()
    assert found["elbo"] == pytest.approx(found["log_likelihood"] - found["kl"], rel=1e-12)


def test_a_family_may_measure_the_whole_set_itself(tiny_model, toy_dataset, monkeypatch):
    def measure_set(images, means):
        return {**means(), "elbo": float(len(images))}

    monkeypatch.setattr(tiny_model, "measure_set", measure_set)
    (result,) = Trainer(tiny_model, toy_dataset, 8).run_epochs(1)
    assert result.test["elbo"] == 20 and result.test["kl"] > 0


def test_evaluation_is_repeatable_and_follows_the_weights(tiny_model, toy_dataset):
    own = Trainer(tiny_model, toy_dataset, 8)
    first = own.evaluate()
    assert own.evaluate() == first
    list(own.run_epochs(1))
    assert own.evaluate() != first


def test_epochs_count_their_steps_and_images(tiny_model, toy_dataset):
    own = Trainer(tiny_model, toy_dataset, batch_size=12)  # 40 images: 3 steps, 4 left over
    results = list(own.run_epochs(3))
    assert [result.epoch for result in results] == [1, 2, 3]
    assert [result.step for result in results] == [3, 6, 9]
    assert all(result.train_seconds > 0 and result.test_seconds > 0 for result in results)
    for result in results:
        assert result.images_per_second == pytest.approx(36 / result.train_seconds)


def test_epochs_are_yielded_as_they_are_finished(tiny_model, toy_dataset):
    epochs = Trainer(tiny_model, toy_dataset, 20).run_epochs(5)
    assert int(tiny_model.optimizer.iterations) == 0
    next(epochs)
    assert int(tiny_model.optimizer.iterations) == 2


def test_training_raises_the_elbo(tiny_model, toy_dataset):
    results = list(Trainer(tiny_model, toy_dataset, 8).run_epochs(30))
    assert results[-1].train["elbo"] > results[0].train["elbo"] + 3
    assert results[-1].test["elbo"] > results[0].test["elbo"] + 2


def test_train_elbo_is_the_mean_of_this_epoch_alone(toy_dataset):
    """With a learning rate of 0 each epoch sees the same model, so that the mean can be known."""
    model = tiny_cvae(optimizer=keras.optimizers.SGD(0.0))
    images = (toy_dataset.train.images > 127).astype(np.float32)
    for result in Trainer(model, toy_dataset, 40).run_epochs(3):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(40), derived_key(0, Purpose.DATA_ORDER, result.epoch)
        )
        noise = derived_key(0, Purpose.TRAINING_NOISE, result.epoch - 1)
        elbo = model.elbo_terms(tf.gather(images, order), noise).elbo
        assert result.train["elbo"] == pytest.approx(np.mean(elbo), rel=1e-5)


@pytest.mark.parametrize(("steps_per_call", "calls"), [(100, [5]), (2, [2, 4, 5]), (5, [5])])
def test_progress_reaches_the_last_step(
    monkeypatch, tiny_model, toy_dataset, steps_per_call, calls
):
    monkeypatch.setattr(feeding, "_STEPS_PER_CALL", steps_per_call)
    seen = []
    own = Trainer(tiny_model, toy_dataset, 8)
    (result,) = own.run_epochs(1, lambda epoch, step, elbo: seen.append((step, elbo)))
    assert [step for step, _ in seen] == calls
    assert seen[-1][1] == result.train["elbo"]
    assert result.step == own.steps_per_epoch == 5


def _trained(dataset, seed, epochs=2, initial_seed=None):
    model = tiny_cvae(seed=seed if initial_seed is None else initial_seed)
    model.seed = seed
    results = list(Trainer(model, dataset, 8).run_epochs(epochs))
    return weights_of(model), [(result.train, result.test) for result in results]


def test_the_same_seed_gives_the_same_run(toy_dataset):
    (weights, results), (again, results_again) = (_trained(toy_dataset, 7) for _ in range(2))
    assert results == results_again
    for first, second in zip(weights, again, strict=True):
        np.testing.assert_array_equal(first, second)


def test_steps_in_one_call_or_in_many_are_the_same_run(toy_dataset, monkeypatch):
    weights, results = _trained(toy_dataset, 7)
    monkeypatch.setattr(feeding, "_STEPS_PER_CALL", 2)
    in_many_calls, results_of_many = _trained(toy_dataset, 7)
    assert results == results_of_many
    for first, second in zip(weights, in_many_calls, strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_gives_another_run_even_if_the_weights_start_alike(toy_dataset):
    (weights, _), (others, _) = (_trained(toy_dataset, seed, initial_seed=0) for seed in (1, 2))
    assert any(np.any(first != second) for first, second in zip(weights, others, strict=True))


def test_the_order_of_the_images_changes_from_epoch_to_epoch(tiny_model, toy_dataset, monkeypatch):
    own, orders = Trainer(tiny_model, toy_dataset, 8), []
    train_steps = own._train_steps

    def remember(part):
        orders.append(part.order.numpy())
        return train_steps(part)

    monkeypatch.setattr(own, "_train_steps", remember)
    list(own.run_epochs(2))
    assert np.any(orders[0] != orders[1])


def test_augmentation_warps_the_training_images_only(toy_dataset):
    evaluations, weights = [], []
    for augment in (0.0, 1.0):
        model = tiny_cvae()
        own = Trainer(model, toy_dataset, 8, augment=augment)
        evaluations.append(own.evaluate())
        list(own.run_epochs(1))
        weights.append(weights_of(model))
    assert evaluations[0] == evaluations[1]
    assert any(np.any(plain != warped) for plain, warped in zip(*weights, strict=True))


def test_training_compiled_by_xla_raises_the_elbo(toy_dataset):
    model = tiny_cvae()
    model.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=True)
    results = list(Trainer(model, toy_dataset, 8).run_epochs(20))
    assert results[-1].train["elbo"] > results[0].train["elbo"] + 3
    assert results[-1].step == 100


def test_batch_larger_than_the_training_set_is_all_of_it(tiny_model, toy_dataset):
    own = Trainer(tiny_model, toy_dataset, 41)
    (result,) = own.run_epochs(1)
    assert (own.batch_size, result.step) == (40, 1)


def test_one_test_image_is_enough(tiny_model, toy_dataset):
    dataset = toy_dataset._replace(test=Split(tiny_images(1), None))
    assert np.isfinite(Trainer(tiny_model, dataset, 8).evaluate()["elbo"])


def _pixels_of_visits(dataset, binarize, epochs=2):
    """What the model is shown, sorted by image and epoch, where each image is of one grey level."""
    shown = []
    model = tiny_cvae(binarize=binarize)
    step = model.train_step
    model.train_step = lambda images: (tf.py_function(shown.append, [images], []), step(images))[1]
    list(Trainer(model, dataset, 10).run_epochs(epochs))
    return np.concatenate([images.numpy() for images in shown])


def test_dynamic_pixels_are_drawn_anew_at_each_visit(toy_dataset):
    grey = np.full((20, 6, 6, 1), 64, np.uint8)
    dataset = toy_dataset._replace(train=Split(grey, None))
    visits = _pixels_of_visits(dataset, "dynamic")
    assert visits.shape == (40, 6, 6, 1) and set(np.unique(visits)) == {0, 1}
    assert abs(visits.mean() - 64 / 255) < 5 * np.sqrt(0.19 / visits.size)
    flat = visits.reshape(40, -1)
    assert len(np.unique(flat, axis=0)) == 40
    np.testing.assert_array_equal(visits, _pixels_of_visits(dataset, "dynamic"))


def test_grey_levels_stay_as_they_are_if_asked_for(toy_dataset):
    grey = np.full((20, 6, 6, 1), 64, np.uint8)
    visits = _pixels_of_visits(toy_dataset._replace(train=Split(grey, None)), "none")
    np.testing.assert_allclose(visits, 64 / 255, rtol=1e-6)


def test_evaluation_draws_the_same_pixels_every_time(tiny_model, toy_dataset):
    own = Trainer(tiny_cvae(binarize="dynamic"), toy_dataset, 8)
    first, again = own.evaluate(), own.evaluate()
    assert first == again
    assert first != Trainer(tiny_model, toy_dataset, 8).evaluate()


def test_what_is_climbed_stands_beside_the_elbo(toy_dataset):
    model = tiny_cvae(objective=Objective("iwae", 3))
    (result,) = Trainer(model, toy_dataset, 8).run_epochs(1)
    assert result.train["objective"] > result.train["elbo"]
    row = result.as_row()
    assert list(row)[:5] == ["epoch", "step", "train_elbo", "train_objective", "test_elbo"]
    assert row["train_objective"] == round(result.train["objective"], 4)


def test_rows_of_the_elbo_alone_have_no_other_objective(tiny_model, toy_dataset):
    (result,) = Trainer(tiny_model, toy_dataset, 8).run_epochs(1)
    assert list(result.as_row())[:4] == ["epoch", "step", "train_elbo", "test_elbo"]


def test_rows_of_grey_levels_have_no_likelihood(toy_dataset):
    (result,) = Trainer(tiny_cvae(binarize="none"), toy_dataset, 8).run_epochs(1)
    assert list(result.as_row())[2:6] == [
        "train_pseudo_elbo", "test_pseudo_elbo", "test_negative_cross_entropy", "test_kl",
    ]  # fmt: skip
