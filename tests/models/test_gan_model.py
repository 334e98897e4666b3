"""The GAN: its losses by formulas, its step by separate gradients, norms, labels, Keras."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.config import Config
from cvae_tf.core.randomness import Purpose, derived_key, normal_of_images
from cvae_tf.data.inspection import look_at
from cvae_tf.models import FAMILIES
from cvae_tf.models.gan import losses
from cvae_tf.models.gan import model as gan_model
from cvae_tf.models.gan.model import GAN, Recipe
from cvae_tf.models.networks import GAN_NETWORKS, build_gan_networks
from cvae_tf.models.optimizers import build_optimizer

PLAIN = Recipe()
LABELS = np.array([0, 2, 1, 2, 0, 1, 1, 0])


def _model(network="sub_pixel", shape=(8, 8, 1), recipe=PLAIN, spectral_norm=False, **options):
    networks = build_gan_networks(
        network, shape, 5, seed=1, spectral_norm=spectral_norm,
        num_classes=options.get("num_classes", 0),
    )  # fmt: skip
    return GAN(networks, 1, recipe, **options)


def _images(num=8, shape=(8, 8, 1)):
    return tf.constant(np.random.default_rng(0).uniform(size=(num, *shape)), tf.float32)


def _weights(network):
    return [variable.numpy() for variable in network.trainable_variables]


def _separate_gradients(model, real, weight_of_r1=0.0):
    """Gradients of the two losses, each by a tape of its own and by what the other draws."""
    latents = tf.random.stateless_normal(
        [len(real), 5], derived_key(1, Purpose.TRAINING_NOISE, model.steps)
    )
    key, found = derived_key(1, Purpose.GRADIENT_PENALTY, model.steps), []
    for which in ("discriminator", "generator"):
        with tf.GradientTape() as tape:
            drawn = model.generator(latents, training=True)
            logits = [model.discriminator(images, training=True) for images in (real, drawn)]
            if which == "discriminator":
                loss = tf.reduce_mean(model.recipe.terms.discriminator(*logits))
                loss += weight_of_r1 * losses.r1_penalty(model.logits, real)
                if model.recipe.loss == "wgan_gp":
                    shares = tf.random.stateless_uniform([len(real), 1, 1, 1], key)
                    loss += 10 * losses.distance_penalty(model.logits, real, drawn, shares)
            else:
                loss = tf.reduce_mean(model.recipe.terms.generator(logits[1]))
        variables = getattr(model, which).trainable_variables
        found.append([gradient.numpy() for gradient in tape.gradient(loss, variables)])
    return found


@pytest.mark.parametrize(
    ("loss", "r1", "step", "weight_of_r1"),
    [
        ("non_saturating", 0.5, 15, 0.0),
        ("hinge", 0.5, 16, 8.0),  # R1 counts at every sixteenth step, sixteen times
        ("wgan_gp", 0.0, 0, 0.0),
    ],
)
def test_a_step_goes_down_both_losses_from_where_both_were(loss, r1, step, weight_of_r1):
    model, real = _model(recipe=Recipe(loss, r1)), _images()
    model.compile(keras.optimizers.SGD(1.0))
    model.optimizer.iterations.assign(step)
    start = [variable.numpy() for variable in model.variables]
    before = _weights(model.discriminator), _weights(model.generator)
    expected = _separate_gradients(model, real, weight_of_r1)
    for variable, value in zip(model.variables, start, strict=True):
        variable.assign(value)  # the usual deviation moved
    model.train_step(real)
    after = _weights(model.discriminator), _weights(model.generator)
    for old, new, gradients in zip(before, after, expected, strict=True):
        for first, second, gradient in zip(old, new, gradients, strict=True):
            np.testing.assert_allclose(first - second, gradient, rtol=1e-4, atol=2e-5)
            assert np.any(gradient != 0) or first.shape == (1,)


@pytest.mark.parametrize("network", GAN_NETWORKS)
def test_networks_fit_every_size(network):
    model = _model(network, (9, 70, 3))
    drawn = model(tf.zeros([2, 5]))
    assert drawn.shape == (2, 9, 70, 3) and np.min(drawn) >= 0 and np.max(drawn) <= 1
    assert np.all(np.isfinite(model.logits(drawn)))


def test_settled_statistics_are_those_of_drawn_images(monkeypatch):
    monkeypatch.setattr(gan_model, "_DRAWN_FOR_STATISTICS", 64)
    model = _model("dcgan")
    own = tf.random.stateless_normal([64, 5], derived_key(1, Purpose.NORMALIZATION_STATISTICS))
    assert np.abs(model(own) - model.generator(own, training=True)).max() > 1e-2
    model.update_batchnorm_statistics()
    settled = model(own).numpy()
    np.testing.assert_allclose(settled, model.generator(own, training=True), atol=1e-4)
    model.update_batchnorm_statistics()
    np.testing.assert_array_equal(model(own), settled)


def test_spectral_norms_become_one_and_begin_the_same_in_any_process():
    model, again = (_model(spectral_norm=True) for _ in range(2))
    np.testing.assert_equal(*([each.numpy() for each in own.variables] for own in (model, again)))
    for _ in range(12):
        model.logits(_images(), training=True)
    kernels = [w.numpy() for w in model.discriminator.trainable_variables if w.name == "kernel"]
    for kernel in kernels:
        norm = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)
        assert norm == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("network", GAN_NETWORKS)
def test_labels_change_what_is_drawn_and_judged(network):
    model = _model(network, num_classes=3)
    model.compile(keras.optimizers.SGD(0.1))
    for _ in range(2):  # gains of classes are all the same at first
        model.train_step((_images(), LABELS))
    latents = tf.ones([3, 5])
    drawn = model((latents, tf.constant([0, 1, 2]))).numpy()
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-6 and np.abs(drawn[1] - drawn[2]).max() > 1e-6
    logits = model.logits(tf.repeat(_images(1), 3, axis=0), tf.constant([0, 1, 2])).numpy()
    assert len(set(logits.tolist())) == 3


def test_keras_fits_saves_and_loads_it_and_a_callback_moves_the_learning_rate_of_both(tmp_path):
    model = _model(recipe=Recipe("wgan_gp", 0.0, ("translation", "cutout")))
    model.compile("adam", run_eagerly=True)
    history = model.fit(_images(), batch_size=4, epochs=1, verbose=0).history
    assert set(history) == {*model.means, "loss"} and np.all(np.isfinite(list(history.values())))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.recipe == model.recipe
    for each in (model, loaded):
        each.train_step(_images())
    for first, second in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)
    before = _weights(model)
    stopped = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.0)
    model.fit(_images(), batch_size=8, verbose=0, callbacks=[stopped])
    np.testing.assert_equal(_weights(model), before)


@pytest.mark.parametrize(("num_classes", "ends_at"), [(0, 0.4), (3, 0.12)])
def test_the_rate_of_the_generator_falls_and_with_labels_that_of_the_discriminator(
    num_classes, ends_at
):
    model = _model(num_classes=num_classes)
    batch = (_images(), tf.constant(LABELS)) if num_classes else _images()
    model.compile(build_optimizer(0.4, "linear", total_steps=2))
    for _ in range(2):
        model.train_step(batch)
    pair = model.optimizer, model.discriminator_optimizer
    assert [float(each.learning_rate) for each in pair] == pytest.approx([0.12, ends_at])


def test_all_images_count_alike_in_what_is_measured():
    model, real = _model(), _images()
    model.compile("adam")
    found = [model.evaluate(real, batch_size=size, verbose=0, return_dict=True) for size in (5, 8)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    key = derived_key(1, Purpose.EVALUATION_NOISE)
    drawn = model.decode(normal_of_images(key, 0, 8, 5))
    logits = [model.logits(images).numpy().astype(float) for images in (real, drawn)]
    assert found[1]["accuracy"] == np.mean([logits[0] > 0, logits[1] < 0])
    expected = np.mean(np.log1p(np.exp(-logits[0])) + np.log1p(np.exp(logits[1])))
    assert found[1]["discriminator_loss"] == pytest.approx(expected, rel=1e-5)
    assert found[1]["probability_of_real"] == pytest.approx(np.mean(1 / (1 + np.exp(-logits[0]))))


def test_what_goes_wrong_is_said_in_a_line():
    well = {"train_accuracy": 0.8, "test_spread": 0.9}
    warnings, model = FAMILIES["gan"].warnings, _model()
    assert warnings(model, well) == []
    (sure,) = warnings(model, {**well, "train_accuracy": 0.999})
    (alike,) = warnings(model, {**well, "test_spread": 0.01})
    assert "--r1" in sure and "--seed" in alike


# Losses and penalties, against NumPy.

REAL = np.array([-30.0, -1.5, 0.0, 0.4, 3.0, 40.0])
DRAWN = np.array([25.0, 2.0, 0.0, -0.3, -1.0, -50.0])


def test_losses_are_those_of_the_papers():
    """Logarithms of probabilities, hinges, and differences of logits."""
    log_real, log_drawn = (-np.logaddexp(0, -logits) for logits in (REAL, DRAWN))
    log_no_drawn = -np.logaddexp(0, DRAWN)
    hinges = np.maximum(0, 1 - REAL) + np.maximum(0, 1 + DRAWN)
    for loss, of_discriminator, of_generator in (
        (losses.NON_SATURATING, -log_real - log_no_drawn, -log_drawn),
        (losses.HINGE, hinges, -DRAWN),
        (losses.WGAN_GP, DRAWN - REAL, -DRAWN),
    ):
        real, drawn = tf.constant(REAL), tf.constant(DRAWN)
        np.testing.assert_allclose(loss.discriminator(real, drawn), of_discriminator, 1e-6, 1e-12)
        np.testing.assert_allclose(loss.generator(drawn), of_generator, 1e-6, 1e-12)


WEIGHTS = np.linspace(-1, 2, 12)


def _judge(images):
    flat = tf.reshape(images, [-1, 12])
    return tf.sin(tf.linalg.matvec(flat, WEIGHTS)) + tf.reduce_sum(flat**3, axis=1)


def _squared_gradients(images):
    flat = images.reshape(-1, 12)
    gradients = np.cos(flat @ WEIGHTS)[:, None] * WEIGHTS + 3 * flat**2
    return np.square(gradients).sum(axis=1)


def test_penalties_are_of_gradients_at_real_images_and_between_them_and_drawn_ones():
    random = np.random.default_rng(1)
    real, drawn = random.uniform(size=(2, 4, 2, 3, 2))
    squares = _squared_gradients(real)
    np.testing.assert_allclose(losses.squared_gradients(_judge, tf.constant(real)), squares, 1e-6)
    np.testing.assert_allclose(losses.r1_penalty(_judge, tf.constant(real)), squares.mean() / 2)
    shares = random.uniform(size=(4, 1, 1, 1))
    norms = np.sqrt(_squared_gradients(shares * real + (1 - shares) * drawn))
    found = losses.distance_penalty(_judge, *map(tf.constant, (real, drawn, shares)))
    np.testing.assert_allclose(found, np.mean((norms - 1) ** 2), rtol=1e-6)


# Changes of real and drawn images: what each does, that gradients pass, that keys decide.

KEY = tf.constant([3, 4])
IMAGES = np.random.default_rng(0).uniform(0.1, 0.9, (150, 16, 24, 3)).astype(np.float32)


def _changed(kind):
    return losses.augment(tf.constant(IMAGES), [kind], KEY).numpy()


def test_half_of_the_images_are_mirrored():
    changed = _changed("mirror")
    is_same = np.all(changed == IMAGES, axis=(1, 2, 3))
    np.testing.assert_array_equal(changed[~is_same], IMAGES[~is_same][:, :, ::-1])
    assert 50 < is_same.sum() < 100


def test_translation_shifts_each_image_by_an_eighth_at_most_and_lets_black_in():
    padded, found = np.pad(IMAGES, ((0, 0), (2, 2), (3, 3), (0, 0))), set()
    for moved, wide in zip(_changed("translation"), padded, strict=True):
        fits = [
            (row, column)
            for row, column in np.ndindex(5, 7)
            if np.allclose(moved, wide[row : row + 16, column : column + 24], atol=1e-5)
        ]
        assert len(fits) == 1
        found.update(fits)
    assert len(found) > 25  # of 35 there are


def test_cutout_makes_one_rectangle_black():
    changed = _changed("cutout")
    is_black = np.all(changed == 0, axis=3)
    np.testing.assert_array_equal(changed[~is_black], IMAGES[~is_black])
    for black in is_black:
        rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
        assert black[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert len(rows) <= 8 and len(columns) <= 12


@pytest.mark.parametrize("kind", losses.KINDS)
def test_gradients_pass_and_the_key_decides(kind):
    images = tf.constant(IMAGES[:8])
    with tf.GradientTape() as tape:
        tape.watch(images)
        changed = losses.augment(images, [kind], KEY)
        total = tf.reduce_sum(changed)
    assert np.abs(tape.gradient(total, images)).max() > 0
    np.testing.assert_array_equal(changed, losses.augment(images, [kind], KEY))
    assert np.any(changed != losses.augment(images, [kind], tf.constant([3, 5])))


def test_the_discriminator_sees_real_and_drawn_images_changed_and_not_alike():
    images = tf.constant(IMAGES[:8])
    model = SimpleNamespace(
        seed=1,
        steps=tf.constant(3),
        recipe=Recipe(augment=("translation", "cutout")),
        logits=lambda images, labels, training: images,
    )
    real, drawn = GAN._judged(model, images, images, None, training=True)
    for one, other in ((real, images), (drawn, images), (real, drawn)):
        assert np.any(one != other, axis=(1, 2, 3)).sum() >= 6
    assert all(np.all(seen == images) for seen in GAN._judged(model, images, images, None, False))


def test_what_is_left_to_the_images_is_chosen_by_them():
    images = look_at(np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), np.uint8))
    chosen = Config.create(images, preset="gan", diff_augment="auto").diff_augment
    assert losses.kinds_of(chosen) == ("mirror", "translation")
    many_grey = images._replace(shape=(16, 16, 1), num=60_000)
    assert Config.create(many_grey, preset="gan").diff_augment == "none"
