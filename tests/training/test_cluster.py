"""The workers of a cluster: who they are, and how they meet."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from helpers import PROJECT

from benchmarks.clusters import free_addresses
from cvae_tf.core.errors import UserError
from cvae_tf.training import cluster
from cvae_tf.training.cluster import Cluster

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
    return cluster.read_cluster()


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
        ("[]", "No such job"),
        (_config(index=3), "No task with index 3 in job"),
        (_config(type="evaluator", index=0), "No such job in cluster"),
        (_config({"ps": ["p:1"], **WORKERS}, type="ps", index=0), "not in tuple"),
    ],
)
def test_what_is_no_cluster_is_refused_in_one_line(monkeypatch, given, said):
    with pytest.raises(UserError, match="TF_CONFIG names no worker") as refused:
        _read(monkeypatch, given)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_slurm_names_the_cluster_and_without_one_it_is_said_what_to_set(monkeypatch):
    with pytest.raises(UserError, match="TF_CONFIG is not set"):
        cluster.read_cluster()
    monkeypatch.setenv("SLURM_PROCID", "0")
    with pytest.raises(UserError, match="Slurm's variables name no cluster"):
        cluster.read_cluster()
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert cluster.read_cluster() == Cluster(("node7:8888", "node8:8888"), 1)


def _agree(monkeypatch, *cards):
    """What each of some workers is told that have such settings: an error, or None."""
    kept, told = {}, []
    service = SimpleNamespace(
        set_config_key_value=kept.__setitem__,
        get_config_key_value=lambda key, wait: kept.get(key, json.dumps(cards[int(key[-1])])),
    )
    monkeypatch.setattr(cluster, "context", lambda: service)
    for number, card in enumerate(cards):
        own = Cluster(("a:1", "b:2", "c:3")[: len(cards)], number)
        try:
            told.append(cluster.check_workers_agree(own, "settings", card))
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


ALONE = """
import sys
from cvae_tf.training import cluster
cluster._LONGEST_WAIT = 5
try:
    cluster.join_workers(cluster.read_cluster())
except cluster.UserError as error:
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
