"""The VAE's step against finite differences, its ELBO against NumPy; what it draws."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import binary_images, tiny_cvae, tiny_images, tiny_networks

from cvae_tf.core.randomness import Purpose, derived_key, normal_of_images, normal_of_samples
from cvae_tf.models.networks import Options, build_networks
from cvae_tf.models.vae.likelihoods import Pixels
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.objectives import ELBO, Objective


@pytest.mark.parametrize(
    ("objective", "likelihood"),
    [
        (ELBO, "bernoulli"),
        (Objective("elbo_analytic", beta=2.0, free_bits=0.4), "bernoulli"),
        (Objective("iwae", 3, beta=0.5, free_bits=0.4), "bernoulli"),
        (Objective("shared", beta=0.5, shared_latents=7), "continuous_bernoulli"),
    ],
)
def test_a_step_climbs_any_objective_along_its_gradient(objective, likelihood):
    """By finite differences along random ways through all weights."""
    model, step = CVAE(tiny_networks(seed=4), 4, Pixels.of(likelihood), objective), 3
    model.compile(keras.optimizers.SGD(1.0))
    images = model.pixels.binarize_mode(tf.constant(tiny_images(5) / 255, tf.float32))
    noise = tf.random.stateless_normal(
        [5 * objective.importance_samples, 2], derived_key(4, Purpose.TRAINING_NOISE, step)
    )

    def value_at(weights):
        model.optimizer.iterations.assign(step)
        for variable, value in zip(model.trainable_variables, weights, strict=True):
            variable.assign(value)
        posterior, samples = model.encode(images, training=True), objective.importance_samples
        terms, latents = model.terms_with_noise(images, posterior, noise, samples)
        return float(model.objective_value(terms, posterior, latents, images, training=True))

    before = [variable.numpy() for variable in model.trainable_variables]
    value = value_at(before)
    result = model.train_step(images)
    gradient = [new.numpy() - old for new, old in zip(model.variables, before, strict=True)]
    assert float(result["elbo" if objective.is_elbo else "objective"]) == pytest.approx(value, 1e-5)
    random = np.random.default_rng(0)
    for _ in range(5):
        ways = [random.normal(size=part.shape) for part in gradient]
        slope = sum(np.sum(part * way) for part, way in zip(gradient, ways, strict=True))
        ends = [
            value_at([old + size * way for old, way in zip(before, ways, strict=True)])
            for size in (1e-3, -1e-3)
        ]
        assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(slope, rel=0.02, abs=0.02)


def test_the_elbo_is_that_of_the_class_of_each_image_for_every_sample():
    networks = build_networks("mlp", (8, 8, 1), 2, 1, num_classes=3, options=Options(hidden=(9,)))
    model, labels = CVAE(networks, seed=1, num_classes=3), np.int32([0, 2, 1, 2])
    images = np.random.default_rng(0).integers(0, 2, (4, 8, 8, 1)).astype(np.float32)
    posterior = model.encode(images, labels)
    noise = np.random.default_rng(1).standard_normal((12, 2)).astype(np.float32)
    terms, _ = model.terms_with_noise(images, posterior, noise, 3, labels)
    code = np.tile(model.encoder([images, labels]).numpy().astype(float), (3, 1))
    mean, logvar = np.hsplit(code, 2)
    latents = mean + np.exp(logvar / 2) * noise
    logits = model.decoder([latents.astype(np.float32), np.tile(labels, 3)]).numpy().astype(float)
    white = np.tile(images, (3, 1, 1, 1))
    log_likelihood = (white * logits - np.logaddexp(0, logits)).sum(axis=(1, 2, 3))
    kl = -0.5 * np.sum(noise**2 + logvar - latents**2, axis=1)
    np.testing.assert_allclose(terms.log_likelihood, log_likelihood, rtol=1e-5)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-3, atol=1e-4)


def test_samples_are_decoded_latents_of_the_prior_and_reconstructions_decoded_means(tiny_model):
    def white(latents):
        return 1 / (1 + np.exp(-tiny_model.decoder(latents).numpy()))

    seed, images = tf.constant([1, 2]), binary_images(3)
    expected = white(tf.random.stateless_normal([5, 2], seed))
    np.testing.assert_allclose(tiny_model.sample(5, seed), expected, rtol=1e-5)
    expected = white(tiny_model.encoder(images)[:, :2])
    np.testing.assert_allclose(tiny_model(images), expected, rtol=1e-5)


@pytest.mark.parametrize("objective", [ELBO, Objective("iwae", 3, beta=0.5)])
def test_evaluate_measures_what_is_climbed_with_the_same_weight_for_all_images(objective):
    model = tiny_cvae(objective=objective)
    # The last four, a smaller batch, are unlike the others.
    images = np.concatenate([binary_images(16), np.ones((4, 6, 6, 1), np.float32)])
    found, again = (
        model.evaluate(images, batch_size=8, verbose=0, return_dict=True) for _ in range(2)
    )
    assert found == again
    num, key = objective.importance_samples, derived_key(0, Purpose.EVALUATION_NOISE)
    noise = normal_of_samples(key, 0, 20, 2, 0, num) if num > 1 else normal_of_images(key, 0, 20, 2)
    terms, _ = model.terms_with_noise(images, model.encode(images), noise, num)
    assert found["elbo"] == pytest.approx(np.mean(terms.elbo), rel=1e-5)
    weights = np.reshape(terms.log_likelihood - objective.beta * terms.kl, (num, -1))
    values = np.log(np.exp(weights.astype(float)).mean(axis=0))
    name = "elbo" if objective.is_elbo else "objective"
    assert found[name] == pytest.approx(values.mean(), rel=1e-5) and found["loss"] == -found[name]
