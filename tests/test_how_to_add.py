"""What docs/extending.md says of adding a network, ...: each is followed, from outside."""

import json
import pkgutil
import re

import numpy as np
import pytest
from helpers import METADATA, PROJECT

import cvae_tf
from cvae_tf import api
from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.exporting.formats import Format, write_model
from cvae_tf.generation.image_modes import Generated
from cvae_tf.generation.modes import Mode
from cvae_tf.models.vae.likelihoods import GAUSSIAN

EXTENDING = (PROJECT / "docs" / "extending.md").read_text(encoding="utf-8")
ROW = r"^\| .+? \| `(cvae_tf\.[\w.]+)` \| .+ \| `(\S+\.py)` \| `(\w+)\(.*\)` \|$"
ROWS = re.findall(ROW, EXTENDING, re.MULTILINE)
TABLES = {name.rpartition(".")[2]: pkgutil.resolve_name(name) for name, *_ in ROWS}


def _network_of_the_docs():
    """What docs/models.md shows as a file of one's own."""
    text = (PROJECT / "docs" / "models.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(\"\"\".*?)```", text, re.DOTALL)
    module = {}
    exec(compile(code, "mine.py", "exec"), module)
    return module["build"]


def log_prob(images, outputs):
    """A likelihood."""
    return 0.5 * GAUSSIAN.log_prob(images, outputs)


def load(seed):
    """A data set: one bright row in each image, whose number is the label."""
    rows = np.random.default_rng(seed).integers(0, 8, 60)
    images = np.zeros((60, 8, 8, 1), np.uint8)
    images[np.arange(60), rows] = 250
    train, test = Split(images[:40], rows[:40]), Split(images[40:], rows[40:])
    return Dataset("rows", "Invented.", train, test)


def make(model, settings, output):
    """A mode: the mean of samples."""
    mean = model.sample(settings.num, settings.seed).mean(axis=0, keepdims=True)
    return Generated([], {"images": mean})


def write(model, directory, metadata):
    """A format: the kernels of all networks."""
    weights = [weight for network in model.networks.values() for weight in network.weights]
    np.savez(directory / "weights.npz", **{weight.path: weight.numpy() for weight in weights})


ADDED = {
    "NETWORKS": _network_of_the_docs(),
    "LIKELIHOODS": GAUSSIAN._replace(log_prob=log_prob),
    "DATASETS": load,
    "MODES": Mode(make, settings=("num", "seed")),
    "FORMATS": Format(write),
}
SETTINGS = {"network": "mine", "likelihood": "mine", "binarize": "none", "dataset": "mine",
            "epochs": 1, "batch_size": 20, "latent_dim": 3, "conditional": True}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _added():
    """Nothing of it is known to the tests that come after."""
    for table, entry in ADDED.items():
        TABLES[table]["mine"] = entry
    yield
    for table in ADDED:
        del TABLES[table]["mine"]


def test_network_likelihood_and_data_set_of_ones_own_are_trained(tmp_path, training_only):
    run = api.train(run_dir=tmp_path / "run", verbose=0, **SETTINGS)
    contents = json.loads((run.directory / "config.json").read_text())
    assert contents["config"].items() >= SETTINGS.items()
    assert (contents["data"]["name"], contents["data"]["key"]) == ("rows", "mine")
    assert list(run.history[0])[3] == "test_elbo"  # it is a density


def test_mode_of_ones_own_looks_at_its_settings_alone(vae, tmp_path):
    made = api.generate(vae, "mine", tmp_path, num=3, verbose=0)
    np.testing.assert_allclose(made.arrays["images"][0], vae.sample(3, 0).mean(axis=0), atol=1e-6)
    with pytest.raises(UserError, match="--spread does nothing with --mode=mine"):
        api.generate(vae, "mine", tmp_path, spread=2.0, verbose=0)


def test_format_of_ones_own_is_written_with_its_description(tiny_model, tmp_path):
    directory = tmp_path / "mine"
    write_model(tiny_model, "mine", directory, METADATA)
    assert {path.name for path in directory.iterdir()} == {"weights.npz", "model.json"}
    assert len(np.load(directory / "weights.npz").files) == len(tiny_model.weights)


def test_there_is_a_table_an_example_and_a_call_for_each_kind():
    assert len(ROWS) == 7 and set(ADDED) <= set(TABLES)
    for _, example, function in ROWS:
        assert (PROJECT / example).exists() and function in cvae_tf.__all__
