import json

import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.training.cluster import Cluster

WORKERS = ["a:1", "b:2", "c:3"]


def _read(monkeypatch, given):
    text = given if isinstance(given, str) else json.dumps(given)
    monkeypatch.setenv("TF_CONFIG", text)
    return Cluster.from_environment()


def _config(cluster=None, **task):
    return {"cluster": cluster or {"worker": WORKERS}, "task": {"type": "worker", **task}}


def test_the_first_worker_is_the_chief(monkeypatch):
    assert _read(monkeypatch, _config(index=2)) == Cluster(("a:1", "b:2", "c:3"), 2)


def test_a_chief_stands_before_the_workers(monkeypatch):
    jobs = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
    assert _read(monkeypatch, _config(jobs, index=1)) == Cluster(("a:1", "b:2", "c:3"), 2)
    chief = {"cluster": jobs, "task": {"type": "chief", "index": 0}}
    assert _read(monkeypatch, chief).number == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{bad", "is no JSON"),
        ("[]", "has no 'cluster'"),
        ({"cluster": {"worker": WORKERS}}, "has no 'task'"),
        (_config(index=3), "index is 3; of 'worker' there are 3"),
        (_config(index=-1), "index is -1"),
        (_config(index="0"), "index is '0'"),
        (_config(), "index is None"),
        (_config({"evaluator": ["a:1"]}, index=0), "neither a chief nor a worker"),
        (_config({"ps": ["a:1"], "worker": WORKERS}, index=0), "'ps' is unknown"),
        (_config({"chief": ["a:1", "b:1"]}, index=0), "one chief only"),
        (_config({"worker": "a:1"}, index=0), "not a list"),
        (_config({"worker": ["a"]}, index=0), "'a' is no address"),
        (_config({"worker": ["a:99999"]}, index=0), "no address"),
        (_config({"worker": [7]}, index=0), "7 is no address"),
        (_config({"worker": ["a:1", "a:1"]}, index=0), "twice"),
        ({**_config(), "task": {"type": "evaluator", "index": 0}}, "must be chief or worker"),
    ],
)
def test_what_is_no_cluster_is_refused_in_one_line(monkeypatch, given, said):
    with pytest.raises(UserError, match="^TF_CONFIG: ") as refused:
        _read(monkeypatch, given)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_without_a_variable_it_is_said_what_to_set(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with pytest.raises(UserError, match="TF_CONFIG is not set"):
        Cluster.from_environment()


def test_slurm_names_the_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "")
    monkeypatch.delenv("TF_CONFIG")
    for name, value in {
        "SLURM_PROCID": "1",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "node[7-8]",
        "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
    }.items():
        monkeypatch.setenv(name, value)
    assert Cluster.from_environment() == Cluster(("node7:8888", "node8:8888"), 1)


def test_slurm_variables_that_name_none_are_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.delenv("SLURM_STEP_NODELIST", raising=False)
    with pytest.raises(UserError, match="Slurm"):
        Cluster.from_environment()
