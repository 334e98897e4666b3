"""Refined posteriors of whole models: where they begin, parts, labels, every likelihood."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import binary_images, tiny_cvae, vivid

from cvae_tf import registry
from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.vae import inferring, refinement
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.pixels import Pixels

LABELS = tf.constant([0, 2, 1, 2])


@pytest.fixture(scope="module")
def model():
    """A model of 6 x 6 pixels whose images differ by their latents."""
    return vivid(tiny_cvae(seed=2))


def _log_joint(model, pixels, latents, labels=None):
    decode = inferring.decoder_for(model, labels)
    return refinement.log_joint(decode, model.pixels.density, pixels, latents).numpy()


def test_images_begin_at_the_likeliest_of_many_places(model):
    pixels = tf.constant(binary_images(12))
    start = inferring.first_latents(model, pixels, None)
    own = _log_joint(model, pixels, model.encode(pixels).mean)
    found = _log_joint(model, pixels, start)
    assert np.all(found >= own) and found.mean() > own.mean() + 0.1
    random = np.random.default_rng(0)
    for _ in range(20):  # no place drawn from the prior is much better
        other = tf.constant(random.normal(size=(12, 2)), tf.float32)
        assert np.all(_log_joint(model, pixels, other) < found + 0.5)


def test_many_dimensions_begin_where_the_encoder_says():
    model = tiny_cvae(seed=2, latent_dim=5)
    pixels = tf.constant(binary_images(4))
    start = inferring.first_latents(model, pixels, None)
    np.testing.assert_array_equal(start, model.encode(pixels).mean)


def test_parts_are_joined_in_order(model, monkeypatch):
    pixels = tf.constant(binary_images(11))
    monkeypatch.setattr(inferring, "_PIXELS", 12 * 36)  # four images at once
    assert inferring.images_at_once(model) == 4
    start = inferring.first_latents(model, pixels, None)
    whole = inferring.from_latents(model, pixels, None, start, 3)
    in_parts = inferring.inference(model)(pixels, None, 3)
    for one, other in zip(whole, in_parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-3)


def test_posteriors_are_better_than_the_encoders(model):
    pixels = tf.constant(binary_images(12))
    noise = tf.constant(np.random.default_rng(0).normal(size=(400 * 12, 2)), tf.float32)

    def elbo(posterior):
        terms, _ = model.terms_with_noise(pixels, posterior, noise, 400)
        return terms.elbo.numpy().mean()

    gain = elbo(inferring.inference(model)(pixels, None, 5)) - elbo(model.encode(pixels))
    assert gain > 0.3


def test_every_class_is_refined_under_its_own_labels():
    networks = build_networks("mlp", (8, 8, 1), 2, seed=1, num_classes=3)
    model = vivid(CVAE(networks, seed=1, num_classes=3))
    pixels = tf.constant(np.random.default_rng(0).integers(0, 2, (4, 8, 8, 1)), tf.float32)
    together = inferring.inference(model)(pixels, LABELS, 4)
    for row in range(4):
        own = slice(row, row + 1)
        alone = inferring.inference(model)(pixels[own], LABELS[own], 4)
        np.testing.assert_allclose(together.mean[own], alone.mean, atol=1e-3)
    start = inferring.first_latents(model, pixels, LABELS)
    before = _log_joint(model, pixels, start, LABELS)
    assert np.all(_log_joint(model, pixels, together.mean, LABELS) >= before - 1e-3)


@pytest.mark.parametrize("latent_dim", [1, 2, 6])
@pytest.mark.parametrize("likelihood", list(registry.LIKELIHOODS))
def test_every_likelihood_can_be_refined(likelihood, latent_dim):
    pixels_kind = Pixels("threshold" if likelihood == "bernoulli" else "none", likelihood)
    density = pixels_kind.density
    networks = build_networks(
        "mlp", (8, 8, 1), latent_dim, seed=1,
        outputs=density.decoder_channels(1), head=density.head and density.head(),
    )  # fmt: skip
    model = CVAE(networks, seed=1, pixels=pixels_kind)
    grey = tf.constant(np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)) / 255, tf.float32)
    pixels = pixels_kind.likeliest(grey)
    start = inferring.first_latents(model, pixels, None)
    found = inferring.inference(model)(pixels, None, 10)
    assert np.all(_log_joint(model, pixels, found.mean) >= _log_joint(model, pixels, start) - 1e-3)
    covariance = found.covariance.numpy()
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert np.linalg.eigvalsh(covariance).max() <= 1.001  # no wider than the prior
