import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import binary_images, tiny_cvae, tiny_images, tiny_networks, weights_of

from cvae_tf.config import Config
from cvae_tf.core.randomness import Purpose, derived_key, normal_of_images, normal_of_samples
from cvae_tf.models.vae import objectives
from cvae_tf.models.vae.even_latents import even_latents
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.pixels import Pixels

_SEED = tf.constant([1, 2])


def _binary(num, seed=0):
    return tf.constant(binary_images(num, seed))


def _numpy_loss(weights, images, noise):
    """The negative ELBO of the tiny networks, in float64 and without TensorFlow."""
    kernel, bias, code_kernel, code_bias, grid_kernel, grid_bias, up_kernel, up_bias = weights
    windows = np.lib.stride_tricks.sliding_window_view(images[..., 0], (3, 3), (1, 2))[:, ::2, ::2]
    features = np.tanh(np.einsum("nijab,abf->nijf", windows, kernel[:, :, 0]) + bias)
    code = features.reshape(len(images), -1) @ code_kernel + code_bias
    mean, logvar = np.hsplit(code, 2)
    latents = mean + noise * np.sqrt(np.exp(logvar))
    grid = np.tanh(latents @ grid_kernel + grid_bias).reshape(-1, 3, 3, 2)
    logits = np.zeros((len(images), 7, 7))
    for i, j, a, b in itertools.product(range(3), repeat=4):
        logits[:, 2 * i + a, 2 * j + b] += grid[:, i, j] @ up_kernel[a, b, 0]
    white = 1 / (1 + np.exp(-logits[:, :6, :6] - up_bias))
    likelihood = np.where(images[..., 0] == 1, white, 1 - white).prod(axis=(1, 2))
    kl = np.sum(latents**2 - noise**2 - logvar, axis=1) / 2
    return np.mean(kl - np.log(likelihood))


def _slope(weights, number, place, *arguments):
    """The central finite difference of the loss by one weight."""
    losses = []
    for shift in (-1e-5, 1e-5):
        moved = [value.copy() for value in weights]
        moved[number][place] += shift
        losses.append(_numpy_loss(moved, *arguments))
    return (losses[1] - losses[0]) / 2e-5


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_train_step_follows_the_finite_differences_of_the_negative_elbo(latent_dim):
    model = tiny_cvae(seed=4, latent_dim=latent_dim, optimizer=keras.optimizers.SGD(1.0))
    images = _binary(5).numpy()
    seed = derived_key(4, Purpose.TRAINING_NOISE, 0)
    noise = tf.random.stateless_normal([5, latent_dim], seed).numpy().astype(float)
    before = [variable.numpy().astype(float) for variable in model.trainable_variables]
    result = model.train_step(images)
    assert float(result["elbo"]) == pytest.approx(-_numpy_loss(before, images, noise), rel=1e-5)
    random, slopes = np.random.default_rng(0), []
    for number, variable in enumerate(model.trainable_variables):
        for place in {tuple(random.integers(variable.shape)) for _ in range(6)}:
            slopes.append(_slope(before, number, place, images, noise))
            step = before[number][place] - variable.numpy()[place]
            assert step == pytest.approx(slopes[-1], rel=1e-3, abs=1e-5)
    assert len(slopes) > 25 and np.abs(slopes).max() > 0.1


def test_encode_splits_the_output_into_mean_then_logvar(tiny_model):
    images = _binary(3)
    mean, logvar = tiny_model.encode(images)
    np.testing.assert_array_equal(np.hstack([mean, logvar]), tiny_model.encoder(images))
    assert mean.shape == logvar.shape == (3, 2)


@pytest.mark.parametrize("num", [6, 7])
def test_halves_of_a_batch_come_back_in_their_order(tiny_model, num):
    images = _binary(num)
    mean, logvar = tiny_model.encode(images)
    expected = tiny_model.encoder(images)
    np.testing.assert_allclose(np.hstack([mean, logvar]), expected, rtol=1e-5, atol=1e-6)
    logits = tiny_model.decode(mean)
    np.testing.assert_allclose(logits, tiny_model.decoder(mean), rtol=1e-5, atol=1e-6)


def test_reparameterized_latents_have_the_mean_and_variance_of_the_posterior(tiny_model):
    num = 100_000
    mean, logvar = tf.constant([[2.0, -1.0]]), tf.constant([[0.6, -1.4]])
    tiled = [tf.tile(value, [num, 1]) for value in (mean, logvar)]
    latents = tiny_model.reparameterize(*tiled, _SEED).numpy()
    deviation = np.sqrt(np.exp(logvar[0]))
    assert np.all(np.abs(latents.mean(axis=0) - mean[0]) < 4 * deviation / np.sqrt(num))
    np.testing.assert_allclose(latents.std(axis=0), deviation, rtol=4 / np.sqrt(2 * num))
    assert abs(np.corrcoef(latents.T)[0, 1]) < 4 / np.sqrt(num)


