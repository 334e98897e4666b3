"""A family of models of its own, registered from outside: nothing in the package knows it."""

import json
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import PROJECT, run_python

from cvae_tf import registry, workflows
from cvae_tf.core.errors import UserError
from cvae_tf.drawing.panels import Panel
from cvae_tf.exporting import loading
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.measures import Measure
from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.signature_parts import decoding_signatures, first_results, with_an_image

ERROR = Measure("squared_error", "squared error", "per image", higher_is_better=False)


class Autoencoder(GenerativeModel):
    """A plain autoencoder without noise: latents in, images out, squared errors between."""

    title = "autoencoder"

    def __init__(self, networks, seed):
        super().__init__(seed)
        self.encoder, self.decoder = networks
        self.image_shape = self.encoder.inputs[0].shape[1:]
        self.latent_dim = self.decoder.inputs[0].shape[-1]
        self.means = {"error": keras.metrics.Mean("error")}

    @classmethod
    def from_settings(cls, config, image_shape, steps_per_epoch, num_classes=0):
        networks = build_networks(config.network, image_shape, config.latent_dim, config.seed)
        return cls(networks, config.seed)

    @property
    def networks(self):
        return {"encoder": self.encoder, "decoder": self.decoder}

    def encode(self, images):
        return self.encoder(images)[:, : self.latent_dim]

    def decode_mean(self, latents, labels=None):
        return tf.sigmoid(self.decoder(latents))

    def call(self, images):
        return self.decode_mean(self.encode(images))

    def errors(self, images):
        return tf.reduce_sum(tf.square(self(images) - images), axis=(1, 2, 3))

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            errors = self.errors(batch)
        gradients = tape.gradient(errors, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.means["error"].update_state(errors)
        return {"error": self.means["error"].result()}

    train_measures = {"error": ERROR}
    test_measures = (ERROR,)

    def measure(self, grey, labels, first):
        return {"squared_error": self.errors(grey)}

    def encode_mean(self, grey, labels, first):
        return self.encode(grey)

    def epoch_panels(self, grey, labels, seed):
        return [Panel("Test images over their copies", [grey.numpy(), self(grey).numpy()])]

    def signatures(self):
        images = tf.TensorSpec([None, *self.image_shape], tf.float32, "images")

        def reconstruct(images):
            return first_results({"images": self(with_an_image(images))}, images)

        def encode(images):
            return first_results({"mean": self.encode(with_an_image(images))}, images)

        return {
            **decoding_signatures(self),
            "encode": (encode, [images]),
            "reconstruct": (reconstruct, [images]),
        }


registry.FAMILIES.add("autoencoder", registry.Family(Autoencoder, "autoencoder"))

SETTINGS = {"model": "autoencoder", "network": "patches", "epochs": 3, "batch_size": 16, "seed": 2}


def _settings(small_npz):
    return {**SETTINGS, "data_path": str(small_npz)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_npz):
    place = tmp_path_factory.mktemp("own_family")
    return workflows.train(run_dir=place / "run", verbose=0, **_settings(small_npz))


def test_it_trains_and_draws(trained):
    errors = [row["test_squared_error"] for row in trained.history]
    assert len(errors) == 3 and errors[-1] < errors[0]
    assert list(trained.history[0])[:4] == [
        "epoch", "step", "train_squared_error", "test_squared_error",
    ]  # fmt: skip
    names = {path.name for path in trained.directory.iterdir()}
    assert names >= {"progress.gif", "manifold.png", "latents.png", "curves.png", "metrics.csv"}


def test_it_is_exported_and_loaded_and_generates(trained, tmp_path, small_npz):
    model = loading.load(trained.directory)
    assert model.abilities and set(model.abilities) >= {"sample", "decode", "reconstruct"}
    card = (trained.saved_model / "README.md").read_text()
    assert card.startswith("# An autoencoder of 28 x 28 images") and "squared error" in card
    for mode in ("samples", "manifold", "reconstruct", "interpolate"):
        made = workflows.generate(model, mode, tmp_path / mode, verbose=0)
        assert made.files[0].stat().st_size > 1000
    with pytest.raises(UserError, match="encodes without noise"):
        workflows.generate(model, "neighbours", tmp_path / "none", verbose=0)
    with pytest.raises(UserError, match="--mode=anomalies needs a model that can score"):
        workflows.generate(model, "anomalies", tmp_path / "none", verbose=0)


def test_what_it_cannot_do_is_refused_in_a_line(trained):
    with pytest.raises(UserError, match="autoencoder. has no likelihood to evaluate"):
        workflows.evaluate(trained.directory, verbose=0)
    for name in ("keras", "litert"):
        with pytest.raises(UserError, match=f"--format={name}: this model .autoencoder. gives no"):
            workflows.export(trained.directory, format=name, verbose=0)
        assert not (trained.directory / "export" / name).exists()
    with pytest.raises(UserError, match="--beta is a setting of --model=vae"):
        workflows.train(model="autoencoder", beta=2.0)
    with pytest.raises(UserError, match="--conditional: --model=autoencoder knows no labels"):
        workflows.train(model="autoencoder", conditional=True)


_KILLED_IN_THE_SECOND_EPOCH = """
import json, os, signal, sys
sys.path[:0] = [{project!r}, {tests!r}]
import test_own_family
from cvae_tf import workflows
from cvae_tf.core.threads import set_threads
from cvae_tf.data import feeding
from cvae_tf.training import checkpoint_files

set_threads(0)
feeding._STEPS_PER_CALL = 2
save = checkpoint_files.save_checkpoint

def save_and_die(*arguments):
    path = save(*arguments)
    if path.name == "step_00000012":
        os.kill(os.getpid(), signal.SIGKILL)
    return path

checkpoint_files.save_checkpoint = save_and_die
workflows.train(run_dir=sys.argv[2], checkpoint_every="1", **json.loads(sys.argv[1]))
"""


@pytest.mark.slow
def test_it_is_killed_and_resumes_to_the_same_weights(trained, tmp_path, small_npz):
    run_dir, settings = tmp_path / "run", json.dumps(_settings(small_npz))
    code = _KILLED_IN_THE_SECOND_EPOCH.format(
        project=str(PROJECT), tests=str(Path(__file__).parent)
    )
    done = run_python("-c", code, settings, run_dir, cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = workflows.resume(run_dir, verbose=0)
    assert resumed.history[-1]["step"] == trained.history[-1]["step"] == 24
    states = [
        dict(np.load(each.directory / "checkpoints" / "step_00000024" / "state.npz"))
        for each in (trained, resumed)
    ]
    for name in states[0]:
        if name != "state":
            np.testing.assert_array_equal(states[0][name], states[1][name])
