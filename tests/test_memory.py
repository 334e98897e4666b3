"""Many trainings in one process: what belonged to one does not outlive it."""

import gc
import weakref

import pytest
from helpers import METADATA, tiny_cvae
from tensorflow.python.framework.func_graph import FuncGraph

from cvae_tf.config import Config
from cvae_tf.exporting.formats import write_model
from cvae_tf.models.optimizers import build_optimizer
from cvae_tf.training import building
from cvae_tf.training.trainer import Trainer


@pytest.mark.slow
def test_graphs_of_a_training_that_was_exported_go_with_it(tmp_path, toy_dataset):
    counts = []
    for number in range(3):
        model = tiny_cvae(optimizer=build_optimizer(0.01))
        list(Trainer(model, toy_dataset, 8).run_epochs(1))
        write_model(model, "saved_model", tmp_path / str(number), METADATA)
        gc.collect()
        counts.append(sum(isinstance(thing, FuncGraph) for thing in gc.get_objects()))
    assert counts[1] == counts[2]


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