def test_reparameterized_latents_are_a_pure_function_of_the_seed(tiny_model):
    draws = [
        tiny_model.reparameterize(tf.zeros([4, 2]), tf.zeros([4, 2]), tf.constant(seed)).numpy()
        for seed in ([1, 2], [1, 2], [1, 3])
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.all(draws[0] != draws[2])


def test_gradients_reach_mean_and_logvar_through_the_sample(tiny_model):
    mean, logvar = tf.zeros([4, 2]), tf.fill([4, 2], 0.8)
    with tf.GradientTape() as tape:
        tape.watch([mean, logvar])
        latents = tiny_model.reparameterize(mean, logvar, _SEED)
    of_mean, of_logvar = tape.gradient(latents, [mean, logvar])
    np.testing.assert_allclose(of_mean, np.ones([4, 2]))
    np.testing.assert_allclose(of_logvar, latents / 2, rtol=1e-5)


def test_elbo_terms_agree_with_numpy(tiny_model):
    images = _binary(6).numpy()
    terms = tiny_model.elbo_terms(images, _SEED)
    code = tiny_model.encoder(images).numpy().astype(float)
    mean, deviation = code[:, :2], np.sqrt(np.exp(code[:, 2:]))
    noise = tf.random.stateless_normal([6, 2], _SEED).numpy()
    latents = mean + deviation * noise
    white = 1 / (1 + np.exp(-tiny_model.decoder(latents.astype(np.float32)).numpy()))
    pixels = np.where(images == 1, white, 1 - white)
    kl = np.sum(latents**2 / 2 - noise**2 / 2 - np.log(deviation), axis=1)
    np.testing.assert_allclose(terms.log_likelihood, np.log(pixels).sum((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(terms.elbo, np.log(pixels).sum((1, 2, 3)) - kl, rtol=1e-4)


def test_samples_are_decoded_latents_of_the_prior(tiny_model):
    images = tiny_model.sample(5, _SEED).numpy()
    latents = tf.random.stateless_normal([5, 2], _SEED)
    white = 1 / (1 + np.exp(-tiny_model.decoder(latents).numpy()))
    assert images.shape == (5, 6, 6, 1)
    np.testing.assert_allclose(images, white, rtol=1e-5)


def test_calling_the_model_reconstructs_from_the_posterior_mean(tiny_model):
    images = _binary(3)
    mean = tiny_model.encoder(images).numpy()[:, :2]
    white = 1 / (1 + np.exp(-tiny_model.decoder(mean).numpy()))
    np.testing.assert_allclose(tiny_model(images), white, rtol=1e-5)


def test_train_steps_raise_the_elbo_of_a_fixed_batch(tiny_model):
    images = _binary(16)
    before = np.mean(tiny_model.elbo_terms(images, _SEED).elbo)
    step = tf.function(tiny_model.train_step)
    for _ in range(200):
        step(images)
    after = np.mean(tiny_model.elbo_terms(images, _SEED).elbo)
    assert after > before + 3
    assert int(tiny_model.optimizer.iterations) == 200


def test_train_step_returns_the_means_since_the_reset(tiny_model):
    first, second = _binary(8), _binary(4, seed=1)
    seeds = [derived_key(0, Purpose.TRAINING_NOISE, step) for step in range(2)]
    elbos = [tiny_model.elbo_terms(first, seeds[0]).elbo]
    tiny_model.train_step(first)
    elbos.append(tiny_model.elbo_terms(second, seeds[1]).elbo)
    result = tiny_model.train_step(second)
    assert set(result) == {"elbo", "log_likelihood", "kl"}
    assert float(result["elbo"]) == pytest.approx(np.mean(np.concatenate(elbos)), rel=1e-5)
    difference = float(result["log_likelihood"] - result["kl"])
    assert float(result["elbo"]) == pytest.approx(difference, rel=1e-4)
    tiny_model.reset_metrics()
    assert float(tiny_model.means["elbo"].count) == 0


def test_noise_differs_from_step_to_step():
    model = tiny_cvae(optimizer=keras.optimizers.SGD(0.0))
    images = _binary(8)
    results = []
    for _ in range(3):
        model.reset_metrics()
        results.append(float(model.train_step(images)["kl"]))
    assert len(set(results)) == 3


def test_fit_and_evaluate_work_as_with_any_keras_model():
    model = tiny_cvae(optimizer=keras.optimizers.Adam(0.05))
    images = _binary(48).numpy()
    before = model.evaluate(images, batch_size=16, verbose=0, return_dict=True)
    history = model.fit(images, batch_size=16, epochs=10, validation_data=(images,), verbose=0)
    after = model.evaluate(images, batch_size=16, verbose=0, return_dict=True)
    assert after["elbo"] > before["elbo"] + 3
    assert {"elbo", "log_likelihood", "kl", "val_elbo"} <= set(history.history)
    assert history.history["elbo"][-1] > history.history["elbo"][0] + 3
    assert int(model.optimizer.iterations) == 30


def test_predict_gives_reconstructions(tiny_model):
    images = _binary(5).numpy()
    predicted = tiny_model.predict(images, batch_size=2, verbose=0)
    np.testing.assert_allclose(predicted, tiny_model(images), rtol=1e-5)


def _unequal_images():
    """Twenty images of which the last four, a smaller batch, are unlike the others."""
    return np.concatenate([_binary(16).numpy(), np.ones((4, 6, 6, 1), np.float32)])


def test_evaluate_weighs_images_equally_with_a_smaller_last_batch(tiny_model):
    images = _unequal_images()
    tiny_model.decoder.layers[-1].bias.assign([1.0])
    result = tiny_model.evaluate(images, batch_size=8, verbose=0, return_dict=True)
    noise = normal_of_images(derived_key(0, Purpose.EVALUATION_NOISE), 0, 20, 2)
    elbos = tiny_model.terms_with_noise(images, tiny_model.encode(images), noise)[0].elbo.numpy()
    assert result["elbo"] == pytest.approx(np.mean(elbos), rel=1e-5)
    of_batches = [elbos[start : start + 8].mean() for start in (0, 8, 16)]
    assert abs(np.mean(of_batches) - result["elbo"]) > 0.1


def test_what_is_measured_of_an_image_does_not_depend_on_its_batch(tiny_model):
    grey = tf.constant(tiny_images(20) / 255, tf.float32)
    whole = tiny_model.measure(grey, None, tf.constant(0))
    for first, last in ((0, 5), (5, 6), (6, 20)):
        part = tiny_model.measure(grey[first:last], None, tf.constant(first))
        for name in ("elbo", "log_likelihood", "kl"):
            np.testing.assert_allclose(part[name], whole[name][first:last], rtol=1e-5)


@pytest.mark.parametrize(
    "objective", [objectives.Objective("iwae", 3), objectives.Objective(beta=0.5)]
)
def test_evaluate_measures_what_is_climbed(objective):
    model, images = tiny_cvae(objective=objective), _unequal_images()
    result = model.evaluate(images, batch_size=8, verbose=0, return_dict=True)
    num, key = objective.importance_samples, derived_key(0, Purpose.EVALUATION_NOISE)
    noise = normal_of_samples(key, 0, 20, 2, 0, num) if num > 1 else normal_of_images(key, 0, 20, 2)
    terms, _ = model.terms_with_noise(images, model.encode(images), noise, num)
    weights = np.reshape(terms.log_likelihood - objective.beta * terms.kl, (num, -1))
    values = np.log(np.exp(weights.astype(float)).mean(axis=0))
    assert result["objective"] == pytest.approx(values.mean(), rel=1e-5)
    assert result["elbo"] == pytest.approx(np.mean(terms.elbo), rel=1e-5)


def test_evaluate_is_repeatable_and_changes_no_weights(tiny_model):
    before = weights_of(tiny_model)
    first, again = (tiny_model.evaluate(_binary(20), verbose=0) for _ in range(2))
    assert first == again
    for old, new in zip(before, weights_of(tiny_model), strict=True):
        np.testing.assert_array_equal(old, new)


def _trained_weights(seed):
    model = tiny_cvae(seed=seed)
    step = tf.function(model.train_step)
    for _ in range(10):
        step(_binary(8))
    return weights_of(model)


def test_the_same_seed_gives_bit_identical_weights():
    for first, again in zip(_trained_weights(1), _trained_weights(1), strict=True):
        np.testing.assert_array_equal(first, again)


def test_the_seed_decides_the_noise_even_if_the_weights_start_alike():
    results = []
    for seed in (1, 2):
        model = CVAE(tiny_networks(seed=0), seed=seed)
        model.compile(keras.optimizers.SGD(0.1))
        model.train_step(_binary(8))
        results.append(weights_of(model))
    assert any(np.any(first != other) for first, other in zip(*results, strict=True))


def test_batch_size_may_be_unknown(digits_model, tiny_dataset):
    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28, 1])])
    def elbo(images):
        return digits_model.elbo_terms(images, _SEED).elbo

    images = (tiny_dataset.test.images > 127).astype(np.float32)
    for num in (1, 7):
        expected = digits_model.elbo_terms(images[:num], _SEED).elbo
        np.testing.assert_allclose(elbo(images[:num]), expected, rtol=1e-4)


