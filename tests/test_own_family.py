"""A family of models of its own, registered from outside: nothing in the package knows it."""

import keras
import pytest
import tensorflow as tf

from cvae_tf import api
from cvae_tf.core.errors import UserError
from cvae_tf.drawing.mosaics import Panel
from cvae_tf.exporting.load import load
from cvae_tf.models import FAMILIES
from cvae_tf.models.arrays import also_of_arrays
from cvae_tf.models.base import GenerativeModel, Measure
from cvae_tf.models.family import Family
from cvae_tf.models.networks import build_networks
from cvae_tf.models.saved_model import batch_signature, decoding_signatures

ERROR = Measure("squared_error", "squared error", "per image", higher_is_better=False)


class Autoencoder(GenerativeModel):
    """A plain autoencoder without noise: latents in, images out, squared errors between."""

    def __init__(self, networks, seed):
        super().__init__(seed)
        self.encoder, self.decoder = networks
        self.image_shape = self.encoder.inputs[0].shape[1:]
        self.latent_dim = self.decoder.inputs[0].shape[-1]
        self.means = {"error": keras.metrics.Mean("error")}

    @property
    def networks(self):
        return {"encoder": self.encoder, "decoder": self.decoder}

    @also_of_arrays
    def encode(self, images, labels=None):
        return self.encoder(images)[:, : self.latent_dim]

    @also_of_arrays
    def decode(self, latents, labels=None):
        return tf.sigmoid(self.decoder(latents))

    def call(self, images):
        return self.decode(self.encode(images))

    def errors(self, images):
        return tf.reduce_sum(tf.square(self(images) - images), axis=(1, 2, 3))

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            errors = self.errors(batch)
        gradients = tape.gradient(errors, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.means["error"].update_state(errors)
        return {"error": self.means["error"].result()}

    def measure(self, grey, labels, first):
        return {"squared_error": self.errors(grey)}


class AutoencoderFamily(Family):
    """How it is trained, shown and exported."""

    title, model_class = "autoencoder", Autoencoder

    def build(self, config, image_shape, steps_per_epoch, num_classes):
        networks = build_networks(config.network, image_shape, config.latent_dim, config.seed)
        return Autoencoder(networks, config.seed)

    def train_measures(self, model):
        return {"error": ERROR}

    def test_measures(self, model):
        return (ERROR,)

    def epoch_panels(self, model, grey, labels, seed):
        return [Panel("Test images over their copies", [grey.numpy(), model(grey).numpy()])]

    def signatures(self, model):
        def encode(images, labels):
            return {"mean": model.encode(images)}

        def reconstruct(images, labels):
            return {"images": model(images)}

        functions = encode, reconstruct
        own = {each.__name__: batch_signature(model, "images", each) for each in functions}
        return decoding_signatures(model) | own


def test_it_is_trained_exported_and_used_but_not_for_what_it_cannot_do(
    small_npz, tmp_path, monkeypatch
):
    monkeypatch.setitem(FAMILIES, "autoencoder", AutoencoderFamily())
    trained = api.train(
        run_dir=tmp_path / "run", data_path=small_npz, verbose=0,
        model="autoencoder", network="mlp", epochs=2, batch_size=16, seed=2,
    )  # fmt: skip
    errors = [row["test_squared_error"] for row in trained.history]
    assert len(errors) == 2 and errors[1] < errors[0]
    assert list(trained.history[0])[:4] == [
        "epoch", "step", "train_squared_error", "test_squared_error",
    ]  # fmt: skip
    names = {path.name for path in trained.directory.iterdir()}
    assert names >= {"progress.gif", "manifold.png", "latents.png", "curves.png", "report.html"}
    model = load(trained.directory)
    assert set(model.abilities) >= {"sample", "decode", "encode", "reconstruct"}
    card = (trained.saved_model / "README.md").read_text()
    assert card.startswith("# An autoencoder of 28 x 28 images") and "squared error" in card
    made = api.generate(model, "reconstruct", tmp_path / "made", verbose=0)
    assert made.files[0].stat().st_size > 1000
    with pytest.raises(UserError, match="--mode=anomalies needs a model that can .*score"):
        api.generate(model, "anomalies", tmp_path / "none", verbose=0)
    with pytest.raises(UserError, match="autoencoder. has no likelihood to evaluate"):
        api.evaluate(trained.directory, verbose=0)
    with pytest.raises(UserError, match="--format=keras: this model .autoencoder. gives no"):
        api.export(trained.directory, format="keras", verbose=0)
