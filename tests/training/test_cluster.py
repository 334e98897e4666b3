"""The workers of a cluster: who they are, and how they meet."""

import concurrent.futures
import json
import socket

import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.training.cluster import Cluster, check_workers_agree

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
    return Cluster.from_environment()


def _config(cluster=WORKERS, **task):
    return {"cluster": cluster, "task": {"type": "worker", **task}}


def test_the_chief_stands_before_the_workers_and_is_else_the_first(monkeypatch):
    all_workers = ("a:1", "b:2", "c:3")
    assert _read(monkeypatch, _config(index=2)) == Cluster(all_workers, 2)
    assert _read(monkeypatch, _config(CHIEF, index=1)) == Cluster(all_workers, 2)
    assert _read(monkeypatch, _config(CHIEF, type="chief", index=0)).number == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{bad", "is no JSON"),
        (_config(index=3), "index is 3; of 'worker' there are 3"),
        (_config({"ps": ["a:1"], **WORKERS}, index=0), "'ps' is unknown"),
        (_config({"chief": ["a:1", "b:1"]}, index=0), "one chief only"),
        (_config({"worker": ["a:99999"]}, index=0), "no address"),
        (_config({"worker": ["a:1", "a:1"]}, index=0), "twice"),
        (_config(type="evaluator", index=0), "must be chief or worker"),
    ],
)
def test_what_is_no_cluster_is_refused_in_one_line(monkeypatch, given, said):
    with pytest.raises(UserError, match="^TF_CONFIG: ") as refused:
        _read(monkeypatch, given)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_slurm_names_the_cluster_and_without_one_it_is_said_what_to_set(monkeypatch):
    with pytest.raises(UserError, match="TF_CONFIG is not set"):
        Cluster.from_environment()
    monkeypatch.setenv("SLURM_PROCID", "0")
    with pytest.raises(UserError, match="Slurm's variables name no cluster"):
        Cluster.from_environment()
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert Cluster.from_environment() == Cluster(("node7:8888", "node8:8888"), 1)


def free_addresses(num):
    """Addresses on this machine at which nobody listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(num)]
    found = tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    for each in sockets:
        each.close()
    return found


def _meet_all(clusters, settings, seconds=10.0):
    """What each worker is told: None, or the error."""

    def one(cluster, own):
        try:
            check_workers_agree(cluster, {"settings": own, "versions": {"keras": "3"}}, seconds)
        except UserError as error:
            return str(error)
        return None

    with concurrent.futures.ThreadPoolExecutor(len(clusters)) as pool:
        return list(pool.map(one, clusters, settings))


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ([{"epochs": 3}] * 3, None),
        ([{"epochs": 3}, {"epochs": 3}, {"epochs": 4}], "epochs is 4 there, 3 at the chief"),
        ([{"seed": 1}, {}], "seed is not given there, 1 at the chief"),
    ],
)
def test_workers_meet_if_they_want_the_same_and_all_are_told_who_does_not(settings, fault):
    addresses, last = free_addresses(len(settings)), len(settings) - 1
    told = set(_meet_all([Cluster(addresses, number) for number in range(last + 1)], settings))
    who = f"--strategy=multiworker: worker {last} ({addresses[last]}) has other settings"
    assert told == {fault and f"{who} than the chief: {fault}."}


def test_all_are_told_who_is_missing_or_has_another_number():
    a, b, c = addresses = free_addresses(3)
    told = _meet_all([Cluster(addresses, 0), Cluster(addresses, 1)], [{}, {}], seconds=1.5)
    assert told[0] == told[1] and f"worker 2 ({c}) did not answer within 2 s" in told[0]
    exchanged = [Cluster((a, b, c), 0), Cluster((a, c, b), 2), Cluster((a, c, b), 1)]
    told = _meet_all(exchanged, [{}] * 3)
    assert len(set(told)) == 1 and "takes itself for worker 2" in told[0]
