import re

import numpy as np
import pytest
from conftest import tiny_cvae

from cvae_tf import workflows
from cvae_tf.config import Config
from cvae_tf.training import building, checkpoint_files, early_stopping
from cvae_tf.training.run_files import Run
from cvae_tf.training.trainer import Trainer


def _rows(*elbos):
    return [
        {"epoch": epoch, "step": 2 * epoch, "test_elbo": elbo}
        for epoch, elbo in enumerate(elbos, start=1)
    ]


def _run(tmp_path, patience, epochs=9):
    config = Config.create(dataset="digits", early_stop=patience, epochs=epochs)
    return Run(tmp_path, config, {})


@pytest.mark.parametrize(
    ("elbos", "patience", "is_over"),
    [
        ([-5, -6, -7], 2, True),
        ([-5, -6, -7], 3, False),
        ([-7, -6, -5], 1, False),
        ([-5, -6, -5], 2, True),  # as good is not better
        ([-5, -6, -4, -4.5], 1, True),
        ([-5, -6, -7], 0, False),
        ([], 1, False),
        ([-5] * 9, 2, False),  # there was no other epoch to come
    ],
)
def test_it_is_over_after_epochs_that_are_not_better(tmp_path, elbos, patience, is_over):
    run = _run(tmp_path, patience)
    assert early_stopping.is_over(run.config, tiny_cvae(), _rows(*elbos)) is is_over


ELBOS = [-150.0, -120.0, -130.0, -125.0, -140.0]


@pytest.fixture
def rising_and_falling(monkeypatch):
    """Test figures that are the best in the second epoch, whatever the model learns."""
    measured = iter([{"elbo": -500.0, "log_likelihood": -499.0, "kl": 1.0}] + [
        {"elbo": elbo, "log_likelihood": elbo + 5, "kl": 5.0} for elbo in ELBOS
    ])  # fmt: skip
    monkeypatch.setattr(Trainer, "evaluate", lambda trainer: next(measured))


@pytest.mark.usefixtures("rising_and_falling")
@pytest.mark.slow
def test_a_run_ends_early_and_exports_its_best_epoch(tmp_path, small_npz, capsys, monkeypatch):
    settings = {
        "data_path": str(small_npz),
        "batch_size": 32,
        "epochs": 5,
        "early_stop": 2,
        "network": "mlp",
        "hidden": "8",
    }
    run = workflows.train(run_dir=tmp_path / "run", **settings)
    said = capsys.readouterr().out
    assert re.search(r"after epoch 4: none since epoch 2 was better .*--early_stop=2", said)
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4]
    best = dict(np.load(tmp_path / "run" / "checkpoints" / "step_00000008" / "state.npz"))
    trained = building.load_trained(run.directory)
    assert trained.metrics[-1]["epoch"] == 2
    for name, variable in checkpoint_files._named_variables(trained.model):
        np.testing.assert_array_equal(variable, best[name])
    latents = np.zeros((3, 2), np.float32)
    expected = trained.model.decode_mean(latents)
    loaded = workflows.loading.load(run.saved_model)
    np.testing.assert_allclose(loaded.decode(latents), expected, atol=1e-5)
    assert loaded.metadata["metrics"]["epoch"] == 2
    again = workflows.resume(run.directory)  # which has nothing to train
    assert [row["epoch"] for row in again.history] == [1, 2, 3, 4]
