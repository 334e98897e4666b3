import importlib.util

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cvae_tf import workflows
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.training import tensorboard


@pytest.mark.slow
def test_tensorboard_reads_the_numbers_and_pictures_of_a_run(tmp_path, small_npz):
    config = Config.create("tutorial", data_path=str(small_npz), epochs=2, batch_size=64)
    run = workflows.train(config, str(tmp_path / "run"), tensorboard=True)
    events = EventAccumulator(str(run.directory / "tensorboard"), {"images": 0, "tensors": 0})
    events.Reload()
    rows = np.genfromtxt(run.directory / "metrics.csv", delimiter=",", names=True)
    for name in ("train_elbo", "test_elbo", "test_kl"):
        tensors = events.Tensors(name)
        assert [event.step for event in tensors] == [1, 2]
        values = [tf.make_ndarray(event.tensor_proto) for event in tensors]
        np.testing.assert_allclose(values, rows[name], atol=1e-3)
    pictures = events.Tensors("epoch")
    shown = iio.imread(tf.make_ndarray(pictures[-1].tensor_proto)[2])
    picture = run.directory / "images" / "image_at_epoch_0002.png"
    np.testing.assert_array_equal(shown, iio.imread(picture, mode="RGB"))


def test_missing_tensorboard_is_told_before_training(tmp_path, small_npz, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        workflows.train(
            Config.create(data_path=str(small_npz)), str(tmp_path / "run"), tensorboard=True
        )
    with pytest.raises(UserError, match="pip install tensorboard"):
        tensorboard.Summaries(tmp_path)
    assert list(tmp_path.iterdir()) == []
