"""The signatures of a GAN's SavedModel (sample, decode, score), and its networks alone."""

from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core.usual_keras import usual_settings
from cvae_tf.models.base import Signatures
from cvae_tf.models.batch_parts import inputs_of
from cvae_tf.models.signature_parts import (
    checked_labels,
    decoding_signatures,
    first_results,
    with_an_image,
    with_label_argument,
)


def signatures(model: Any) -> Signatures:
    """What the SavedModel of a `GAN` can do, by name; the first is the default."""
    images = tf.TensorSpec([None, *model.image_shape], tf.float32, "images")

    def score(images: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        of_class = checked_labels(model, labels, tf.shape(images)[0])
        return first_results({"logit": model.logits(with_an_image(images), of_class)}, images)

    return {**decoding_signatures(model), "score": with_label_argument(model, score, [images])}


@usual_settings()
def standalone_parts(model: Any) -> dict[str, keras.Model]:
    """The networks of a `GAN` as other runtimes take them, with named results."""
    latents = keras.Input((model.latent_dim,), name="latents")
    images = keras.Input(model.image_shape, name="images")
    labels = keras.Input((), dtype="int32", name="labels") if model.num_classes else None
    drawn = model.generator(inputs_of(latents, labels))
    logits = model.discriminator(inputs_of(images, labels))
    return {
        "generator": keras.Model(inputs_of(latents, labels), {"images": drawn}, name="generator"),
        "discriminator": keras.Model(
            inputs_of(images, labels), {"logit": logits}, name="discriminator"
        ),
    }