def test_number_of_samples_may_be_a_tensor(tiny_model):
    sample = tf.function(tiny_model.sample)
    assert sample(tf.constant(3), _SEED).shape == (3, 6, 6, 1)
    assert sample(tf.constant(0), _SEED).shape == (0, 6, 6, 1)


def test_dimensions_are_those_of_the_networks(digits_model):
    assert (digits_model.latent_dim, digits_model.image_shape) == (2, (28, 28, 1))


def _objective_of(model, weights, images, objective, beta):
    """What a step at these weights climbs, with the noise of the first step."""
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)
    seed = derived_key(model.seed, Purpose.TRAINING_NOISE, 0)
    posterior, num = model.encode(images), objective.importance_samples
    noise = tf.random.stateless_normal([num * len(images), model.latent_dim], seed)
    terms, latents = model.terms_with_noise(images, posterior, noise, num)
    value = float(objectives.objective_value(objective, terms, posterior, latents, beta))
    if objective.name != "shared":
        return value
    key = derived_key(model.seed, Purpose.SHARED_LATENTS, 0)
    outputs = model.decode(even_latents(objective.shared_latents, model.latent_dim, key))
    of_each = [tf.repeat(image[None], len(outputs), axis=0) for image in images]
    pairs = tf.stack([model.pixels.density.log_prob(each, outputs) for each in of_each])
    return (value + float(tf.reduce_mean(objectives.shared_bound(pairs)))) / 2


