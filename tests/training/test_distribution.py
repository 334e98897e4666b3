"""One device and many give the same; the many are a process of their own, `on_replicas.py`."""

import contextlib
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from conftest import PROJECT
from on_replicas import CONFIGS

from cvae_tf import whole_run, workflows
from cvae_tf.core.errors import UserError
from cvae_tf.training import strategies
from cvae_tf.training.checkpoint_files import list_checkpoints
from cvae_tf.training.cluster import Cluster
from cvae_tf.training.distribution import SINGLE, Distribution
from cvae_tf.training.stop_signals import Stopped, stopping_by_signals
from cvae_tf.training.trainer import Trainer

HERE = Path(__file__).parent
GONE = object()  # instead of what another worker says
SETTINGS = ["--dataset=digits", "--network=mlp", "--hidden=16", "--batch_size=510", "--seed=3"]


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    """What `on_replicas.py` found."""
    output = tmp_path_factory.mktemp("replicas") / "found.json"
    command = [sys.executable, HERE / "on_replicas.py", output]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, check=True, env=environment, timeout=300, capture_output=True)
    return json.loads(output.read_text())


@pytest.mark.parametrize("name", CONFIGS)
def test_two_replicas_train_as_one_device(on_two, name):
    assert on_two["compared"][name]["figures"] < 1e-5
    assert on_two["compared"][name]["weights"] < 0.02  # Adam makes much of rounding errors


def test_rows_are_those_of_the_whole_batch(on_two):
    pieces = on_two["pieces"]
    rows = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(pieces["rolled"], np.roll(rows, 1, axis=0))
    np.testing.assert_array_equal(pieces["gathered"], [rows, rows])
    drawn = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(pieces["drawn"], [drawn[:, :2].ravel(), drawn[:, 2:].ravel()])
    assert pieces["count"] == [2, 2]


def test_a_mean_over_replicas_can_be_differentiated(on_two):
    pieces, rows = on_two["pieces"], np.arange(8.0).reshape(4, 2)
    mean = (rows**2).mean(axis=0)
    np.testing.assert_allclose(pieces["mean"], [mean, mean])
    # Each replica's value is the same function of all rows; their gradients are averaged later.
    np.testing.assert_allclose(pieces["gradient"], 2 * (2 * mean) * (2 * rows) / 4)


def test_one_device_shares_nothing():
    assert SINGLE.num_replicas == SINGLE.num_workers == 1
    assert SINGLE.is_chief
    assert SINGLE.from_chief(lambda: pytest.fail("nobody needs it")) == b""
    assert SINGLE.agreed_signal(15) == 15
    assert SINGLE.agreed_signal(None) is None


class _Together(Distribution):
    """The second of two workers, of whose sums it gets those that are foreseen."""

    def foresee(self, *sums):
        object.__setattr__(self, "foreseen", list(sums))
        return self

    def total(self, values):
        found = self.foreseen.pop(0)
        if found is GONE:
            raise tf.errors.UnavailableError(None, None, "Socket closed")
        return np.asarray(found) + 0 * values


def _worker():
    return _Together(cluster=Cluster(("one:1", "two:2"), 1))


@pytest.mark.parametrize("last", [[0.0], GONE])
def test_nobody_leaves_before_all_know_why(last):
    worker = _worker().foresee([1.0, 0.0], last)
    assert worker.agreed_signal(None) == signal.SIGTERM
    assert worker.foreseen == []
    worker.foresee([0.0], last).end_together()
    assert worker.foreseen == []
    worker.foresee([4.0], [120.0] * 4, [0.0, 1.0], last)
    with pytest.raises(UserError, match="has other images than the chief"):
        worker.check_same("images", lambda: "mine")
    assert worker.foreseen == []


def test_who_is_missed_before_the_end_is_an_error():
    worker = _worker()
    assert worker.foresee([0.0, 0.0]).agreed_signal(None) is None  # and nothing is left to say
    for wait in (worker.end_together, lambda: worker.agreed_signal(None)):
        worker.foresee(GONE)
        with pytest.raises(UserError, match="another worker has ended"), worker.among_others():
            wait()


