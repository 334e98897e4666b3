"""Dense layers, alone or beside convolutions.

`mlp`: dense layers from the pixels to the latents and back, by default 784-400-Z-400-784. With 20
latents they are those of Kingma & Welling, "Auto-Encoding Variational Bayes" (2014), as the classic
examples have them: one hidden layer of 400 units each way.

`hybrid`: a dense and a convolutional path side by side. Three dense layers and three convolutions
read the image; both give features for one posterior. The decoder is the mirror of that: three dense
layers and three transposed convolutions each draw an image from the same latents, and the result is
the sum. In published code of this network the convolutions hand their mean and variance to the
decoder unsampled, so that nothing can be drawn from the prior.
"""

import math
from typing import Any

import keras

from cvae_tf.models.networks.layer_maker import (
    LayerMaker,
    Networks,
    Plan,
    check_size,
    has_settings,
    through,
    with_labels,
)

layers = keras.layers

_MLP_HIDDEN = (400,)
_HYBRID_HIDDEN = (512, 256, 128)  # units of the dense layers
_FILTERS = (16, 32, 64)  # of the hybrid's convolutions; each halves the sides
_SMALLER = 2 ** len(_FILTERS)


@has_settings("hidden", "activation", "dropout")
def build_mlp(plan: Plan) -> Networks:
    """Builds the pair of dense layers."""
    check_size(plan.image_shape)
    hidden = plan.options.hidden or _MLP_HIDDEN
    make, (inputs, images, labels) = plan.encoder, plan.image_input()
    features = with_labels(make, make(layers.Flatten)(images), labels)
    code = _dense(make, 2 * plan.latent_dim, "mean_and_logvar")
    read = through([*_hidden_layers(plan, make, hidden), code], features)
    make, (latent_inputs, latents, labels) = plan.decoder, plan.latent_input()
    drawn = _drawn_by_dense(plan, hidden[::-1], with_labels(make, latents, labels))
    return Networks(
        keras.Model(inputs, read, name="encoder"), keras.Model(latent_inputs, drawn, name="decoder")
    )


def _dense(make: LayerMaker, units: int, name: str, **options: Any) -> keras.Layer:
    """A dense layer with initial weights as in PyTorch: uniform up to 1 / sqrt(inputs)."""
    initializer = keras.initializers.VarianceScaling(
        1 / 3, "fan_in", "uniform", seed=make.seed(name)
    )
    return make.dense(units, name, kernel_initializer=initializer, **options)


def _hidden_layers(plan: Plan, make: LayerMaker, hidden: tuple[int, ...]) -> list[keras.Layer]:
    """Dense layers with these numbers of units, each with its activation and dropout."""
    stack = []
    for number, units in enumerate(hidden, start=1):
        activation = plan.activation("relu")
        stack.append(_dense(make, units, f"dense_{number}", activation=activation))
        stack += make.dropout(plan.options.dropout, f"dropout_{number}")
    return stack


def _drawn_by_dense(
    plan: Plan, hidden: tuple[int, ...], features: keras.KerasTensor
) -> keras.KerasTensor:
    """The decoder's result [B, H, W, P], by dense layers from features."""
    make, shape = plan.decoder, (*plan.image_shape[:2], plan.outputs)
    pixels = [_dense(make, math.prod(shape), "logits"), make(layers.Reshape, shape)]
    return through([*_hidden_layers(plan, make, hidden), *pixels], features)


@has_settings("hidden", "activation", "dropout")
def build_hybrid(plan: Plan) -> Networks:
    """Builds the pair of two paths."""
    check_size(plan.image_shape)
    hidden = plan.options.hidden or _HYBRID_HIDDEN
    return Networks(_hybrid_encoder(plan, hidden), _hybrid_decoder(plan, hidden[::-1]))


def _hybrid_encoder(plan: Plan, hidden: tuple[int, ...]) -> keras.Model:
    make, (inputs, images, labels) = plan.encoder, plan.image_input()
    pixels = with_labels(make, make(layers.Flatten)(images), labels)
    looked_at = through(_hidden_layers(plan, make, hidden), pixels)
    chosen = {"strides": 2, "activation": plan.activation("relu")}
    stack = [make.conv(num, f"conv_{i}", **chosen) for i, num in enumerate(_FILTERS, start=1)]
    convolved = through([*stack, make(layers.Flatten)], images)
    joined = make(layers.Concatenate)([looked_at, convolved])
    code = _dense(make, 2 * plan.latent_dim, "mean_and_logvar")(joined)
    return keras.Model(inputs, code, name="encoder")


def _hybrid_decoder(plan: Plan, hidden: tuple[int, ...]) -> keras.Model:
    make, (inputs, latents, labels) = plan.decoder, plan.latent_input()
    features = with_labels(make, latents, labels)
    drawn = _drawn_by_dense(plan, hidden, features)
    convolved = through(_transposed_convolutions(plan, make), features)
    return keras.Model(inputs, make(layers.Add)([drawn, convolved]), name="decoder")


def _transposed_convolutions(plan: Plan, make: LayerMaker) -> list[keras.Layer]:
    """From features [B, F] to an image [B, H, W, P]; the margin is cut off."""
    height, width = plan.image_shape[:2]
    rows, columns = math.ceil(height / _SMALLER), math.ceil(width / _SMALLER)
    up, activation = layers.Conv2DTranspose, plan.activation("relu")
    first, *filters = reversed(_FILTERS)
    stack = [
        make.dense(rows * columns * first, "grid", activation=activation),
        make(layers.Reshape, (rows, columns, first)),
    ]
    for number, count in enumerate(filters, start=1):
        stack.append(make.conv(count, f"conv_{number}", up, strides=2, activation=activation))
    beyond = (0, rows * _SMALLER - height), (0, columns * _SMALLER - width)
    return [
        *stack,
        make.conv(plan.outputs, "image", up, strides=2),
        make(layers.Cropping2D, beyond),
    ]
