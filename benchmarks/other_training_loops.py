"""What `compare.py` compares with: other loops that train the same kind of model.

    python benchmarks/other_training_loops.py NAME --data_path --epochs --output

They print a JSON line after each epoch: images seen, seconds of training and of evaluation so
far, test ELBO.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import shared  # noqa: F401  (puts the project on the path)


def load(data_path: str) -> tuple[np.ndarray, np.ndarray]:
    """The images as the tutorial prepares them: float32, thresholded, [N, 28, 28, 1]."""
    with np.load(data_path, allow_pickle=False) as arrays:
        parts = [arrays[name].reshape(-1, 28, 28, 1) / 255.0 for name in ("x_train", "x_test")]
    return tuple(np.where(part > 0.5, 1.0, 0.0).astype("float32") for part in parts)


class Log:
    """Adds up the seconds of training and evaluation and prints an epoch's line."""

    def __init__(self):
        self.train_seconds = self.test_seconds = 0.0

    def epoch(self, images: int, train_seconds: float, test_seconds: float, elbo: float) -> None:
        self.train_seconds += train_seconds
        self.test_seconds += test_seconds
        line = {
            "images": images,
            "train_seconds": self.train_seconds,
            "test_seconds": self.test_seconds,
            "test_elbo": elbo,
        }
        print(json.dumps(line), flush=True)


