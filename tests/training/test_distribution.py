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

from benchmarks.clusters import free_addresses, workers
from cvae_tf import api
from cvae_tf.core.errors import UserError
from cvae_tf.training import distribution, run_directory
from cvae_tf.training.checkpoints import list_checkpoints
from cvae_tf.training.distribution import Cluster, Distribution

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


# The workers of a cluster: who they are, and how they meet

WORKERS = {"worker": ["a:1", "b:2", "c:3"]}
CHIEF = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
SLURM = {
    "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "node[7-8]",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_cluster_around(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "")  # which is put back, also if Slurm has changed it
    for name in ("TF_CONFIG", *SLURM):
        monkeypatch.delenv(name, raising=False)


def _read(monkeypatch, given):
    monkeypatch.setenv("TF_CONFIG", given if isinstance(given, str) else json.dumps(given))
    return distribution.read_cluster()


def _config(jobs=WORKERS, **task):
    return {"cluster": jobs, "task": {"type": "worker", **task}}


def test_the_chief_stands_before_the_workers_and_is_else_the_first(monkeypatch):
    all_workers = ("a:1", "b:2", "c:3")
    assert _read(monkeypatch, _config(index=2)) == Cluster(all_workers, 2)
    assert _read(monkeypatch, _config(CHIEF, index=1)) == Cluster(all_workers, 2)
    assert _read(monkeypatch, _config(CHIEF, type="chief", index=0)).number == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{bad", "Expecting property name"),
        (_config(index=3), "No task with index 3 in job"),
        (_config({"ps": ["p:1"], **WORKERS}, type="ps", index=0), "not in tuple"),
    ],
)
def test_what_is_no_cluster_is_refused_in_one_line(monkeypatch, given, said):
    with pytest.raises(UserError, match="TF_CONFIG names no worker") as refused:
        _read(monkeypatch, given)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_slurm_names_the_cluster_and_without_one_it_is_said_what_to_set(monkeypatch):
    with pytest.raises(UserError, match="TF_CONFIG is not set"):
        distribution.read_cluster()
    monkeypatch.setenv("SLURM_PROCID", "0")
    with pytest.raises(UserError, match="Slurm's variables name no cluster"):
        distribution.read_cluster()
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert distribution.read_cluster() == Cluster(("node7:8888", "node8:8888"), 1)


def _agree(monkeypatch, *cards):
    """What each of some workers is told that have such settings: an error, or None."""
    kept, told = {}, []
    service = SimpleNamespace(
        set_config_key_value=kept.__setitem__,
        get_config_key_value=lambda key, wait: kept.get(key, json.dumps(cards[int(key[-1])])),
    )
    monkeypatch.setattr(distribution, "context", lambda: service)
    for number, card in enumerate(cards):
        own = Cluster(("a:1", "b:2", "c:3")[: len(cards)], number)
        try:
            told.append(distribution.check_workers_agree(own, "settings", card))
        except UserError as error:
            told.append(str(error))
    return told


def test_all_workers_are_told_who_wants_something_else(monkeypatch):
    same = {"epochs": 3, "hidden": "é"}
    assert _agree(monkeypatch, same, same, same) == [None] * 3
    who = "--strategy=multiworker: worker 2 (c:3) has other settings than the chief"
    told = set(_agree(monkeypatch, same, same, {**same, "epochs": 4}))
    assert told == {f"{who}: epochs is 4 there, 3 at the chief."}
    told = set(_agree(monkeypatch, same, same, {"epochs": 3}))
    assert told == {f'{who}: hidden is null there, "\\u00e9" at the chief.'}


# Processes

ALONE = """
import sys
from cvae_tf.training import distribution
distribution._LONGEST_WAIT = 5
try:
    distribution.join_workers(distribution.read_cluster())
except distribution.UserError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
def test_a_chief_whose_worker_never_comes_is_told_so():
    addresses = free_addresses(2)
    environment = {**os.environ, "TF_CONFIG": json.dumps(_config({"worker": addresses}, index=0))}
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    who = f"--strategy=multiworker: worker 1 ({addresses[1]})"
    told = f"{who} did not come within 5 s, or not all of the others."
    assert done.stderr.splitlines()[-1] == told and done.returncode == 1


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