@pytest.mark.parametrize(
    "objective",
    [
        objectives.Objective("elbo_analytic"),
        objectives.Objective("iwae", 4),
        objectives.Objective("elbo", beta=0.3, free_bits=0.4),
        objectives.Objective("elbo_analytic", beta=2.0, free_bits=0.4),
        objectives.Objective("iwae", 3, beta=0.5, free_bits=0.4),
        objectives.Objective("shared", shared_latents=7),
        objectives.Objective("shared", beta=0.5, free_bits=0.4, shared_latents=7),
    ],
)
@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli"])
def test_train_step_climbs_any_objective(objective, likelihood):
    networks = tiny_networks(seed=4)
    binarize = "threshold" if likelihood == "bernoulli" else "none"
    model = CVAE(networks, 4, Pixels(binarize, likelihood), objective)
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    images = _binary(5) if likelihood == "bernoulli" else (tiny_images(5) / 255).astype(np.float32)
    before = [variable.numpy() for variable in model.trainable_variables]
    result = model.train_step(images)
    after = [variable.numpy() for variable in model.trainable_variables]
    value = _objective_of(model, before, images, objective, objective.beta)
    assert float(result["objective"]) == pytest.approx(value, rel=1e-5)
    gradient = [new - old for new, old in zip(after, before, strict=True)]
    for part, whole in enumerate(gradient):  # each variable by itself, along its gradient
        length = np.sqrt(np.sum(whole**2))
        ends = []
        for size in (0.01, -0.01):
            moved = [*before[:part], before[part] + size * whole / length, *before[part + 1 :]]
            ends.append(_objective_of(model, moved, images, objective, objective.beta))
        assert (ends[0] - ends[1]) / 0.02 == pytest.approx(length, rel=0.03)


def test_one_importance_sample_is_the_elbo():
    images, results = _binary(4), []
    for objective in (objectives.ELBO, objectives.Objective("iwae", 1)):
        model = CVAE(tiny_networks(seed=1), 1, objective=objective)
        model.compile(optimizer=keras.optimizers.SGD(0.1))
        model.train_step(images)
        results.append(weights_of(model))
    for plain, iwae in zip(*results, strict=True):
        np.testing.assert_allclose(plain, iwae, rtol=1e-5, atol=1e-6)


def test_gaussian_images_learn_their_variance():
    config = Config.create(binarize="none", likelihood="gaussian")
    model = CVAE.from_settings(config, (8, 8, 1), steps_per_epoch=1)
    model.compile(optimizer=keras.optimizers.Adam(0.005))
    random, step = np.random.default_rng(0), tf.function(model.train_step)
    variance_before = np.exp(model.decode(np.zeros((1, 2), np.float32)))[0, 0, 0, 1]
    for _ in range(400):
        images = tf.constant(random.uniform(size=(16, 8, 8, 1)), tf.float32)
        step(images)
    parameters = model.decode(model.encode(images)[0])
    assert variance_before < 0.07
    assert np.mean(np.exp(parameters[..., 1])) == pytest.approx(1 / 12, rel=0.1)
    assert parameters.shape == (16, 8, 8, 2)
    assert model(images).shape == images.shape
