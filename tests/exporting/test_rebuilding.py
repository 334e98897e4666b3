"""The networks of an exported model, built again."""

import numpy as np
import pytest

from cvae_tf.exporting import loading, rebuilding


def test_networks_do_what_the_signatures_do(exported_digits):
    model = loading.load(exported_digits)
    networks = rebuilding.networks_of(model)
    latents = np.random.default_rng(0).normal(size=(5, model.latent_dim)).astype(np.float32)
    images = model.decode(latents)
    white = 1 / (1 + np.exp(-np.asarray(networks["decoder"](latents))))
    np.testing.assert_allclose(white, images, atol=1e-5)
    pixels = (images >= 0.5).astype(np.float32)  # as the digits were thresholded
    posterior = np.asarray(networks["encoder"](pixels))
    mean, logvar = np.split(posterior, 2, axis=1)
    np.testing.assert_allclose(mean, model.encode(pixels).mean, atol=1e-4)
    np.testing.assert_allclose(logvar, model.encode(pixels).logvar, atol=1e-4)


@pytest.mark.parametrize(
    "change", [{"network": "tutorial"}, {"latent_dim": 3}, {"network": "not of this version"}]
)
def test_settings_that_are_not_those_of_the_weights_give_none(exported_digits, change):
    model = loading.load(exported_digits)
    model.metadata = {**model.metadata, "config": {**model.metadata["config"], **change}}
    assert rebuilding.networks_of(model) is None


def test_a_model_without_its_settings_gives_none(exported_digits):
    model = loading.load(exported_digits)
    model.metadata = {}
    assert rebuilding.networks_of(model) is None
