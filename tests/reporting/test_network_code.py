"""Networks computed in the browser against Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import PROJECT, VAE_NETWORKS

from cvae_tf.models.networks import Options, build_gan_networks, build_networks
from cvae_tf.models.vae.likelihoods import LIKELIHOODS, Pixels
from cvae_tf.reporting.network_code import UnknownLayerError, code_of

SCRIPT = (PROJECT / "cvae_tf" / "reporting" / "page" / "network.js").read_text()
LABEL = np.int32(2)
CALL = "([code, name, inputs]) => Array.from(readNetworks(code)[name](...inputs))"


@pytest.fixture(scope="module")
def page(browser):
    """An empty page that knows network.js."""
    opened = browser.new_page()
    opened.add_script_tag(content=SCRIPT)
    yield opened
    opened.close()


def _assert_same(page, network, inputs, tolerance):
    given = [tf.constant(each)[None] for each in inputs]
    expected = np.ravel(network(given if len(given) > 1 else given[0]))
    plain = [np.ravel(each).tolist() for each in inputs]
    found = page.evaluate(CALL, [code_of({"it": network}), "it", plain])
    assert np.abs(expected - found).max() <= tolerance * max(np.abs(expected).max(), 1)


def _wake(network):
    """Moves all weights, so that none is 0 or 1 as at the beginning."""
    chance = np.random.default_rng(0)
    for weight in network.weights:
        if "seed" not in weight.path:
            weight.assign(weight + 0.05 * np.abs(chance.normal(size=weight.shape)))


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name == "patches_residual" else pytest.mark.slow)
    for name in (*VAE_NETWORKS, "dcgan", "sub_pixel")
])  # fmt: skip
def test_networks_are_computed_as_by_keras(page, name):
    shape, chance = (28, 28, 1) if name == "tutorial" else (20, 12, 3), np.random.default_rng(1)
    if name in VAE_NETWORKS:
        networks = [*zip(build_networks(name, shape, 4, seed=0, num_classes=3), (shape, 4))]  # noqa: B905
    else:
        networks = [(build_gan_networks(name, shape, 8, 0, num_classes=3)[0], 8)]
    for network, size in networks:
        _wake(network)
        _assert_same(page, network, [chance.normal(size=size).astype(np.float32), LABEL], 0.02)


def test_activations_are_those_of_keras(page):
    for name in ("gelu", "silu", "tanh", "sigmoid", "elu", "selu", "softplus"):
        options = Options(hidden=(8,), activation=name)
        _, decoder = build_networks("mlp", (8, 8, 1), 2, seed=0, options=options)
        _wake(decoder)
        _assert_same(page, decoder, [np.array([1.5, -2], np.float32)], 1e-5)


def test_mean_images_are_those_of_the_likelihood(page):
    latents = np.array([0.7, -1.1], np.float32)
    for likelihood in LIKELIHOODS:
        density = Pixels("none", likelihood).likelihood
        decoder = build_networks("mlp", (8, 8, 3), 2, 0, **density.decoder_parts(3)).decoder
        _wake(decoder)
        found = page.evaluate(
            "([code, latents, kind]) => "
            f"Array.from(MEANS[kind](({CALL})([code, 'it', [latents]]), 3, 8))",
            [code_of({"it": decoder}), latents.tolist(), likelihood],
        )
        expected = np.ravel(density.mean(decoder(latents[None])))
        np.testing.assert_allclose(found, expected, atol=0.01)


def test_unknown_layers_are_named():
    inputs = keras.Input((4,))
    network = keras.Model(inputs, keras.layers.GaussianNoise(0.1)(inputs))
    with pytest.raises(UnknownLayerError, match="GaussianNoise"):
        code_of({"it": network})
