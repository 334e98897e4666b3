import itertools

import keras
import numpy as np
import pytest
from conftest import VAE_NETWORKS

from cvae_tf import registry
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.models.layers import ImageLogvar
from cvae_tf.models.networks.building import LayerMaker, Networks, build_networks
from cvae_tf.models.vae.model import CVAE
from cvae_tf.registry import NETWORKS


@pytest.fixture(scope="module")
def tutorial():
    return build_networks("tutorial", (28, 28, 1), latent_dim=2, seed=0)


def _describe(layer):
    kind = type(layer).__name__
    if kind == "Dense":
        return kind, layer.units, layer.activation.__name__
    if kind.startswith("Conv"):
        return (
            kind, layer.filters, layer.kernel_size, layer.strides, layer.padding,
            layer.activation.__name__,
        )  # fmt: skip
    return (kind,)


def test_encoder_is_that_of_the_tutorial(tutorial):
    assert [_describe(layer) for layer in tutorial.encoder.layers[1:]] == [
        ("Conv2D", 32, (3, 3), (2, 2), "valid", "relu"),
        ("Conv2D", 64, (3, 3), (2, 2), "valid", "relu"),
        ("Flatten",),
        ("Dense", 4, "linear"),
    ]


def test_decoder_is_that_of_the_tutorial(tutorial):
    assert [_describe(layer) for layer in tutorial.decoder.layers[1:]] == [
        ("Dense", 1568, "relu"),
        ("Reshape",),
        ("Conv2DTranspose", 64, (3, 3), (2, 2), "same", "relu"),
        ("Conv2DTranspose", 32, (3, 3), (2, 2), "same", "relu"),
        ("Conv2DTranspose", 1, (3, 3), (1, 1), "same", "linear"),
    ]
    assert tutorial.decoder.layers[2].target_shape == (7, 7, 32)


def test_parameter_counts_are_those_computed_by_hand(tutorial):
    encoder = [9 * 1 * 32 + 32, 9 * 32 * 64 + 64, 0, 6 * 6 * 64 * 4 + 4]
    decoder = [2 * 1568 + 1568, 0, 9 * 32 * 64 + 64, 9 * 64 * 32 + 32, 9 * 32 * 1 + 1]
    assert [layer.count_params() for layer in tutorial.encoder.layers[1:]] == encoder
    assert [layer.count_params() for layer in tutorial.decoder.layers[1:]] == decoder


@pytest.mark.parametrize("name", VAE_NETWORKS)
@pytest.mark.parametrize("latent_dim", [1, 5])
def test_shapes_follow_from_images_and_latents(name, latent_dim):
    encoder, decoder = build_networks(name, (28, 28, 1), latent_dim, seed=0)
    assert encoder(np.zeros((3, 28, 28, 1), np.float32)).shape == (3, 2 * latent_dim)
    assert decoder(np.zeros((3, latent_dim), np.float32)).shape == (3, 28, 28, 1)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 3), (32, 28, 1)])
def test_tutorial_refuses_other_images(shape):
    height, width, channels = shape
    seen = f"28 x 28 pixels with 1 channel; these images are {height} x {width} with {channels}"
    with pytest.raises(UserError, match=seen):
        build_networks("tutorial", shape, latent_dim=2, seed=0)


def test_unknown_network_is_refused_with_the_choices():
    with pytest.raises(
        UserError, match="--network=resnet: unknown; choose from tutorial, mlp, hybrid, patches"
    ):
        build_networks("resnet", (28, 28, 1), latent_dim=2, seed=0)


def _kernels(name, seed):
    pair = build_networks(name, (28, 28, 1), 2, seed)
    variables = [variable for model in pair for variable in model.trainable_variables]
    return [variable.numpy() for variable in variables if variable.name == "kernel"]


@pytest.mark.parametrize("name", VAE_NETWORKS)
@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_the_same_seed_gives_the_same_weights(name, seed):
    for first, again in zip(_kernels(name, seed), _kernels(name, seed), strict=True):
        np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", VAE_NETWORKS)
@pytest.mark.parametrize("seeds", [(0, 1), (2**31 - 2, 2**31 - 1)])
def test_other_seeds_give_other_weights(name, seeds):
    for first, other in zip(*(_kernels(name, seed) for seed in seeds), strict=True):
        assert np.mean(first == other) < 0.01


@pytest.mark.parametrize("name", VAE_NETWORKS)
@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_layers_do_not_start_alike(name, seed):
    """Glorot weights of one seed are the same but for a factor, which correlations do not see."""
    beginnings = [kernel.ravel()[:128] for kernel in _kernels(name, seed)]
    correlations = np.corrcoef(beginnings) - np.eye(len(beginnings))
    assert np.abs(correlations).max() < 0.5


