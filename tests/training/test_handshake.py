import concurrent.futures
import socket

import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.training.cluster import Cluster
from cvae_tf.training.handshake import meet


def _addresses(num):
    sockets = [socket.socket() for _ in range(num)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    for each in sockets:
        each.close()
    return found


def _meet_all(clusters, settings, seconds=10.0):
    """What each worker is told: None, or the error."""

    def one(cluster, own):
        try:
            meet(cluster, {"settings": own, "versions": {"keras": "3"}}, seconds)
        except UserError as error:
            return str(error)
        return None

    with concurrent.futures.ThreadPoolExecutor(len(clusters)) as pool:
        return list(pool.map(one, clusters, settings))


@pytest.mark.parametrize("num", [1, 2, 4])
def test_workers_that_want_the_same_meet(num):
    addresses = _addresses(num)
    clusters = [Cluster(addresses, number) for number in range(num)]
    assert _meet_all(clusters, [{"epochs": 3}] * num) == [None] * num


def test_all_are_told_who_wants_something_else():
    addresses = _addresses(3)
    clusters = [Cluster(addresses, number) for number in range(3)]
    told = _meet_all(clusters, [{"epochs": 3}, {"epochs": 3}, {"epochs": 4, "seed": 1}])
    assert len(set(told)) == 1
    assert f"worker 2 ({addresses[2]}) has other settings" in told[0]
    assert "epochs is 4 there, 3 at the chief" in told[0]


def test_a_setting_that_only_one_was_given_is_named():
    addresses = _addresses(2)
    clusters = [Cluster(addresses, number) for number in range(2)]
    told = _meet_all(clusters, [{"seed": 1}, {}])
    assert "seed is not given there, 1 at the chief" in told[0]


def test_all_are_told_who_is_missing():
    addresses = _addresses(3)
    told = _meet_all([Cluster(addresses, 0), Cluster(addresses, 1)], [{}, {}], seconds=1.5)
    assert told[0] == told[1]
    assert f"worker 2 ({addresses[2]}) did not answer within 2 s" in told[0]


def test_a_worker_whose_chief_is_missing_ends():
    addresses = _addresses(2)
    (told,) = _meet_all([Cluster(addresses, 1)], [{}], seconds=1.0)
    assert f"the chief ({addresses[0]}) did not call" in told


def test_workers_with_exchanged_numbers_are_found():
    a, b, c = _addresses(3)
    right, wrong = (a, b, c), (a, c, b)
    told = _meet_all([Cluster(right, 0), Cluster(wrong, 2), Cluster(wrong, 1)], [{}] * 3)
    assert "takes itself for worker 2" in told[0]
    assert told[0] == told[1] == told[2]


def test_an_address_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match="cannot listen there"):
            meet(Cluster((address,), 0), {})


def test_a_stranger_who_calls_does_no_harm():
    addresses = _addresses(2)
    host, port = addresses[1].split(":")

    def disturb():
        for content in (b"", b"GET / HTTP/1.0\r\n\r\n", b"[1]\n"):
            with socket.create_connection((host, int(port)), timeout=5) as line:
                line.sendall(content)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        worker = pool.submit(_meet_all, [Cluster(addresses, 1)], [{}])
        while True:
            try:
                disturb()
                break
            except ConnectionRefusedError:
                continue
        assert _meet_all([Cluster(addresses, 0)], [{}]) == [None]
        assert worker.result() == [None]
