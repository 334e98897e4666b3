"""The networks of the TensorFlow tutorial on convolutional VAEs, to the letter."""

import keras

from cvae_tf.core.errors import UserError
from cvae_tf.models.networks.building import Networks, Plan, describe

layers = keras.layers


def build(plan: Plan) -> Networks:
    """Builds the pair; it takes 28 x 28 x 1 only."""
    if plan.image_shape != (28, 28, 1):
        raise UserError(
            "The network 'tutorial' takes 28 x 28 pixels with 1 channel; "
            f"{describe(plan.image_shape)}."
        )
    make = plan.encoder
    down = {"strides": 2, "padding": "valid", "activation": "relu"}
    encoder = [
        keras.Input(plan.image_shape),
        make.conv(32, "conv_1", **down),
        make.conv(64, "conv_2", **down),
        make(layers.Flatten),
        make.dense(2 * plan.latent_dim, "mean_and_logvar"),
    ]
    make, up = plan.decoder, layers.Conv2DTranspose
    decoder = [
        keras.Input((plan.latent_dim,)),
        make.dense(7 * 7 * 32, "dense", activation="relu"),
        make(layers.Reshape, (7, 7, 32)),
        make.conv(64, "conv_1", up, strides=2, activation="relu"),
        make.conv(32, "conv_2", up, strides=2, activation="relu"),
        make.conv(plan.outputs, "logits", up),
    ]
    return Networks(
        keras.Sequential(encoder, name="encoder"), keras.Sequential(decoder, name="decoder")
    )