def test_a_worker_stopped_after_the_last_step_stays_until_the_chief_has_written(monkeypatch):
    def stopped(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        return []

    monkeypatch.setattr(whole_run.following, "follow", stopped)
    worker = _worker().foresee([1.0], [ord("x")], [0.0], [0.0])
    trainer = SimpleNamespace(distribution=worker)
    with pytest.raises(Stopped), stopping_by_signals():
        whole_run.follow(None, trainer)
    assert worker.foreseen == []


def test_a_signal_says_more_than_that_the_chief_was_stopped_first(monkeypatch):
    monkeypatch.setattr(
        whole_run.following, "follow", lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    trainer = SimpleNamespace(distribution=_worker().foresee([1.0], [ord("x")], GONE))
    with pytest.raises(Stopped), stopping_by_signals():
        whole_run.follow(None, trainer)
    trainer = SimpleNamespace(distribution=_worker().foresee(GONE))
    with pytest.raises(tf.errors.UnavailableError), stopping_by_signals():
        whole_run.follow(None, trainer)


def test_all_learn_that_the_loss_is_not_finite_before_anyone_leaves():
    worker = _worker().foresee([0.0])
    with pytest.raises(UserError, match="the loss is nan"):
        Trainer._check_finite(SimpleNamespace(distribution=worker), float("nan"), "the loss")
    assert worker.foreseen == []


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UserError, match="logical_cpus is for --strategy=mirrored"):
        strategies.start("single", 2, {})
    with pytest.raises(UserError, match="sees no GPU; .* --logical_cpus=2"):
        strategies.start("mirrored", 0, {})
    with pytest.raises(UserError, match="strategy=none: unknown"):
        strategies.start("none", 0, {})


@contextlib.contextmanager
def _cluster(num, logs, arguments):
    """Starts workers of the script; kills at the end what is left of them."""
    sockets = [socket.socket() for _ in range(num)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    workers = []
    for index in range(num):
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
    return [worker.wait(timeout=240) for worker in workers]


def _rows(run_dir):
    with (run_dir / "metrics.csv").open() as file:
        return [float(row["test_elbo"]) for row in csv.DictReader(file)]


def _wait_for(path, text):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.05)
    pytest.fail(f"{path.read_text()!r} has no {text!r}")


def _arrays(run_dir):
    with np.load(list_checkpoints(run_dir / "checkpoints")[-1] / "state.npz") as arrays:
        return {name: arrays[name] for name in arrays if name != "state"}


@pytest.mark.slow
def test_two_workers_train_as_one_and_the_chief_alone_writes(tmp_path):
    settings = {"dataset": "digits", "network": "mlp", "hidden": "16", "batch_size": 510}
    alone = workflows.train(run_dir=tmp_path / "one", epochs=1, seed=3, verbose=0, **settings)
    run_dir = tmp_path / "two"
    with _cluster(2, tmp_path, [*SETTINGS, "--epochs=1", f"--run_dir={run_dir}"]) as workers:
        assert _codes(workers) == [0, 0], (tmp_path / "0.log").read_text()
    np.testing.assert_allclose(_rows(run_dir), _rows(alone.directory), rtol=1e-4)
    assert (run_dir / "export" / "1" / "saved_model.pb").exists()
    assert (tmp_path / "1.log").read_text() == ""
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "0.log", "1.log"}


@pytest.mark.slow
def test_a_stopped_or_killed_cluster_goes_on_to_the_same_bits(tmp_path):
    calm, run_dir = tmp_path / "calm", tmp_path / "run"
    with _cluster(2, tmp_path, [*SETTINGS, "--epochs=6", f"--run_dir={calm}"]) as workers:
        assert _codes(workers) == [0, 0]
    with _cluster(2, tmp_path, [*SETTINGS, "--epochs=6", f"--run_dir={run_dir}"]) as workers:
        _wait_for(tmp_path / "0.log", "epoch 1/6")
        workers[1].send_signal(signal.SIGTERM)
        assert _codes(workers) == [143, 143], (tmp_path / "0.log").read_text()
    again = ["--resume", f"--run_dir={run_dir}"]
    with _cluster(2, tmp_path, again) as workers:
        _wait_for(tmp_path / "0.log", "resumed")
        workers[1].kill()
        assert workers[0].wait(timeout=60) == 1
    said = (tmp_path / "0.log").read_text()
    assert "error: --strategy=multiworker: another worker has ended" in said
    assert "Traceback" not in said
    with _cluster(2, tmp_path, again) as workers:
        assert _codes(workers) == [0, 0]
    expected, found = _arrays(calm), _arrays(run_dir)
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
def test_another_number_of_workers_goes_on_and_needs_no_copy_of_the_run(tmp_path):
    run_dir, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    with _cluster(2, tmp_path, [*SETTINGS, "--epochs=1", f"--run_dir={run_dir}"]) as workers:
        assert _codes(workers) == [0, 0]
    elsewhere.mkdir()
    with _cluster(3, elsewhere, ["--resume", "--epochs=2", "--run_dir=run"]) as workers:
        codes = _codes(workers)  # none of them, nor the chief, has a run of this name
    assert codes == [1, 1, 1]
    assert "holds no run on the chief" in (elsewhere / "0.log").read_text()
    with _cluster(3, tmp_path, ["--resume", "--epochs=2", "--run_dir=run"]) as workers:
        assert _codes(workers) == [0, 0, 0], (tmp_path / "0.log").read_text()
    assert len(_rows(run_dir)) == 2
