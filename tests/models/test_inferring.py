"""Refined posteriors of whole models: where they begin, parts, labels, every likelihood."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import binary_images, tiny_cvae, vivid

from cvae_tf import registry
from cvae_tf.models.networks.building import Options, build_networks
from cvae_tf.models.vae import inferring, refinement
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.pixels import Pixels

LABELS = tf.constant([0, 2, 1, 2])
SMALL = Options(hidden=(16,))


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
    many = tiny_cvae(seed=2, latent_dim=5)
    np.testing.assert_array_equal(
        inferring.first_latents(many, pixels, None), many.encode(pixels).mean
    )


def test_parts_are_joined_in_order_and_better_than_the_encoders(model, monkeypatch):
    pixels = tf.constant(binary_images(11))
    monkeypatch.setattr(inferring, "_PIXELS", 12 * 36)  # four images at once
    assert inferring.images_at_once(model) == 4
    start = inferring.first_latents(model, pixels, None)
    whole = inferring.from_latents(model, pixels, None, start, 3)
    in_parts = inferring.inference(model)(pixels, None, 3)
    for one, other in zip(whole, in_parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-3)
    noise = tf.constant(np.random.default_rng(0).normal(size=(400 * 11, 2)), tf.float32)
    own, refined = (
        model.terms_with_noise(pixels, posterior, noise, 400)[0].elbo.numpy().mean()
        for posterior in (model.encode(pixels), in_parts)
    )
    assert refined > own + 0.3


def test_every_class_is_refined_under_its_own_labels():
    networks = build_networks("mlp", (8, 8, 1), 2, seed=1, num_classes=3, options=SMALL)
    model = vivid(CVAE(networks, seed=1, num_classes=3))
    pixels = tf.constant(np.random.default_rng(0).integers(0, 2, (4, 8, 8, 1)), tf.float32)
    start = inferring.first_latents(model, pixels, LABELS)
    together = inferring.from_latents(model, pixels, LABELS, start, 4)
    for row in range(4):
        own = slice(row, row + 1)
        begin = inferring.first_latents(model, pixels[own], LABELS[own])
        np.testing.assert_allclose(start[own], begin, atol=1e-3)
        alone = inferring.from_latents(model, pixels[own], LABELS[own], begin, 4)
        np.testing.assert_allclose(together.mean[own], alone.mean, atol=1e-3)
    before = _log_joint(model, pixels, start, LABELS)
    assert np.all(_log_joint(model, pixels, together.mean, LABELS) >= before - 1e-3)


@pytest.mark.parametrize(
    ("likelihood", "latent_dim"), list(zip(registry.LIKELIHOODS, (6, 1, 6, 1), strict=True))
)
def test_every_likelihood_can_be_refined(likelihood, latent_dim):
    pixels_kind = Pixels("threshold" if likelihood == "bernoulli" else "none", likelihood)
    density = pixels_kind.density
    networks = build_networks(
        "mlp", (8, 8, 1), latent_dim, seed=1, options=SMALL,
        outputs=density.decoder_channels(1), head=density.head and density.head(),
    )  # fmt: skip
    model = CVAE(networks, seed=1, pixels=pixels_kind)
    grey = tf.constant(np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)) / 255, tf.float32)
    pixels = pixels_kind.likeliest(grey)
    start = inferring.first_latents(model, pixels, None)
    found = inferring.from_latents(model, pixels, None, start, 5)
    assert np.all(_log_joint(model, pixels, found.mean) >= _log_joint(model, pixels, start) - 1e-3)
    variances = np.linalg.eigvalsh(found.covariance)
    assert variances.min() > 0 and variances.max() <= 1.001  # no wider than the prior