def tutorial_networks():
    """The encoder and the decoder of the tutorial, as it builds them."""
    import tensorflow as tf

    layers = tf.keras.layers
    encoder = tf.keras.Sequential(
        [
            layers.InputLayer(shape=(28, 28, 1)),
            layers.Conv2D(32, 3, strides=(2, 2), activation="relu"),
            layers.Conv2D(64, 3, strides=(2, 2), activation="relu"),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )
    decoder = tf.keras.Sequential(
        [
            layers.InputLayer(shape=(2,)),
            layers.Dense(7 * 7 * 32, activation="relu"),
            layers.Reshape((7, 7, 32)),
            layers.Conv2DTranspose(64, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(1, 3, strides=1, padding="same"),
        ]
    )
    return encoder, decoder


def tutorial_picture(probabilities, path: Path) -> None:
    """Draws 16 images as the tutorial does."""
    from matplotlib import pyplot as plt

    plt.figure(figsize=(4, 4))
    for i in range(16):
        plt.subplot(4, 4, i + 1)
        plt.imshow(probabilities[i, :, :, 0], cmap="gray")
        plt.axis("off")
    plt.savefig(path)
    plt.close()


def tutorial_animation(output: Path) -> None:
    """Joins the pictures as the tutorial does."""
    import imageio

    with imageio.get_writer(output / "cvae.gif", mode="I") as writer:
        for picture in sorted(output.glob("image*.png")):
            writer.append_data(imageio.v2.imread(picture))


def tutorial_loop(data_path: str, epochs: int, output: Path) -> None:
    """The loop of the tutorial as people run it, pictures and GIF included."""
    import tensorflow as tf

    train_images, test_images = load(data_path)
    train_set = tf.data.Dataset.from_tensor_slices(train_images).shuffle(60000).batch(32)
    test_set = tf.data.Dataset.from_tensor_slices(test_images).shuffle(10000).batch(32)
    encoder, decoder = tutorial_networks()
    variables = encoder.trainable_variables + decoder.trainable_variables
    optimizer = tf.keras.optimizers.Adam(1e-4)

    def log_normal(sample, mean, logvar):
        log2pi = tf.math.log(2.0 * np.pi)
        density = -0.5 * ((sample - mean) ** 2.0 * tf.exp(-logvar) + logvar + log2pi)
        return tf.reduce_sum(density, axis=1)

    def compute_loss(x):
        mean, logvar = tf.split(encoder(x), num_or_size_splits=2, axis=1)
        z = tf.random.normal(shape=mean.shape) * tf.exp(logvar * 0.5) + mean
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(logits=decoder(z), labels=x)
        log_likelihood = -tf.reduce_sum(cross_entropy, axis=[1, 2, 3])
        kl = log_normal(z, mean, logvar) - log_normal(z, 0.0, 0.0)
        return -tf.reduce_mean(log_likelihood - kl)

    @tf.function
    def train_step(x):
        with tf.GradientTape() as tape:
            loss = compute_loss(x)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    latents = tf.random.normal([16, 2])
    log = Log()
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        for batch in train_set:
            train_step(batch)
        trained = time.perf_counter()
        mean_loss = tf.keras.metrics.Mean()
        for batch in test_set:
            mean_loss(compute_loss(batch))
        test_elbo = -float(mean_loss.result())
        end = time.perf_counter()
        log.epoch(epoch * len(train_images), trained - start, end - trained, test_elbo)
        path = output / f"image_at_epoch_{epoch:04d}.png"
        tutorial_picture(tf.sigmoid(decoder(latents)), path)
    tutorial_animation(output)


def keras_fit(data_path: str, epochs: int, output: Path) -> None:
    """`compile` and `fit` of this project's CVAE with the tutorial's network."""
    import keras

    from cvae_tf.models.networks import build_networks
    from cvae_tf.models.vae.model import CVAE

    train_images, test_images = load(data_path)
    model = CVAE(build_networks("tutorial", (28, 28, 1), 2, seed=0))
    model.compile(optimizer=keras.optimizers.Adam(1e-4))
    log = Log()
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        model.fit(train_images, batch_size=32, epochs=1, verbose=0)
        trained = time.perf_counter()
        result = model.evaluate(test_images, batch_size=500, verbose=0, return_dict=True)
        end = time.perf_counter()
        seen = epoch * len(train_images)
        log.epoch(seen, trained - start, end - trained, float(result["elbo"]))


def pytorch(data_path: str, epochs: int, output: Path, channels_last: bool = False) -> None:
    """The tutorial's network and recipe in PyTorch, in its usual loop."""
    import torch
    from torch import nn

    layout = torch.channels_last if channels_last else torch.contiguous_format
    train_images, test_images = (
        torch.from_numpy(part).permute(0, 3, 1, 2).contiguous(memory_format=layout)
        for part in load(data_path)
    )
    relu = nn.ReLU
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 3, 2), relu(), nn.Conv2d(32, 64, 3, 2), relu(), nn.Flatten(),
        nn.Linear(6 * 6 * 64, 4),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(2, 7 * 7 * 32), relu(), nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 64, 3, 2, 1, 1), relu(),
        nn.ConvTranspose2d(64, 32, 3, 2, 1, 1), relu(),
        nn.ConvTranspose2d(32, 1, 3, 1, 1),
    )  # fmt: skip
    both = nn.ModuleList([encoder, decoder]).to(memory_format=layout)
    optimizer = torch.optim.Adam(both.parameters(), lr=1e-4, eps=1e-7)

    def elbo(x):
        mean, logvar = encoder(x).chunk(2, dim=1)
        noise = torch.randn_like(mean)
        z = mean + torch.exp(0.5 * logvar) * noise
        log_likelihood = -nn.functional.binary_cross_entropy_with_logits(
            decoder(z), x, reduction="none"
        ).sum(dim=(1, 2, 3))
        kl = 0.5 * (z**2 - noise**2 - logvar).sum(dim=1)
        return log_likelihood - kl

    log = Log()
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        for indices in torch.randperm(len(train_images)).split(32):
            loss = -elbo(train_images[indices]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trained = time.perf_counter()
        with torch.no_grad():
            test_elbo = torch.cat([elbo(batch) for batch in test_images.split(500)]).mean().item()
        end = time.perf_counter()
        log.epoch(epoch * len(train_images), trained - start, end - trained, test_elbo)


def default_preset(data_path: str, epochs: int, output: Path) -> None:
    """The default preset, its test ELBO looked at every hundred steps; only training is timed."""
    from cvae_tf.config import Config
    from cvae_tf.core import tensorflow_setup
    from cvae_tf.data.loading import load_dataset
    from cvae_tf.training import building
    from cvae_tf.training.trainer import Trainer

    tensorflow_setup.set_threads(0)
    config = Config.create(data_path=data_path, epochs=epochs)
    dataset = load_dataset(data_path=data_path)
    model = building.build_model(config, dataset.image_shape, len(dataset.train.images))
    trainer = Trainer(model, dataset, config.batch_size)
    trainer.evaluate()  # compiled before the clock starts, as the others' is within theirs
    log, clock = Log(), time.perf_counter()

    def on_progress(epoch, step, train_elbo):
        nonlocal clock
        trained = time.perf_counter()
        test_elbo = trainer.evaluate()["elbo"]
        images = ((epoch - 1) * trainer.steps_per_epoch + step) * trainer.batch_size
        now = time.perf_counter()
        log.epoch(images, trained - clock, now - trained, test_elbo)
        clock = time.perf_counter()

    for _ in trainer.run_epochs(epochs, on_progress):
        pass


LOOPS = {
    "tutorial_loop": tutorial_loop,
    "keras_fit": keras_fit,
    "pytorch": pytorch,
    "pytorch_channels_last": lambda *arguments: pytorch(*arguments, channels_last=True),
    "default_preset": default_preset,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=LOOPS)
    parser.add_argument("--data_path", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    LOOPS[given.name](given.data_path, given.epochs, given.output)
