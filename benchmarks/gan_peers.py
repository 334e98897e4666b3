"""The networks of `--preset=dcgan` for 32 x 32 colours, trained by ours, by Keras, by PyTorch.

Each function trains on uint8 images and calls `at_epoch` before the first epoch and after each.
"""

from collections.abc import Callable

import numpy as np

LATENTS = 100


def ours(
    images: np.ndarray,
    batch: int,
    epochs: int,
    at_epoch: Callable[[], None],
    precision: str = "float32",
) -> None:
    """By this project's own loop."""
    from cvae_tf.config import Config
    from cvae_tf.core import tensorflow_setup
    from cvae_tf.data.datasets import Dataset, Split
    from cvae_tf.models.gan.family import GanFamily
    from cvae_tf.training import building
    from cvae_tf.training.trainer import Trainer

    tensorflow_setup.set_threads(0)
    GanFamily.set_measure = lambda *_: lambda: {"frechet_distance": 0, "spread": 0}
    config = Config.create(preset="dcgan", batch_size=batch, epochs=epochs, precision=precision)
    model = building.build_model(config, images.shape[1:], len(images))
    trainer = Trainer(model, Dataset("invented", "", *[Split(images, None)] * 2), batch)
    at_epoch()
    for _ in trainer.run_epochs(epochs):
        at_epoch()


def ours_bfloat16(
    images: np.ndarray, batch: int, epochs: int, at_epoch: Callable[[], None]
) -> None:
    """The same in halves, which some processors multiply faster."""
    ours(images, batch, epochs, at_epoch, "mixed_bfloat16")


def keras(images: np.ndarray, batch: int, epochs: int, at_epoch: Callable[[], None]) -> None:
    """As the example of Keras: `train_step` of a model, first the discriminator, then the other."""
    import keras as k
    import tensorflow as tf

    layers = k.layers
    generator = k.Sequential([k.Input((LATENTS,)), layers.Dense(8 * 8 * 256, use_bias=False),
        layers.Reshape((8, 8, 256)), layers.BatchNormalization(), layers.LeakyReLU(0.2),
        layers.Conv2DTranspose(128, 5, padding="same", use_bias=False),
        layers.BatchNormalization(), layers.LeakyReLU(0.2),
        layers.Conv2DTranspose(64, 5, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(), layers.LeakyReLU(0.2),
        layers.Conv2DTranspose(3, 5, strides=2, padding="same", activation="tanh")])  # fmt: skip
    discriminator = k.Sequential([k.Input((32, 32, 3)),
        layers.Conv2D(64, 5, strides=2, padding="same"), layers.LeakyReLU(0.2), layers.Dropout(0.3),
        layers.Conv2D(128, 5, strides=2, padding="same"), layers.LeakyReLU(0.2),
        layers.Dropout(0.3), layers.Flatten(), layers.Dense(1)])  # fmt: skip
    loss = k.losses.BinaryCrossentropy(from_logits=True)

    class Gan(k.Model):
        def train_step(self, real):
            num = tf.shape(real)[0]
            drawn = generator(tf.random.normal([num, LATENTS]), training=True)
            both = tf.concat([drawn, real], axis=0)
            labels = tf.concat([tf.zeros([num, 1]), tf.ones([num, 1])], axis=0)
            with tf.GradientTape() as tape:
                of_discriminator = loss(labels, discriminator(both, training=True))
            variables = discriminator.trainable_variables
            own.apply_gradients(
                zip(tape.gradient(of_discriminator, variables), variables, strict=True)
            )
            latents = tf.random.normal([num, LATENTS])
            with tf.GradientTape() as tape:
                judged = discriminator(generator(latents, training=True), training=True)
                of_generator = loss(tf.ones([num, 1]), judged)
            variables = generator.trainable_variables
            other.apply_gradients(
                zip(tape.gradient(of_generator, variables), variables, strict=True)
            )
            return {"d_loss": of_discriminator, "g_loss": of_generator}

    own, other = (k.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2))
    own.build(discriminator.trainable_variables)
    other.build(generator.trainable_variables)
    model = Gan()
    model.compile()
    scaled = images.astype(np.float32) / 127.5 - 1
    data = tf.data.Dataset.from_tensor_slices(scaled).shuffle(len(scaled))
    data = data.batch(batch, drop_remainder=True).prefetch(2)
    at_epoch()
    callback = k.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: at_epoch())
    model.fit(data, epochs=epochs, verbose=0, callbacks=[callback])


def torch(images: np.ndarray, batch: int, epochs: int, at_epoch: Callable[[], None]) -> None:
    """As the example of PyTorch: the discriminator on real, then on drawn; then the generator."""
    import torch as t
    from torch import nn

    generator = nn.Sequential(
        nn.Linear(LATENTS, 8 * 8 * 256, bias=False), nn.Unflatten(1, (256, 8, 8)),
        nn.BatchNorm2d(256), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(256, 128, 5, padding=2, bias=False), nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(128, 64, 5, stride=2, padding=2, output_padding=1, bias=False),
        nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(64, 3, 5, stride=2, padding=2, output_padding=1), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2d(3, 64, 5, stride=2, padding=2), nn.LeakyReLU(0.2), nn.Dropout(0.3),
        nn.Conv2d(64, 128, 5, stride=2, padding=2), nn.LeakyReLU(0.2), nn.Dropout(0.3),
        nn.Flatten(), nn.Linear(128 * 8 * 8, 1),
    )  # fmt: skip
    loss = nn.BCEWithLogitsLoss()
    own, other = (
        t.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for network in (discriminator, generator)
    )
    scaled = t.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    at_epoch()
    for _ in range(epochs):
        for rows in t.randperm(len(scaled)).split(batch):
            real = scaled[rows]
            ones, zeros = t.ones(len(real), 1), t.zeros(len(real), 1)
            own.zero_grad()
            loss(discriminator(real), ones).backward()
            drawn = generator(t.randn(len(real), LATENTS))
            loss(discriminator(drawn.detach()), zeros).backward()
            own.step()
            other.zero_grad()
            loss(discriminator(drawn), ones).backward()
            other.step()
        at_epoch()