def test_a_layer_starts_alike_whatever_layers_are_built_before_it():
    make = LayerMaker("encoder", seed=3, precision="float32")
    first = make.dense(4, "dense")
    for name in ("one", "two"):
        make.conv(8, name)
    again, other = make.dense(4, "dense"), LayerMaker("decoder", 3, "float32").dense(4, "dense")
    kernels = [layer.kernel_initializer((5, 4)) for layer in (first, again, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.all(kernels[0] != kernels[2])


def test_networks_with_branches_get_a_head_too(monkeypatch):
    def build(plan):
        images = keras.Input(plan.image_shape)
        sides = [layer(images) for layer in (plan.encoder(keras.layers.Flatten),) * 2]
        code = plan.encoder.dense(2 * plan.latent_dim, "code")(keras.layers.concatenate(sides))
        latents = keras.Input((plan.latent_dim,))
        ways = [plan.decoder.dense(64, name)(latents) for name in ("left", "right")]
        joined = plan.decoder.dense(64 * plan.outputs, "join")(keras.layers.add(ways))
        pixels = keras.layers.Reshape((8, 8, plan.outputs))(joined)
        return Networks(keras.Model(images, code), keras.Model(latents, pixels))

    monkeypatch.setitem(NETWORKS._entries, "branches", registry.Network(build))
    config = Config.create(network="branches", binarize="none", likelihood="gaussian")
    model = CVAE.from_settings(config, (8, 8, 1), steps_per_epoch=1)
    assert model.decode(np.zeros((3, 2), np.float32)).shape == (3, 8, 8, 2)
    images = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32)
    copy = model.for_inference()
    np.testing.assert_allclose(copy(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", VAE_NETWORKS)
def test_variables_have_names_that_hold_in_any_process(name):
    """Checkpoints know variables by these names; Keras numbers the layers that have none."""
    first, again = (build_networks(name, (28, 28, 1), 2, seed=0) for _ in range(2))
    for model, same in zip(first, again, strict=True):
        paths = [variable.path for variable in model.variables]
        assert paths == [variable.path for variable in same.variables]
        assert len(set(paths)) == len(paths)


def test_building_does_not_touch_the_global_generator():
    keras.utils.set_random_seed(1)
    undisturbed = np.random.uniform()
    keras.utils.set_random_seed(1)
    build_networks("tutorial", (28, 28, 1), 2, seed=0)
    assert np.random.uniform() == undisturbed


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_precision_is_that_of_the_layers_and_weights_stay_float32(precision):
    before = keras.config.dtype_policy().name
    encoder, _ = build_networks("patches", (28, 28, 1), 2, seed=0, precision=precision)
    assert {layer.dtype_policy.name for layer in encoder.layers[1:]} == {precision}
    assert {variable.dtype for variable in encoder.variables} == {"float32"}
    assert keras.config.dtype_policy().name == before


# The network on patches


@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 1), (33, 20, 3), (9, 256, 1)])
def test_patches_take_images_of_many_sizes(shape):
    encoder, decoder = build_networks("patches", shape, latent_dim=3, seed=0)
    assert encoder(np.zeros((2, *shape), np.float32)).shape == (2, 6)
    assert decoder(np.zeros((2, 3), np.float32)).shape == (2, *shape)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((7, 28, 1), "8 to 256 pixels a side; these images are 7 x 28 with 1"),
        ((28, 257, 1), "8 to 256 pixels a side"),
        ((28, 28, 2), "1 or 3 channels; these images are 28 x 28 with 2"),
    ],
)
def test_patches_refuse_other_images(shape, message):
    with pytest.raises(UserError, match=message):
        build_networks("patches", shape, latent_dim=2, seed=0)


def _layers_until_conv(model):
    return list(itertools.takewhile(lambda layer: "conv" not in layer.name, model.layers[1:]))


def _apply(layers, values):
    for layer in layers:
        values = layer(values)
    return np.asarray(values)


def _image_of(grid, height, width, side, channels):
    """Lays the patches [rows, columns, side * side * channels] out, pixel by pixel."""
    image = np.zeros((height, width, channels))
    for y, x, c in np.ndindex(image.shape):
        image[y, x, c] = grid[y // side, x // side, (y % side * side + x % side) * channels + c]
    return image


@pytest.mark.parametrize(("shape", "side"), [((28, 28, 1), 4), ((30, 18, 3), 4), ((20, 9, 1), 3)])
def test_pixels_become_channels_of_their_patch_and_back(shape, side):
    encoder, decoder = build_networks("patches", shape, latent_dim=2, seed=0)
    image = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    grid = _apply(_layers_until_conv(encoder), image[None])[0]
    assert grid.shape[:2] == (-(-shape[0] // side), -(-shape[1] // side))
    np.testing.assert_array_equal(_image_of(grid, *shape[:2], side, shape[2]), image)
    last = [layer.name for layer in decoder.layers].index("logits")
    np.testing.assert_array_equal(_apply(decoder.layers[last + 1 :], grid[None])[0], image)


@pytest.mark.parametrize(("name", "shape"), [("tutorial", (28, 28, 1)), ("patches", (9, 12, 3))])
def test_gaussian_decoders_give_logits_and_one_logvar_for_each_latent(name, shape):
    outputs = shape[-1] + 1
    decoder = build_networks(name, shape, 2, 0, outputs=outputs, head=ImageLogvar()).decoder
    latents = np.array([[0, 0], [1, 2], [-3, 1]], np.float32)
    logits, logvar = np.split(decoder(latents).numpy(), 2, axis=-1)
    assert logits.shape == logvar.shape == (3, *shape)
    assert all(np.ptp(image) == 0 for image in logvar)
    assert len({float(image.flat[0]) for image in logvar}) == 3
    assert np.ptp(logits[1]) > 0
