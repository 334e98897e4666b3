"""What many tests share: fixtures, tiny models and images, scripts that are run."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from filelock import FileLock

from cvae_tf import api
from cvae_tf.config import Config
from cvae_tf.core.tensorflow_setup import set_threads
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.loading import load_dataset
from cvae_tf.exporting.load import load
from cvae_tf.models.networks import NETWORKS, Networks
from cvae_tf.models.vae import objectives
from cvae_tf.models.vae.likelihoods import Pixels
from cvae_tf.models.vae.model import CVAE
from cvae_tf.training import run_directory
from cvae_tf.training.pictures import RunPictures
from cvae_tf.training.run_directory import SAVED_MODEL

PROJECT = Path(__file__).resolve().parents[1]
VAE_NETWORKS = list(NETWORKS)
_TIMINGS = {"train_seconds", "test_seconds", "images_per_second"}

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for whatever a shell has put aside
    signal.signal(signal.SIGINT, signal.default_int_handler)
set_threads(0)  # as the scripts do: other threads give other last bits

# Of an exported model, as `describe_run` returns it.
METADATA = {
    "title": "variational autoencoder",
    "config": Config.create(dataset="digits", seed=3).to_json(),
    "data": {
        "name": "bundled digits",
        "origin": "The bundled digits.",
        "image_shape": [28, 28, 1],
        "train_images": 24000,
        "test_images": 297,
        "sha256": None,
    },
    "pixels": "pixels above 0.5 are white; this happens inside the model. p(x|z): bernoulli",
    "measures": [measure._asdict() for measure in Pixels().terms.values()],
    "metrics": {
        "epoch": 10, "test_elbo": -106.25, "test_log_likelihood": -99.125, "test_kl": 7.125,
    },
    "versions": {"tensorflow": "2.21.0", "keras": "3.15.1"},
    "git_commit": None,
}  # fmt: skip


def create_run(directory, config, dataset):
    """A new run directory, not locked any more."""
    with run_directory.new_run(directory, config, dataset) as run:
        return run


def tiny_networks(latent_dim=2, seed=0):
    """A convolutional pair for 6 x 6 images with smooth activations and few weights."""
    init = (keras.initializers.GlorotUniform(seed=10 * seed + i) for i in range(10))

    def layer(kind, *arguments, **options):
        """A layer with a name of its own, as checkpoints need it."""
        name = kind.__name__.lower()
        return kind(*arguments, kernel_initializer=next(init), name=name, **options)

    encoder = [
        keras.Input((6, 6, 1)),
        layer(keras.layers.Conv2D, 3, 3, strides=2, activation="tanh"),
        keras.layers.Flatten(),
        layer(keras.layers.Dense, 2 * latent_dim),
    ]
    decoder = [
        keras.Input((latent_dim,)),
        layer(keras.layers.Dense, 18, activation="tanh"),
        keras.layers.Reshape((3, 3, 2)),
        layer(keras.layers.Conv2DTranspose, 1, 3, strides=2, padding="same"),
    ]
    return Networks(
        keras.Sequential(encoder, name="encoder"), keras.Sequential(decoder, name="decoder")
    )


def tiny_cvae(seed=0, optimizer=None, binarize="threshold", objective=objectives.ELBO, **options):
    networks = tiny_networks(seed=seed, **options)
    model = CVAE(networks, seed, Pixels(binarize), objective)
    model.compile(optimizer=optimizer or keras.optimizers.Adam(1e-2), jit_compile=False)
    return model


def designed_model(encode, parameters, latent_dim, image_shape, **known):
    """What evaluation asks of a VAE, of functions of tensors; `known` are further attributes."""
    usual = {"pixels": Pixels(), "metadata": {}, "class_names": (), "can_refine": False}
    own = {"encode": encode, "parameters": lambda *given, training=False: parameters(*given)}
    shapes = {"latent_dim": latent_dim, "image_shape": image_shape}
    model = types.SimpleNamespace(**{**usual, **own, **shapes, **known})
    model.terms_with_noise = types.MethodType(CVAE.terms_with_noise, model)
    return model


def vivid(model, times=4):
    """Makes the images of a model that was not trained differ by their latents; the same model."""
    for variable in model.decoder.weights:
        variable.assign(times * variable)
    return model


def tiny_images(num, seed=0):
    """Grey uint8 images of 6 x 6 pixels with a bright or dark half, so that there is structure."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (num, 6, 6, 1))
    images[: num // 2, :3] //= 4
    images[num // 2 :, :, 3:] //= 4
    return images.astype(np.uint8)


def binary_images(num, seed=0):
    """The same in black and white, float32."""
    return (tiny_images(num, seed) > 127).astype(np.float32)


def weights_of(model):
    return [variable.numpy() for variable in model.encoder.variables + model.decoder.variables]


def names_in(directory):
    return sorted(path.name for path in Path(directory).iterdir())


def run_python(*arguments, cwd, **environment):
    """Runs Python in `cwd`, without the project on its path and without a way to the network."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env={**env, **environment}, capture_output=True, text=True, timeout=900
    )


def run_script(name, *arguments, cwd, **environment):
    return run_python(PROJECT / name, *arguments, cwd=cwd, **environment)


@pytest.fixture(scope="session")
def digits():
    return load_dataset("digits", seed=0)


@pytest.fixture(scope="session")
def tiny_dataset(digits):
    """64 and 20 real digits of 28 x 28 pixels."""
    train = Split(digits.train.images[:64], digits.train.labels[:64])
    test = Split(digits.test.images[:20], digits.test.labels[:20])
    return Dataset("a few digits", "A few of the bundled digits.", train, test)


@pytest.fixture
def toy_dataset():
    """40 and 20 invented images of 6 x 6 pixels, for the tiny networks."""
    train, test = Split(tiny_images(40), None), Split(tiny_images(20, seed=1), None)
    return Dataset("toy", "Invented.", train, test)


@pytest.fixture
def tiny_model():
    return tiny_cvae()


@pytest.fixture(scope="session")
def shared_place(tmp_path_factory):
    """A folder that all processes of this test session share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def built_once(shared_place, name, build):
    """What `build(place)` returns; the first process that asks builds, the others read it."""
    result = shared_place / f"{name}.pickle"
    with FileLock(shared_place / f"{name}.lock"):
        if not result.exists():
            (shared_place / name).mkdir()
            result.write_bytes(pickle.dumps(build(shared_place / name)))
    return pickle.loads(result.read_bytes())


@pytest.fixture(scope="session")
def small_npz(shared_place):
    """128 and 32 real digits with labels, in the form of a user's own file."""
    return built_once(shared_place, "data", _save_small_npz)


def _save_small_npz(place):
    path, digits = place / "small.npz", load_dataset("digits", seed=0)
    np.savez_compressed(
        path,
        x_train=digits.train.images[:128, ..., 0],
        y_train=digits.train.labels[:128],
        x_test=digits.test.images[:32, ..., 0],
        y_test=digits.test.labels[:32],
    )
    return path


# Whole runs, each trained once for all tests: to be read, or copied, never changed.

VAE_SETTINGS = {"network": "mlp", "hidden": "64", "epochs": 2, "batch_size": 32, "seed": 5,
                "learning_rate": 1e-3}  # fmt: skip
_CONDITIONAL = {"preset": "mlp20", "hidden": "32", "latent_dim": 3, "conditional": True,
                "epochs": 1, "batch_size": 32, "seed": 5}  # fmt: skip
_GAN = {"model": "gan", "latent_dim": 8, "epochs": 1, "batch_size": 32, "seed": 3}


def pytest_collection_modifyitems(items):
    """Puts their tests first: one process trains the runs, while the others test the rest."""
    runs = {"vae_run", "conditional_run", "gan_run"}
    items.sort(key=lambda item: runs.isdisjoint(item.fixturenames))


@pytest.fixture(scope="session")
def vae_run(shared_place, small_npz):
    """Two epochs of four steps by train.py; `said.json` beside it has what was printed."""

    def train(place):
        settings = {"data_path": small_npz, **VAE_SETTINGS}
        flags = [f"--{name}={value}" for name, value in settings.items()]
        done = run_script("train.py", "--run_dir=run", *flags, cwd=place)
        (place / "said.json").write_text(json.dumps([done.stdout, done.stderr]))
        assert done.returncode == 0, done.stderr
        run = run_directory.load_run(place / "run")
        history = run_directory.read_metrics(run)
        return api.TrainedRun(run.directory, run.config, history, run.saved_model)

    return built_once(shared_place, "vae_run", train)


@pytest.fixture(scope="session")
def conditional_run(shared_place, small_npz):
    """A conditional VAE of three latents and small networks."""

    def train(place):
        return api.train(run_dir=place / "run", data_path=small_npz, verbose=0, **_CONDITIONAL)

    return built_once(shared_place, "conditional_run", train)


@pytest.fixture(scope="session")
def gan_run(shared_place, small_npz):
    """An epoch of four steps of a GAN, on images without labels."""

    def train(place):
        bare = place / "bare.npz"
        with np.load(small_npz) as arrays:
            np.savez(bare, x_train=arrays["x_train"], x_test=arrays["x_test"])
        return api.train(run_dir=place / "run", data_path=bare, verbose=0, **_GAN)

    return built_once(shared_place, "gan_run", train)


# Their exported models, loaded once in each process.


@pytest.fixture(scope="session")
def vae(vae_run):
    return load(vae_run.saved_model)


@pytest.fixture(scope="session")
def conditional(conditional_run):
    return load(conditional_run.saved_model)


@pytest.fixture(scope="session")
def gan(gan_run):
    return load(gan_run.saved_model)


@pytest.fixture
def training_only(monkeypatch):
    """Runs end after the last epoch: without scores, SavedModel, summary pictures and page."""
    monkeypatch.setattr(api, "fit_after_training", lambda *_: None)
    monkeypatch.setattr(api, "export_run", lambda run, *_: run.directory / SAVED_MODEL)
    monkeypatch.setattr(RunPictures, "draw_summary", lambda *_: None)
    monkeypatch.setattr(api, "_write_page", lambda *_: None)


def assert_same_runs(whole, resumed):
    """Compares weights, metrics, pictures of two runs bit for bit; returns the arrays of one."""
    states = [
        dict(np.load(run.directory / "checkpoints" / "step_00000008" / "state.npz"))
        for run in (whole, resumed)
    ]
    assert list(states[0]) == list(states[1])
    for name in states[0]:
        if name != "state":
            np.testing.assert_array_equal(states[0][name], states[1][name])
    for first, second in zip(whole.history, resumed.history, strict=True):
        assert {name for name in first if first[name] != second[name]} <= _TIMINGS
    for picture in (whole.directory / "images").iterdir():
        assert picture.read_bytes() == (resumed.directory / "images" / picture.name).read_bytes()
    return states[0]


_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium; without one the tests of pages in use are left out, and say so."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pages not opened")
    path = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium: pages are not opened")
    # A container's root may not use Chromium's sandbox.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as player:
        opened = player.chromium.launch(executable_path=path, args=options)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Opens a file; at the end nothing may have been asked for beside it, nor gone wrong."""
    faults, contexts = [], []

    def open_page(path, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: _note(faults, request.url, path))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults


def _note(faults, url, path):
    if not url.startswith("data:") and url != path.as_uri():
        faults.append(f"request: {url}")
