"""Many trainings in one process: what belonged to one does not outlive it."""

import gc
import json
import weakref

import pytest
from conftest import PROJECT, run_python

from cvae_tf.config import Config
from cvae_tf.training import building

_TRAININGS = """
import gc, json, sys, tempfile
from pathlib import Path
sys.path[:0] = {paths}

import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph
from conftest import METADATA, tiny_cvae, tiny_images
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.drawing.panels import draw_panels
from cvae_tf.exporting import writing
from cvae_tf.training.optimizers import build_optimizer
from cvae_tf.training.trainer import Trainer

def train(number, directory):
    images = tiny_images(30 + 10 * (number % 4))
    split = Split(images, None)
    model = tiny_cvae(number, build_optimizer(0.01), latent_dim=1 + number % 3)
    list(Trainer(model, Dataset("toy", "Invented.", split, split), 8 + number % 5).run_epochs(1))
    grey = tf.constant(images[:4] / 255, tf.float32)
    panels = model.epoch_panels(grey, None, tf.constant([1, 2]))
    draw_panels(directory / "epoch.png", panels, "An epoch")
    if number % 3 == 1:
        writing.write_model(model, "saved_model", directory / "1", METADATA)

def resident_megabytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20

seen = []
with tempfile.TemporaryDirectory() as directory:
    for number in range(8):
        train(number, Path(directory))
        gc.collect()
        graphs = sum(isinstance(thing, FuncGraph) for thing in gc.get_objects())
        seen.append((resident_megabytes(), graphs))
print(json.dumps(seen))
"""


@pytest.mark.slow
def test_eight_trainings_take_the_memory_of_five_and_trace_without_a_warning(tmp_path):
    paths = [str(PROJECT), str(PROJECT / "tests")]
    done = run_python("-c", _TRAININGS.replace("{paths}", repr(paths)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "retracing" not in done.stderr
    megabytes, graphs = zip(*json.loads(done.stdout.splitlines()[-1]), strict=True)
    assert len(graphs) == 8 and graphs[-1] == graphs[4]
    # Measured a training more: 1; 12 with the methods of the trainer under `@tf.function`, and
    # the gradients of the optimizer given to TensorFlow to be added up.
    assert megabytes[-1] < megabytes[4] + 25


def test_a_new_model_takes_the_place_of_one_that_nobody_holds():
    gc.disable()  # it comes when it likes
    try:
        config = Config.create(network="mlp", hidden="8")
        first = weakref.ref(building.build_model(config, (8, 8, 1), 64))
        assert first() is not None
        building.build_model(config, (8, 8, 1), 64)
        assert first() is None
    finally:
        gc.enable()
