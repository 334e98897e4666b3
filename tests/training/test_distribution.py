"""One device and many give the same; the many are a process of their own, `on_replicas.py`."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from helpers import PROJECT, binary_images, tiny_cvae
from on_replicas import CONFIGS
from test_cluster import free_addresses

from cvae_tf import api
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.training import checkpoints, distribution, run_directory, run_training
from cvae_tf.training.checkpoints import list_checkpoints
from cvae_tf.training.cluster import Cluster
from cvae_tf.training.distribution import Distribution
from cvae_tf.training.run_directory import Run
from cvae_tf.training.trainer import EpochResult

# Replicas


def _compare(place, *arguments):
    """What `on_replicas.py` finds of configurations."""
    output = place / "found.json"
    command = [sys.executable, Path(__file__).with_name("on_replicas.py"), output, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, check=True, env=environment, timeout=900, capture_output=True)
    return json.loads(output.read_text())


def _assert_alike(compared):
    assert compared["figures"] < 1e-5
    assert compared["weights"] < 0.02  # Adam makes much of rounding errors


@pytest.mark.slow
def test_two_replicas_train_as_one_device(tmp_path):
    """Without graphs, which take longer to make than a few steps."""
    name = "noise and labels"
    _assert_alike(_compare(tmp_path, "eagerly", name)[name])


@pytest.mark.slow
def test_two_replicas_train_other_kinds_of_models_as_one_device(tmp_path):
    names = [name for name in CONFIGS if name != "noise and labels"]
    for found in _compare(tmp_path, "in graphs", *names).values():
        _assert_alike(found)


def test_a_batch_is_shared_out_evenly_among_replicas_and_workers():
    two = Distribution(SimpleNamespace(num_replicas_in_sync=2))
    two.check_batch(8)
    for batch_size, said in ((9, "cannot be shared out evenly"), (6, "take at least 8")):
        with pytest.raises(UserError, match=said):
            two.check_batch(batch_size)
    with pytest.raises(UserError, match="sees no GPU; .* --logical_cpus=2"):
        distribution.prepare_strategy("mirrored", 0, {})
    workers = [Distribution(cluster=Cluster(("a:1", "b:2"), number)) for number in range(2)]
    shares = [worker.own_order(tf.range(11), 4).numpy() for worker in workers]
    np.testing.assert_array_equal(shares, [[0, 1, 4, 5], [2, 3, 6, 7]])


# Workers


def test_a_worker_goes_on_from_the_run_the_weights_and_the_rows_of_the_chief(monkeypatch):
    chief, model, config = tiny_cvae(seed=1), tiny_cvae(seed=2), Config.create(early_stop=2)
    told = {"directory": "/there", "config": config.to_json(), "data": {"name": "x"}}
    chief.train_step(tf.constant(binary_images(8)))
    rows, began = [{"epoch": 1, "step": 5, "test_elbo": -3.0}], []
    packed = checkpoints.packed(chief, checkpoints.Progress(2, 2, rows))
    said = iter([json.dumps(told).encode(), b"\0", packed])
    monkeypatch.setattr(Distribution, "from_chief", lambda *_: next(said))

    def run_epochs(last, on_progress, first, steps_done):
        began.append((last, first, steps_done))
        for epoch in range(first, last + 1):
            yield EpochResult(epoch, 5 * epoch, {}, {"elbo": -4.0}, 1.0, 1.0, 1.0)

    worker = Distribution(cluster=Cluster(("one:1", "two:2"), 1))
    assert run_training.run_of_chief(None, worker) == Run(Path("/there"), config, told["data"])
    trainer = SimpleNamespace(model=model, distribution=worker, run_epochs=run_epochs)
    found = run_training.follow_chief(config, trainer, lambda: None)
    assert began == [(10, 2, 2)]
    assert [row["epoch"] for row in found] == [1, 2, 3]  # after two that are no better
    for first, second in zip(chief.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(first, second)


# Processes

SETTINGS = {"dataset": "digits", "network": "mlp", "hidden": "16", "batch_size": 510, "seed": 3}
EPOCHS = {"epochs": 4}
FLAGS = [f"--{name}={value}" for name, value in {**SETTINGS, **EPOCHS}.items()]


@contextlib.contextmanager
def _two_workers(logs, arguments):
    """Starts workers of the script; kills at the end what is left of them."""
    addresses, workers = free_addresses(2), []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        log = (logs / f"{index}.log").open("w")
        command = [sys.executable, PROJECT / "train.py", "--strategy=multiworker", *arguments]
        environment = {**os.environ, "TF_CONFIG": json.dumps(task)}
        workers.append(subprocess.Popen(command, cwd=logs, env=environment, stdout=log, stderr=log))
        log.close()
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _codes(workers):
    return [worker.wait(timeout=900) for worker in workers]


def _wait_for(path, text):
    until = time.monotonic() + 600
    while time.monotonic() < until:
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.05)
    pytest.fail(f"{path.read_text()!r} has no {text!r}")


def _arrays(run_dir):
    with np.load(list_checkpoints(run_dir / "checkpoints")[-1] / "state.npz") as arrays:
        return {name: arrays[name] for name in arrays if name != "state"}


@pytest.mark.slow
def test_two_workers_train_as_one_and_stopped_or_killed_go_on_to_the_same_bits(
    tmp_path, training_only
):
    alone = api.train(run_dir=tmp_path / "one", verbose=0, **SETTINGS, **EPOCHS)
    calm, run_dir, again = tmp_path / "calm", tmp_path / "run", ["--resume", "--run_dir=run"]
    with _two_workers(tmp_path, [*FLAGS, f"--run_dir={calm}"]) as workers:
        assert _codes(workers) == [0, 0], (tmp_path / "0.log").read_text()
    (first, *_) = run_directory.read_metrics(run_directory.load_run(calm))
    assert first["test_elbo"] == pytest.approx(alone.history[0]["test_elbo"], rel=1e-4)
    assert (calm / "export" / "1" / "saved_model.pb").exists()
    assert (tmp_path / "1.log").read_text() == ""  # the chief alone speaks and writes
    assert {path.name for path in tmp_path.iterdir()} == {"one", "calm", "0.log", "1.log"}

    with _two_workers(tmp_path, [*FLAGS, f"--run_dir={run_dir}"]) as workers:
        _wait_for(tmp_path / "0.log", "epoch 1/4")
        workers[1].send_signal(signal.SIGTERM)
        assert _codes(workers) == [143, 143], (tmp_path / "0.log").read_text()
    with _two_workers(tmp_path, again) as workers:
        _wait_for(tmp_path / "0.log", "resumed")
        workers[1].kill()
        assert workers[0].wait(timeout=900) == 1
    said = (tmp_path / "0.log").read_text()
    assert "error: --strategy=multiworker: another worker has ended" in said
    assert "Traceback" not in said
    with _two_workers(tmp_path, again) as workers:
        assert _codes(workers) == [0, 0]
    expected, found = _arrays(calm), _arrays(run_dir)
    assert all(np.array_equal(expected[name], found[name]) for name in expected)

    longer = api.resume(calm, epochs=5, verbose=0)  # by another number of workers
    assert [row["epoch"] for row in longer.history] == [1, 2, 3, 4, 5]
