"""Networks by name: a file for each kind, and `layer_maker.py` with their building blocks.

A network of your own is a function `build(plan) -> Networks`, as `tutorial.py` has it; both tables
are open: `NETWORKS["mine"] = build` before `train` is called.
"""

import keras

from cvae_tf.core.settings import find
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.models.networks import dense, gan_pairs, patches, tutorial
from cvae_tf.models.networks.layer_maker import (
    GanNetworks,
    GanPlan,
    ImageShape,
    LayerMaker,
    Networks,
    Options,
    Plan,
)

NETWORKS = {  # encoder and decoder
    "tutorial": tutorial.build,
    "mlp": dense.build_mlp,
    "hybrid": dense.build_hybrid,
    "patches": patches.build_patches,
    "patches_smooth": patches.build_smooth,
    "patches_residual": patches.build_residual,
}
GAN_NETWORKS = {  # generator and discriminator
    "dcgan": gan_pairs.build_dcgan,
    "sub_pixel": gan_pairs.build_sub_pixel,
}


@usual_settings()
def build_networks(
    name: str,
    image_shape: ImageShape,
    latent_dim: int,
    seed: int,
    precision: str = "float32",
    outputs: int | None = None,
    head: keras.Layer | None = None,
    num_classes: int = 0,
    options: Options = Options(),  # noqa: B008 (it cannot change)
) -> Networks:
    """Builds an encoder and a decoder with fresh weights.

    Args:
        name: a name in `NETWORKS`.
        image_shape: height, width and channels of an image.
        latent_dim: Z, the number of latent dimensions.
        seed: decides the initial weights.
        precision: the Keras dtype policy of the layers, "float32" or "mixed_bfloat16".
        outputs: channels of the decoder; by default as many as an image has.
        head: a layer that turns the decoder's outputs into parameters of p(x|z).
        num_classes: Y, of a conditional model; 0 for one that takes no labels.
        options: further options of the network.

    Raises:
        UserError: if the name is unknown or the network cannot take such images.
    """
    build = find("network", NETWORKS, name)
    makers = (LayerMaker(network, seed, precision) for network in Networks._fields)
    channels = outputs or image_shape[-1]
    plan = Plan(tuple(image_shape), latent_dim, channels, *makers, num_classes, options)
    encoder, decoder = build(plan)
    if head is not None:
        inputs = decoder.inputs if len(decoder.inputs) > 1 else decoder.inputs[0]
        decoder = keras.Model(inputs, head(decoder.outputs[0]), name=decoder.name)
    return Networks(encoder, decoder)


@usual_settings()
def build_gan_networks(
    name: str,
    image_shape: ImageShape,
    latent_dim: int,
    seed: int,
    precision: str = "float32",
    num_classes: int = 0,
    spectral_norm: bool = False,
) -> GanNetworks:
    """Builds a generator and a discriminator with fresh weights.

    Arguments and errors are those of `build_networks`, with a name in `GAN_NETWORKS`. With
    `spectral_norm` the discriminator's layers have norm one (Miyato et al. 2018).
    """
    build = find("network", GAN_NETWORKS, name)
    makers = (LayerMaker(network, seed, precision) for network in GanNetworks._fields)
    return build(GanPlan(tuple(image_shape), latent_dim, *makers, num_classes, spectral_norm))
