"""The exact log p(x), compared with plain sums over fine grids."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import binary_images, designed_model, tiny_cvae, tiny_images, vivid

from cvae_tf.inference import exact_log_px
from cvae_tf.inference.exact_log_px import _are_unsettled, log_evidence
from cvae_tf.models.vae.likelihoods import Pixels

WHITE = np.ones((1, 1, 1, 1), np.float32)


def _sharp(latent_dim):
    """A model with narrow posteriors that have several modes; its encoder knows nothing of it."""
    return vivid(tiny_cvae(seed=3, latent_dim=latent_dim))


def _on_a_grid(model, pixels):
    """log p(x) by a plain sum over two latents, in float64."""
    axis = np.arange(-6, 6, 0.03)
    latents = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    logits = np.concatenate([
        model.parameters(tf.constant(part, tf.float32)) for part in np.array_split(latents, 20)
    ])  # fmt: skip
    logits = logits.reshape(len(latents), -1).astype(float)
    flat = pixels.reshape(len(pixels), -1)
    log_likelihood = flat @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    log_prior = -0.5 * np.sum(latents**2 + np.log(2 * np.pi), axis=1)
    return np.logaddexp.reduce(log_likelihood + log_prior, axis=1) + 2 * np.log(0.03)


def test_two_dimensions_agree_with_a_plain_sum_whatever_is_done_at_once(monkeypatch):
    model, pixels = _sharp(latent_dim=2), binary_images(12)[[0, 11]]
    expected = _on_a_grid(model, pixels)
    found = log_evidence(model, pixels)
    np.testing.assert_allclose(found.log_evidence, expected, atol=5e-3)
    assert found.error.max() < 0.01
    monkeypatch.setattr(exact_log_px, "_IMAGES_AT_ONCE", 1)
    monkeypatch.setattr(exact_log_px, "_LATENTS_AT_ONCE", 200)
    parts = log_evidence(model, pixels)
    np.testing.assert_allclose(parts.log_evidence, found.log_evidence, atol=1e-3)


def _designed(logits_of, latent_dim=2):
    """A model of one pixel without an encoder; `logits_of` maps latents [B, Z] to [B]."""

    def decode(latents, labels):
        return tf.reshape(logits_of(latents), [-1, 1, 1, 1])

    return designed_model(None, decode, latent_dim, (1, 1, 1))


@pytest.mark.parametrize("width", [0.004, 0.0005])
def test_a_narrow_posterior_is_integrated_or_known_as_too_narrow(width, monkeypatch):
    centre = 0.3137

    def logits(latents):
        return -40 - tf.reduce_sum((latents - centre) ** 2, axis=1) / (2 * width**2)

    found = log_evidence(_designed(logits), WHITE)
    expected = -40 + 2 * np.log(width) - centre**2  # sigmoid(l) is exp(l) down there
    assert found.log_evidence[0] == pytest.approx(expected, abs=0.02)
    assert found.error[0] < 0.01
    monkeypatch.setattr(exact_log_px, "_MOST_DIVISIONS", 0)
    assert log_evidence(_designed(logits), WHITE).error[0] > 0.5


def test_an_image_that_lies_far_out_is_integrated_there_also_beyond_a_gap():
    model = _designed(lambda latents: 90 * tf.sigmoid(8 * (latents[:, 0] - 9.5)) - 90, latent_dim=1)
    found = log_evidence(model, np.array([0, 0, 1], np.float32).reshape(-1, 1, 1, 1)).log_evidence
    axis = np.linspace(-12, 12, 1_000_001)
    logits = 90 / (1 + np.exp(-8 * (axis - 9.5))) - 90
    density = np.exp(-0.5 * axis**2 - np.logaddexp(0, -logits)) / np.sqrt(2 * np.pi)
    assert found[-1] == pytest.approx(np.log(density.sum() * (axis[1] - axis[0])), abs=0.02)
    np.testing.assert_allclose(found[:-1], 0, atol=1e-4)


def test_a_thin_ring_over_very_many_tiles_is_not_settled_too_early():
    """No single tile changes by much there, and all together do."""
    width = 0.02

    def logits(latents):
        return -30 - (tf.norm(latents, axis=1) - 1.7) ** 2 / (2 * width**2)

    found = log_evidence(_designed(logits), WHITE)
    radius = np.linspace(0, 5, 200_001)
    density = radius * np.exp(-0.5 * radius**2 - (radius - 1.7) ** 2 / (2 * width**2))
    expected = -30 + np.log(density.sum() * (radius[1] - radius[0]))
    assert found.log_evidence[0] == pytest.approx(expected, abs=0.01)


def test_what_is_very_wrong_of_one_image_does_not_hide_what_is_wrong_of_another():
    image, wrong = np.array([0, 0, 1, 1]), np.array([1e30, 1e-9, 0.02, 1e-9])
    np.testing.assert_array_equal(_are_unsettled(image, wrong), [True, False, True, False])


@pytest.mark.parametrize("name", ["bernoulli", "continuous_bernoulli", "gaussian"])
def test_one_dimension_agrees_with_a_plain_sum_also_of_grey_levels(name):
    sharp = _sharp(latent_dim=1)

    def parameters(latents, labels=None):
        mean = sharp.parameters(latents)
        return tf.concat([mean, 0 * mean - 2], axis=-1) if name == "gaussian" else mean

    model = designed_model(None, parameters, 1, sharp.image_shape, pixels=Pixels.of(name))
    grey = binary_images(5) if name == "bernoulli" else (tiny_images(2) / 255).astype(np.float32)
    grey[:, 0], grey[:, :, 0] = 0, 1  # which are the same in all images
    axis = np.linspace(-8, 8, 8001, dtype=np.float32)[:, None]
    outputs = model.parameters(tf.constant(axis))
    log_joint = [
        model.pixels.likelihood.log_prob(tf.constant(np.tile(image, (8001, 1, 1, 1))), outputs)
        - 0.5 * (axis[:, 0] ** 2 + np.log(2 * np.pi))
        for image in grey
    ]
    expected = np.logaddexp.reduce(np.array(log_joint, float), axis=1) + np.log(16 / 8000)
    np.testing.assert_allclose(log_evidence(model, grey).log_evidence, expected, atol=5e-3)
