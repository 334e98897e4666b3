"""The networks of an exported model, built again."""

import numpy as np
import pytest
from conftest import METADATA

from cvae_tf.config import Config
from cvae_tf.exporting import loading, rebuilding, writing
from cvae_tf.training import building


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


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("fast", {"network": "mlp", "hidden": "8", "dropout": 0.2}),
        ("fast", {"precision": "mixed_bfloat16", "conditional": True}),
        pytest.param("hybrid", {}, marks=pytest.mark.slow),
        pytest.param("photo", {"latent_dim": 3}, marks=pytest.mark.slow),
        ("gan", {"model": "gan", "spectral_norm": True, "conditional": True}),
        ("dcgan", {"model": "gan"}),
    ],
)
def test_every_variable_comes_back(tmp_path, preset, settings):
    config, names = Config.create(preset, **settings), ["a", "b", "c"]
    model, random = building.build_model(config, (28, 28, 1), 100, 3), np.random.default_rng(0)
    weights = [each for network in model.networks.values() for each in network.trainable_variables]
    for each in weights:  # those of the seed would be there anyway
        each.assign(random.normal(size=each.shape, scale=0.1))
    data = {**METADATA["data"], "class_names": names}
    metadata = {**METADATA, "config": config.to_json(), "data": data, "metrics": None}
    writing.write_model(model, "saved_model", tmp_path / "1", metadata)
    found = rebuilding.networks_of(loading.load(tmp_path / "1"))
    assert list(found) == list(model.networks)
    for name, network in model.networks.items():
        for own, other in zip(network.variables, found[name].variables, strict=True):
            np.testing.assert_array_equal(own, other, err_msg=own.path)
