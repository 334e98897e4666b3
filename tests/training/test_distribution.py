"""One device and many give the same; the many are a process of their own, `on_replicas.py`."""

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
from helpers import PROJECT
from on_replicas import CONFIGS

from benchmarks.clusters import workers
from cvae_tf import api
from cvae_tf.core.errors import UserError
from cvae_tf.training import distribution, run_directory
from cvae_tf.training.checkpoints import list_checkpoints
from cvae_tf.training.cluster import Cluster
from cvae_tf.training.distribution import Distribution

# Replicas


@pytest.mark.slow
def test_two_replicas_train_every_kind_of_model_as_one_device(tmp_path):
    output = tmp_path / "found.json"
    command = [sys.executable, Path(__file__).with_name("on_replicas.py"), output]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, check=True, env=environment, timeout=900, capture_output=True)
    found = json.loads(output.read_text())
    assert found.keys() == CONFIGS.keys()
    assert all(each["figures"] < 1e-5 for each in found.values()), found
    # Adam makes much of rounding errors.
    assert all(each["weights"] < 0.02 for each in found.values()), found


def test_a_batch_is_shared_out_evenly_among_replicas_and_workers():
    two = Distribution(SimpleNamespace(num_replicas_in_sync=2))
    two.check_batch(8)
    for batch_size, said in ((9, "a multiple of 2, at least 8"), (6, "at least 8")):
        with pytest.raises(UserError, match=said):
            two.check_batch(batch_size)
    with pytest.raises(UserError, match="sees no GPU; .* --logical_cpus=2"):
        distribution.mirrored(0)
    workers = [Distribution(cluster=Cluster(("a:1", "b:2"), number)) for number in range(2)]
    shares = [worker.own_order(tf.range(11), 4).numpy() for worker in workers]
    np.testing.assert_array_equal(shares, [[0, 1, 4, 5], [2, 3, 6, 7]])


# Processes

SETTINGS = {"dataset": "digits", "network": "mlp", "hidden": "16", "batch_size": 510, "seed": 3}
EPOCHS = {"epochs": 3}
FLAGS = [f"--{name}={value}" for name, value in {**SETTINGS, **EPOCHS}.items()]


def _two_workers(run_dir, *arguments):
    """Starts workers of the script, which write `0.log` and `1.log` beside the run."""
    command = [str(PROJECT / "train.py"), "--strategy=multiworker", f"--run_dir={run_dir}"]
    return workers(2, [*command, *arguments], run_dir.parent)


def _codes(processes):
    return [process.wait(timeout=900) for process in processes]


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
    calm, run_dir, log = tmp_path / "calm", tmp_path / "run", tmp_path / "0.log"
    with _two_workers(calm, *FLAGS) as both:
        assert _codes(both) == [0, 0], log.read_text()
    (first, *_) = run_directory.read_metrics(run_directory.load_run(calm))
    assert first["test_elbo"] == pytest.approx(alone.history[0]["test_elbo"], rel=1e-4)
    assert (calm / "export" / "1" / "saved_model.pb").exists()
    assert (tmp_path / "1.log").read_text() == ""  # the chief alone speaks and writes
    assert {path.name for path in tmp_path.iterdir()} == {"one", "calm", "0.log", "1.log"}

    with _two_workers(run_dir, *FLAGS) as both:
        _wait_for(log, "epoch 1/3")
        both[1].send_signal(signal.SIGTERM)
        assert _codes(both) == [143, 143], log.read_text()
    with _two_workers(run_dir, "--resume") as both:
        _wait_for(log, "resumed")
        both[1].kill()
        assert both[0].wait(timeout=900) == 1
    assert "error: --strategy=multiworker: another worker has ended" in log.read_text()
    assert "Traceback" not in log.read_text()
    with _two_workers(run_dir, "--resume") as both:
        assert _codes(both) == [0, 0]
    expected, found = _arrays(calm), _arrays(run_dir)
    assert all(np.array_equal(expected[name], found[name]) for name in expected)

    longer = api.resume(calm, epochs=4, verbose=0)  # by another number of workers
    assert [row["epoch"] for row in longer.history] == [1, 2, 3, 4]
