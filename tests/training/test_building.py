import pytest

from cvae_tf.config import Config
from cvae_tf.training.building import build_model


def test_the_schedule_of_a_run_ends_with_its_last_step():
    config = Config.create("mlp20", hidden="8", schedule="cosine", epochs=4, batch_size=8)
    schedule = build_model(config, (8, 8, 1), num_images=80).optimizer._learning_rate
    early, late, end = (float(schedule(step)) for step in (10, 39, 40))
    assert early > config.learning_rate / 2 and late > 0 and end == pytest.approx(0, abs=1e-9)
