"""The networks of the TensorFlow tutorial on convolutional VAEs, to the letter."""

import keras

from cvae_tf.core.errors import UserError
from cvae_tf.models.networks.layer_maker import Networks, Plan, describe, through, with_labels

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
    inputs, images, labels = plan.image_input()
    convolutions = [
        make.conv(32, "conv_1", **down),
        make.conv(64, "conv_2", **down),
        make(layers.Flatten),
    ]
    features = with_labels(make, through(convolutions, images), labels)
    code = make.dense(2 * plan.latent_dim, "mean_and_logvar")(features)
    make, up = plan.decoder, layers.Conv2DTranspose
    latent_inputs, latents, labels = plan.latent_input()
    features = with_labels(make, latents, labels)
    decoder = [
        make.dense(7 * 7 * 32, "dense", activation="relu"),
        make(layers.Reshape, (7, 7, 32)),
        make.conv(64, "conv_1", up, strides=2, activation="relu"),
        make.conv(32, "conv_2", up, strides=2, activation="relu"),
        make.conv(plan.outputs, "logits", up),
    ]
    return Networks(
        keras.Model(inputs, code, name="encoder"),
        keras.Model(latent_inputs, through(decoder, features), name="decoder"),
    )
