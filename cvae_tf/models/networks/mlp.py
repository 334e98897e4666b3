"""Dense layers from the pixels to the latents and back: by default 784-400-Z-400-784.

With 20 latents they are those of Kingma & Welling, "Auto-Encoding Variational Bayes" (2014), as the
classic examples have them: one hidden layer of 400 units each way.
"""

import math
from typing import Any

import keras

from cvae_tf.models.networks.building import (
    LayerMaker,
    Networks,
    Plan,
    check_size,
    has_settings,
    through,
    with_labels,
)

layers = keras.layers

_HIDDEN = (400,)


@has_settings("hidden", "activation", "dropout")
def build(plan: Plan) -> Networks:
    """Builds the pair."""
    check_size(plan.image_shape)
    hidden = plan.options.hidden or _HIDDEN
    return Networks(_encoder(plan, hidden), _decoder(plan, hidden[::-1]))


def _encoder(plan: Plan, hidden: tuple[int, ...]) -> keras.Model:
    make, (inputs, images, labels) = plan.encoder, plan.image_input()
    features = with_labels(make, make(layers.Flatten)(images), labels)
    code = dense(make, 2 * plan.latent_dim, "mean_and_logvar")
    stack = [*hidden_layers(plan, make, hidden), code]
    return keras.Model(inputs, through(stack, features), name="encoder")


def _decoder(plan: Plan, hidden: tuple[int, ...]) -> keras.Model:
    make, (inputs, latents, labels) = plan.decoder, plan.latent_input()
    features = with_labels(make, latents, labels)
    stack = [*hidden_layers(plan, make, hidden), *pixel_layers(plan, make)]
    return keras.Model(inputs, through(stack, features), name="decoder")


def dense(make: LayerMaker, units: int, name: str, **options: Any) -> keras.Layer:
    """A dense layer with first weights as PyTorch has them: up to 1 / sqrt(inputs), evenly."""
    initializer = keras.initializers.VarianceScaling(
        1 / 3, "fan_in", "uniform", seed=make.seed(name)
    )
    return make.dense(units, name, kernel_initializer=initializer, **options)


def hidden_layers(plan: Plan, make: LayerMaker, hidden: tuple[int, ...]) -> list[keras.Layer]:
    """Dense layers with so many units, each with its activation and dropout."""
    stack = []
    for number, units in enumerate(hidden, start=1):
        activation = plan.activation("relu")
        stack.append(dense(make, units, f"dense_{number}", activation=activation))
        stack += make.dropout(plan.options.dropout, f"dropout_{number}")
    return stack


def pixel_layers(plan: Plan, make: LayerMaker) -> list[keras.Layer]:
    """A dense layer that makes the decoder's result, [B, H, W, P], of features."""
    shape = (*plan.image_shape[:2], plan.outputs)
    return [dense(make, math.prod(shape), "logits"), make(layers.Reshape, shape)]
